# SPDX-License-Identifier: Apache-2.0
"""What a drawn person does over a minute, frame by frame, without drawing it."""

import numpy as np
import pytest

from mindface_eri.synthetic import performance

SECONDS, FPS = 60.0, 20


class Camera:
    """Stands for a portrait: notes what it is to draw."""

    def __init__(self, person, size, rng):
        self.made = person, size

    def frame(self, expression, pose, grain):
        return self.made, expression, pose, grain


@pytest.fixture(scope="module")
def clip():
    """(plan, what is drawn of each frame)."""
    patch = pytest.MonkeyPatch()
    patch.setattr(performance, "Portrait", Camera)
    plan = performance.plan(2, 4, 7, (SECONDS, SECONDS), (FPS, FPS))
    frames = list(performance.draw_frames(plan, (96, 72)))
    patch.undo()
    return plan, frames


def of(clip, name):
    return np.array([getattr(expression, name) for _, expression, _, _ in clip[1]])


def test_a_frame_for_each_instant(clip):
    plan, frames = clip
    assert len(frames) == SECONDS * FPS and frames[0][0] == (plan.person, (96, 72))
    grains = np.array([grain for *_, grain in frames])
    assert grains.shape == (1200, 2) and grains.min() == 0 and grains.max() == 63


def test_each_emotion_moves_its_part_of_the_face_along_the_envelope(clip):
    plan, _ = clip
    time = np.arange(SECONDS * FPS) / FPS
    level = np.array([plan.envelope(share) for share in time / SECONDS]) * (1 + 0.04 * np.sin(5 * time))
    for number, name in enumerate(("blush", "smile", "furrow", "sneer", "grief", "wide", "brows")):
        np.testing.assert_allclose(of(clip, name), np.clip(level * plan.face[number], 0, 1), atol=1e-12, err_msg=name)
    np.testing.assert_array_equal(of(clip, "tilt"), of(clip, "blush"))
    np.testing.assert_array_equal(np.abs(of(clip, "gaze")), of(clip, "furrow"))
    assert {-1.0, 1.0} <= set(np.sign(of(clip, "gaze"))), "to either side"
    open_by = of(clip, "jaw") - of(clip, "brows")
    assert open_by.min() < 0.005 and 0.075 < open_by.max() <= 0.08 + 1e-12


def test_blinks_are_short_and_come_at_one_interval(clip):
    blink = of(clip, "blink")
    assert set(blink) == {0.0, 1.0}
    starts = np.flatnonzero(np.diff(blink) == 1) + 1
    every = np.diff(starts) / FPS
    assert every.min() >= 2.2 - 1 / FPS and every.max() <= 4.0 + 1 / FPS and np.ptp(every) <= 1 / FPS + 1e-9
    assert 0.09 < blink.sum() / FPS / len(starts) < 0.17, "0.13 s each"


def test_the_head_sways_and_leans_with_what_is_felt(clip):
    plan, frames = clip
    poses = [pose for _, _, pose, _ in frames]
    sway = np.array([pose.roll for pose in poses]) - 7.0 * of(clip, "tilt") * plan.person.tilt_side
    scale = np.array([pose.scale for pose in poses]) - 1.0 + 0.03 * of(clip, "wide")
    across, down = np.array([pose.shift for pose in poses]).T
    for values, most in ((sway, 1.5), (scale, 0.02), (across, 0.06), (down, 0.03)):
        assert values.max() == pytest.approx(most, rel=0.02) and values.min() == pytest.approx(-most, rel=0.02)
    crossings = [int((np.diff(np.sign(values)) != 0).sum()) for values in (sway, scale, across, down)]
    assert all(2 * 0.45 * 0.5 * SECONDS - 1 <= count <= 2 * 0.45 * 1.3 * SECONDS + 1 for count in crossings)
    assert len(set(crossings)) > 1


def test_the_voice_is_that_of_the_plan(monkeypatch):
    told = []
    monkeypatch.setattr(performance, "speak", lambda *arguments: told.append(arguments))
    plan = performance.plan(2, 4, 7, (1.5, 1.5), (FPS, FPS))
    performance.make_waveform(plan)
    person, voice, envelope, samples, rng = told[0]
    assert (person, envelope, samples) == (plan.person, plan.envelope, 24000) and voice is plan.voice
    assert rng.random() == np.random.default_rng(np.random.SeedSequence([2, 4, 3])).random()
