# SPDX-License-Identifier: Apache-2.0
"""Shared frames beside unshared ones, of a clip and a network that are made up; the times are not judged."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.benchmark import timeline
from mindface_eri.benchmark.harness import Timing
from mindface_eri.config import AudioConfig, Config, FaceConfig, ModelConfig, PreprocessConfig
from mindface_eri.deploy.parts import Parts
from mindface_eri.device import context
from mindface_eri.errors import ConfigError, MediaError
from mindface_eri.prediction.extraction import Taken
from mindface_eri.prediction.windows import plan_grid

TOY = ModelConfig(frames=4, crop_size=32, mfcc_features=16, stem_width=1, emotions=("Fear",))
CONFIG = Config(model=TOY, preprocess=PreprocessConfig(frames=4, face=FaceConfig(size=32),
                                                       audio=AudioConfig(coefficients=16, stack=1)))


@pytest.fixture
def made(monkeypatch, make_clip):
    """A network that counts the crops it sees, in windows and alone; 10 of them, in 7 windows of 4."""
    seen = SimpleNamespace(whole=0, alone=0, asked=[], taken=Taken(make_clip(10, seconds=9.0), plan_grid(9, 4, 3, 1)))

    def whole(inputs):
        seen.whole += inputs[0].shape[0] * inputs[0].shape[1]
        return np.full((len(inputs[0]), 1), 0.5)

    def alone(inputs):
        seen.alone += len(inputs[0])
        return np.zeros((len(inputs[0]), 4), np.float32)

    def in_turns(calls, repeats):
        counts = {}
        for name, call in calls.items():
            before = seen.whole, seen.alone
            call()
            counts[name] = seen.whole - before[0], seen.alone - before[1]
        seen.asked.append((counts, repeats))
        return {name: Timing((float(i),)) for i, name in enumerate(calls, start=1)}, {}

    backend = SimpleNamespace(run=whole)
    temporal = SimpleNamespace(run=lambda inputs: np.full((len(inputs[0]), 1), 0.5))
    monkeypatch.setattr(timeline, "in_turns", in_turns)
    monkeypatch.setattr(timeline, "take_apart", lambda *asked: seen.asked.append(asked) or seen.taken)
    monkeypatch.setattr(timeline, "_networks", lambda config, folder, threads: {
        "toy": (backend, Parts(SimpleNamespace(run=alone), temporal, False))})
    monkeypatch.setattr(context, "setup", lambda config: seen.asked.append(config.threads))
    return seen


def test_a_row_beside_windows_that_share_nothing(made):
    one, = timeline.benchmark_timeline(["a/one.mp4"], repeats=5, threads=3, config=CONFIG)
    threads, (preprocess, windows, job), (counts, repeats) = made.asked
    assert (threads, preprocess, windows.window, str(job.video), repeats) == (
        3, CONFIG.preprocess, 12.0, "a/one.mp4", 5)
    assert counts == {"ours": (0, 10), "theirs": (28, 0), "limit": (0, 10)}
    assert (one.what, one.note) == ("timeline of one.mp4: toy", "10 frames, 7 windows of 4")
    assert (one.ours.median, one.theirs.median, one.bound.median) == (1, 2, 3)
    made.taken = Taken(None, error="one.mp4: broken")
    with pytest.raises(MediaError, match="one.mp4: broken"):
        timeline.benchmark_timeline(["a/one.mp4"], config=CONFIG)


def test_a_network_without_frames_has_no_timeline_to_share(monkeypatch):
    monkeypatch.setattr(context, "setup", lambda config: None)
    model = dataclasses.replace(TOY, name="eri_acoustic", mfcc_features=128, stem_width=8, spatial_heads=2, width=16,
                                temporal_depth=1, temporal_heads=2)
    config = Config(model=model, preprocess=dataclasses.replace(CONFIG.preprocess, audio=AudioConfig(stack=1)))
    with pytest.raises(ConfigError, match="benchmark timeline: eri_acoustic does nothing with each frame alone"):
        timeline.benchmark_timeline(config=config)
