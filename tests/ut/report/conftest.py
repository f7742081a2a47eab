# SPDX-License-Identifier: Apache-2.0
"""A film that is read and an overlay that is written without any codec, for tests of each pixel and sample."""

import dataclasses
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.preprocess.track import Track
from mindface_eri.report import overlay

Shade = dataclasses.make_dataclass("Shade", ["height", "rgb"])


class Film:
    """Pictures of one shade each, of instants `times`; `made` is what is written, before any codec.

    `sounds`: decoded frames of its own sound track, each with the number of the picture before which it is heard.
    """

    def __init__(self, monkeypatch):
        self.made, self.read, self.loaded, self.sounds = [], [], [], []
        self.size, self.times, self.separate = (120, 160), [0.0], None
        monkeypatch.setattr(overlay, "read_frames", self.pictures)
        monkeypatch.setattr(overlay, "read_frames_and_sound", self.pictures)
        monkeypatch.setattr(overlay, "read_sound", self.load)
        monkeypatch.setattr(overlay, "open_writer", self.write)

    def pictures(self, path, hear=None, info=None, sound=None):
        self.read.append((path, hear is not None))
        height, width = self.size
        for number, seconds in enumerate(self.times):
            self._sound_before(number, hear)
            yield seconds, Shade(height, lambda scale, shade=number: np.full(
                (round(height * scale), round(width * scale), 3), shade, np.uint8))
        self._sound_before(len(self.times), hear)

    def _sound_before(self, number, hear):
        for place, frame in self.sounds if hear is not None else ():
            if place == number:
                hear(frame)

    def load(self, path, rate, mix):
        self.loaded.append((path, rate))
        return iter(np.array_split(self.separate, 3))

    @contextmanager
    def write(self, path, fps, rate=None):
        frames, pieces = [], []
        yield SimpleNamespace(frame=frames.append, sound=lambda samples: pieces.append((len(frames), samples)))
        self.made.append(SimpleNamespace(path=path, frames=frames, fps=fps, rate=rate, pieces=pieces))

    @property
    def sound(self):
        """(samples,) of the last overlay."""
        return np.concatenate([piece for _, piece in self.made[-1].pieces])

    @property
    def frames(self):
        """Pictures and panels of the last overlay."""
        height, width = (round(side * min(1.0, 720 / self.size[0])) for side in self.size)
        assert all(frame.shape[0] == height for frame in self.made[-1].frames)
        return [(frame[:, :width], frame[:, width:]) for frame in self.made[-1].frames]


@pytest.fixture()
def film(monkeypatch):
    return Film(monkeypatch)


@pytest.fixture()
def tracked(make_prediction, make_clip):
    """`tracked(times, states, boxes, landmarks)`: a prediction whose face was followed in each of these frames.

    Of its values over time, the third emotion has none; they hold at 1 and 3 s.
    """
    def make(times=(0.0,), states=None, boxes=None, landmarks=None, *, values=((0.2, 0.9, np.nan), (0.6, 0.1, np.nan)),
             **more):
        count = len(times)
        track = Track(np.asarray(times, float), np.zeros((count, 4)) if boxes is None else np.array(boxes, np.float32),
                      np.zeros((count, 2, 2)) if landmarks is None else np.array(landmarks, np.float32),
                      np.zeros(count, np.uint8) if states is None else np.array(states, np.uint8))
        clip = dataclasses.replace(make_clip(2, seconds=1.0), **{"track": track, "fps": 10.0, **more})
        found = make_prediction(clip, emotions=("Fear", "Joy", "Awe"), segments=[[0, 1]], values=[[0.5, 0.5, 0.5]])
        return dataclasses.replace(found, moments=np.array([1.0, 3.0]), moving=np.array(values))

    return make
