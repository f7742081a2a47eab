# SPDX-License-Identifier: Apache-2.0
"""The envelope of a sound: peaks by hand, where the sound begins and ends, and what it says of a stretch of time."""

import numpy as np
import pytest

from mindface_eri.preprocess.envelope import Envelope, envelope_of


def wave(*values):
    return np.array(values, np.float32)


def test_lowest_and_highest_sample_of_each_span(monkeypatch):
    monkeypatch.setattr("mindface_eri.preprocess.envelope._SPANS", 4)
    found = envelope_of(wave(0.1, -0.2, 0.3, 0.4, -0.5, -0.6, 0.7, -0.8), 4, 0.0, 2.0)  # two samples a span
    np.testing.assert_array_equal(found.low, wave(-0.2, 0.3, -0.6, -0.8))
    np.testing.assert_array_equal(found.high, wave(0.1, 0.4, -0.5, 0.7))
    assert found.seconds == 2.0 and len(found) == 4 and found.low.dtype == found.high.dtype == np.float32


@pytest.mark.parametrize("start, high", [
    (0.5, (0, 0.1, 0.2, 0.3)), (-0.5, (0.2, 0.3, 0.4, 0)), (1.5, (0, 0, 0, 0.1)), (-1.5, (0.4, 0, 0, 0)),
    (2.0, (0, 0, 0, 0)), (-2.0, (0, 0, 0, 0)), (1e6, (0, 0, 0, 0)), (-1e6, (0, 0, 0, 0))])
def test_where_the_sound_says_nothing_there_is_silence(monkeypatch, start, high):
    monkeypatch.setattr("mindface_eri.preprocess.envelope._SPANS", 4)
    found = envelope_of(wave(0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4), 4, start, 2.0)
    np.testing.assert_array_equal(found.high, wave(*high))
    np.testing.assert_array_equal(found.low, wave(*high))


def test_sound_that_ends_early_or_goes_on(monkeypatch):
    monkeypatch.setattr("mindface_eri.preprocess.envelope._SPANS", 4)
    np.testing.assert_array_equal(envelope_of(wave(0.5, -0.5, 0.25), 2, 0.0, 4.0).high, wave(0.5, 0.25, 0, 0))
    long = envelope_of(np.arange(100, dtype=np.float32), 2, 0.0, 4.0)
    np.testing.assert_array_equal(long.high, wave(1, 3, 5, 7))  # what comes after the clip's end is not in it


def test_every_sample_counts_once_where_spans_are_no_whole_number_of_them():
    sound = np.random.default_rng(0).normal(size=12345).astype(np.float32)
    found = envelope_of(sound, 8000, 0.0, 12345 / 8000)
    assert len(found) == 800
    edges = np.round(np.arange(801) / 800 * 12345).astype(int)
    for k in range(800):
        span = sound[edges[k]:edges[k + 1]]
        assert (found.low[k], found.high[k]) == (span.min(), span.max())


@pytest.mark.parametrize("samples, spans", [(0, 1), (1, 1), (7, 7), (799, 799), (801, 800), (50000, 800)])
def test_no_more_spans_than_samples_and_never_more_than_are_drawn(samples, spans):
    found = envelope_of(np.full(samples, 0.5, np.float32), 1000, 0.0, samples / 1000)
    assert len(found) == spans and found.peak == (0.5 if samples else 0.0)


def test_peaks():
    envelope = Envelope(wave(-0.1, -0.9, -0.2, 0.1), wave(0.3, 0.4, 0.6, 0.5), 4.0)
    assert envelope.peak == np.float32(0.9)
    for begin, end, peak in ((0, 0.5, 0.3), (0.9, 1.1, 0.9), (2, 2, 0.6), (2.0, 9.0, 0.6), (3.5, 4, 0.5),
                             (-5, 0.1, 0.3), (0, 4, 0.9), (5, 6, 0.0), (-3, -1, 0.0)):
        assert envelope.peak_within(begin, end) == np.float32(peak), (begin, end)
    low, high = envelope.scaled()
    np.testing.assert_allclose(low, [-1 / 9, -1, -2 / 9, 1 / 9], rtol=1e-6)
    np.testing.assert_allclose(high, [3 / 9, 4 / 9, 6 / 9, 5 / 9], rtol=1e-6)
    assert Envelope(wave(0.2), wave(0.3), 1.0).peak == np.float32(0.3)


def test_silence():
    silent, still = Envelope.silent(), Envelope(wave(0, 0), wave(0, 0), 1.0)
    assert len(silent) == 0 and silent.seconds == 0
    for envelope in (silent, still):
        assert envelope.peak == envelope.peak_within(0, 1) == 0 and not any(v.any() for v in envelope.scaled())
