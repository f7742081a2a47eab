# SPDX-License-Identifier: Apache-2.0
"""Windows that overlap compute each frame once, and answer as if each had computed its own."""

import types

import numpy as np
import pytest

from mindface_eri.config import AudioConfig, FaceConfig, ModelConfig, PreprocessConfig
from mindface_eri.deploy.parts import Parts
from mindface_eri.prediction.predictor import Predictor
from mindface_eri.prediction.windows import Windows

EMOTIONS = ("Fear", "Joy")


def vectors_of(crops):
    return np.stack([crops[..., 0, 0, 0], crops[..., -1, -1, 2] ** 0.5, crops.mean((-3, -2, -1)), crops[..., 1, 1, 1]],
                    -1).astype(np.float32) / 255


def over_time(vectors, mfcc, present):
    """Depends on the order of the frames, on sound and on presence."""
    moments = np.linspace(0, 1, vectors.shape[1])[None, :, None]
    seen = (vectors * moments ** 2).mean((1, 2)) * present[:, 0]
    return np.stack([seen, np.abs(mfcc).mean((1, 2)) * present[:, 1] + seen ** 2], 1)


class Whole:
    """The network in one piece; it weighs the last instant, and of each frame the position its vector says."""

    crops = 0

    def run(self, inputs):
        self.crops += inputs[0].shape[0] * inputs[0].shape[1]
        return over_time(vectors_of(inputs[0]), *inputs[1:])

    def attention(self, inputs):
        weights = np.cumsum(vectors_of(inputs[0])[..., 0], axis=1)
        return self.run(inputs), weights, Looks().attention([inputs[0]])[1]


class Looks:
    """Its first part."""

    def __init__(self):
        self.crops, self.calls = 0, []

    def run(self, inputs):
        self.crops += len(inputs[0])
        self.calls.append(inputs[0])
        return vectors_of(inputs[0])

    def attention(self, inputs):
        vectors = self.run(inputs)
        return vectors, vectors[..., :1, None] * np.arange(4).reshape(2, 2), None


class Listens:
    """Its second."""

    windows = 0

    def run(self, inputs):
        self.windows += len(inputs[0])
        return over_time(*inputs)

    def attention(self, inputs):
        return self.run(inputs), np.cumsum(inputs[0][..., 0], axis=1), None


@pytest.fixture
def both():
    """`both(frames, batch, fill)`: two predictors of the same network, whole and in parts, and their backends."""

    def make(frames=4, batch=None, fill=False):
        model = ModelConfig(emotions=EMOTIONS, frames=frames, crop_size=32, mfcc_features=16, stem_width=1)
        config = PreprocessConfig(frames=frames, face=FaceConfig(size=32), audio=AudioConfig(coefficients=8, stack=2))
        found = types.SimpleNamespace(whole=Whole(), looks=Looks(), listens=Listens(), opened=0)

        def parts():
            found.opened += 1
            return Parts(found.looks, found.listens, fill)

        found.apart = Predictor(found.whole, model, config, batch)
        found.shared = Predictor(Whole(), model, config, batch, parts=parts)
        return found

    return make


def ask(predictor, **more):
    (found,) = predictor.predict(["x.mp4"], **more)
    assert not found.error, found.error
    return found


def assert_same(one, other):
    assert one.rows()[0].keys() == other.rows()[0].keys() and len(one.rows()) == len(other.rows())
    for name in ("intensities", "values", "segments", "temporal", "spatial", "moments", "moving"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        if first is not None:
            assert (first.dtype, first.shape) == (second.dtype, second.shape), name
            np.testing.assert_allclose(first, second, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("fill, batch_size", [(True, 1), (False, 1), (True, 16)])
def test_ten_minutes_cost_at_most_a_tenth_more_than_their_frames(fill, batch_size, media, both):
    media(600.0, waveform=np.sin(np.arange(600 * 16000) / 9).astype(np.float32))
    found = both(32, fill=fill)
    shared, apart = ask(found.shared, batch_size=batch_size), ask(found.apart)
    frames = len(shared.clip.timestamps)
    assert frames == 1551  # 12 s are 32 of them
    assert frames <= found.looks.crops <= (1.1 * frames if fill else frames)
    assert found.listens.windows * 32 == found.whole.crops > 1.95 * frames  # half-window hops saw each frame twice
    assert_same(shared, apart)
    assert np.ptp(shared.values, axis=0).min() > 0.01  # windows differ


@pytest.mark.parametrize("more", [
    {"window": 3.0, "hop": 1.0}, {"window": 3.0, "hop": 1.0, "attention": True, "batch_size": 3},
    {"window": 2.5, "hop": 0.7}, {"window": 5.0, "hop": 5.0}, {"moving": True}, {"moving": True, "attention": True}])
@pytest.mark.parametrize("batch", [None, 2])
def test_shared_and_unshared_answers_are_the_same(more, batch, media, both):
    waveform = np.zeros(round(6.3 * 16000), np.float32)
    waveform[40000:70000] = 0.4
    states = [0, 0, 0, 0, 0, 3, 1, 2]  # windows without a face first, and some with half a face
    asked = {name: value for name, value in more.items() if name in ("window", "hop", "moving")}
    media(6.3, waveform=waveform, states=(states * 9)[:Windows(**asked).grid(6.3, 4).samples])
    found = both(batch=batch, fill=batch is not None)
    assert_same(ask(found.shared, **more), ask(found.apart, **more))
    assert found.opened == 1 and found.looks.crops > 0 and (batch is None or found.looks.crops % (2 * 4) == 0)


def test_parts_stay_closed_where_nothing_is_shared(media, both):
    found = both()
    media(6.0)
    ask(found.shared)  # whole
    ask(found.shared, window=6.0)  # a single window
    assert found.opened == 0
    for _ in range(2):
        ask(found.shared, window=3.0, hop=1.0)
    assert found.opened == 1


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_whole_clip_is_answered_out_of_the_same_frames(batch_size, media, both):
    """Those of its answer go through the first part in one call, in their order, as they would alone."""
    found = both(fill=True)
    media(6.0)
    plain = ask(found.shared)
    moving = ask(found.shared, moving=True, batch_size=batch_size)
    np.testing.assert_array_equal(found.looks.calls[0], plain.clip.frames)
    assert (found.looks.crops, found.listens.windows) == (8, 5)  # 7 frames; 4 windows, and the whole
    np.testing.assert_allclose(moving.intensities, plain.intensities, atol=1e-7)


def test_frames_are_told_before_windows(media, both):
    media(6.0)
    said = []
    ask(both().shared, window=3.0, hop=1.0, notify=said.append)
    assert said == ["x: 6.0 s", "x: 7 frames", *(f"x: {k} of 4 windows" for k in (1, 2, 3, 4))]


def test_a_second_part_of_another_shape_is_an_error_of_its_clip(media, both):
    media(6.0)
    found = both()
    found.looks.run = lambda inputs: np.ones((len(inputs[0]), 9), np.float32)
    (answer,) = found.shared.predict(["x.mp4"], window=3.0, hop=1.0)
    assert "frames has shape (1, 4, 9), this network needs (B, 4, 4) float32" in answer.error
