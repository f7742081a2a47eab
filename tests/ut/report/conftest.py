# SPDX-License-Identifier: Apache-2.0
"""Clips, records, runs and a predictor with the attributes of the real ones, for tests of what is made of them."""

from __future__ import annotations

import csv
import dataclasses
import json
import types
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.datasets.records import Records
from mindface_eri.prediction.analysis import Analysis
from mindface_eri.preprocess.audio import Audio
from mindface_eri.preprocess.clip import Clip
from mindface_eri.preprocess.video import write_video

CONFIG = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=8, stack=2))


def _clip(count=4, *, face=True, sound=True, seconds=3.0, states=None, note=""):
    """A clip of `count` samples; brightness of the crops grows with time."""
    detected = np.full(count, 3, np.uint8) if states is None else np.array(states, np.uint8)
    frames = np.linspace(40, 220, count).astype(np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    mfcc = np.random.default_rng(0).normal(size=(count, 16)).astype(np.float32) * sound
    boxes = np.tile(np.array([10, 10, 40, 40], np.float32), (count, 1))
    points = np.random.default_rng(1).uniform(12, 38, (count, 68, 2)).astype(np.float32)
    return Clip(frames=frames * face, mfcc=mfcc, present=np.array([face, sound], np.float32),
                timestamps=np.linspace(0, seconds, count).astype(np.float32), boxes=boxes, landmarks=points,
                detected=detected * face, detector="dlib" if face else "none", found_share=float(face), others=0,
                duration=seconds, fps=10.0, width=64, height=48, note=note)


class FakePredictor:
    """Says the mean brightness of the crops for each emotion, or, without a face, 0.5."""

    emotions = EMOTIONS
    preprocess = CONFIG
    model = types.SimpleNamespace(name="eri_dual_branch", features=())

    def predict_arrays(self, frames, mfcc, present):
        assert frames.dtype == np.uint8
        assert mfcc.shape[:2] == frames.shape[:2]
        value = np.where(present[:, 0] > 0, frames.reshape(len(frames), -1).mean(1) / 255, 0.5)
        return np.tile(value[:, None], (1, len(self.emotions)))


class SeeingPredictor(FakePredictor):
    """Looks at each window's last frame, and at the first position of each frame."""

    def attention(self, frames, mfcc, present):
        temporal = np.zeros(frames.shape[:2])
        temporal[:, -1] = 1
        spatial = np.zeros((*frames.shape[:2], 7, 7))
        spatial[..., 0, 0] = 1
        return self.predict_arrays(frames, mfcc, present), temporal, spatial


def _analysis(clip=None, *, name="clip", emotions=EMOTIONS, attention=True, segments=None, values=None, **more):
    """What `analyse` would give for a clip."""
    clip = _clip() if clip is None else clip
    count = len(clip.timestamps)
    if segments is None:
        segments, values = np.array([[0.0, float(clip.timestamps[-1])]]), np.linspace(0.1, 0.9, len(emotions))[None]
    wave = np.sin(np.linspace(0, 60, 8000)).astype(np.float32) if clip.present[1] else None
    return Analysis(name=name, path=Path("clip.mp4"), clip=clip,
                    emotions=tuple(emotions), intensities=np.nanmean(values, 0), segments=np.asarray(segments, float),
                    values=np.asarray(values, float),
                    temporal=np.full(count, 1 / count) if attention else None,
                    spatial=np.full((count, 7, 7), 1 / 49) if attention and clip.present[0] else None,
                    waveform=wave, **more)


@pytest.fixture()
def make_clip():
    return _clip


@pytest.fixture()
def make_analysis():
    return _analysis


@pytest.fixture()
def predictor():
    return FakePredictor()


@pytest.fixture()
def seeing_predictor():
    return SeeingPredictor()


@pytest.fixture(scope="session")
def faceless_video(tmp_path_factory):
    """4 s, 10 frames a second, no face, with a tone in its first half."""
    path = tmp_path_factory.mktemp("video") / "tone.mp4"
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * 16000) / 16000).astype(np.float32)
    tone[2 * 16000:] = 0
    write_video(path, [np.full((48, 64, 3), 10 * i % 250, np.uint8) for i in range(40)], 10, tone)
    return path


@pytest.fixture(scope="session")
def silent_video(tmp_path_factory):
    """2 s, 10 frames a second, no face, no sound: nothing to work on."""
    path = tmp_path_factory.mktemp("video") / "silent.mp4"
    write_video(path, [np.full((48, 64, 3), 100, np.uint8)] * 20, 10)
    return path


KNOWN = np.random.default_rng(1).random((20, 7)).astype(np.float32)
SPLITS = ["train"] * 10 + ["val"] * 6 + ["test"] * 4


def _records(path, splits=None, ids=None, emotions=EMOTIONS, columns=None):
    """Records without clips; the test split has no labels. `columns`: further columns of the table."""
    splits = SPLITS if splits is None else splits
    ids = [f"{i:05d}" for i in range(len(splits))] if ids is None else ids
    table = tuple({"id": name, "split": split, **{key: cells[row] for key, cells in (columns or {}).items()}}
                  for row, (name, split) in enumerate(zip(ids, splits)))
    labels = np.full((len(splits), len(emotions)), np.nan, np.float32)
    for row in range(min(len(splits), 20)):
        labels[row] = np.nan if splits[row] == "test" else KNOWN[row, :len(emotions)]
    return Records(Path(path), emotions, PreprocessConfig(), "hash", table, (), labels, np.zeros(1), np.ones(1),
                   tuple(columns or ()))


@pytest.fixture()
def make_records():
    return _records


@pytest.fixture(scope="session")
def known_labels():
    """(20, 7) labels of the clips of `make_records`, those of the test split among them."""
    return KNOWN


def _write_run(run, records, step, number):
    """What a finished step leaves: predictions are the labels plus a noise of its own."""
    from mindface_eri.config import save_config
    from mindface_eri.datasets.folds import fold_splits

    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "best.ckpt").touch()
    save_config(step.config, run / "config.yaml")
    (run / "environment.json").write_text('{"device": "CPU", "processes": 1, "mindspore": "2.10.0"}')
    (run / "done.json").write_text(json.dumps({"val_pearson": 0.5 + number / 100, "best_epoch": 2, "epochs": 3,
                                               "seconds": 4.5 + number}))
    (run / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "loss": 0.1, "val_pearson": 0.5, "lr": 1e-4}) + "\n")
    splits = fold_splits(records, step.config.data)
    for split in ("val", "test") if step.predicts_test else ("val",):
        rows = [row for row, name in enumerate(splits) if name == split]
        spread = 0.1 if "fusion" in step.name else 0.5
        noise = np.random.default_rng(number).random((len(rows), 7))
        write_predictions(run / f"predictions_{split}.csv", [records.table[row]["id"] for row in rows], EMOTIONS,
                          (1 - spread) * KNOWN[rows] + spread * noise)


@pytest.fixture()
def finish(tmp_path, monkeypatch):
    """Makes a protocol whose every step is done, in `out` of a folder of its own."""
    from mindface_eri.evaluation import runs
    from mindface_eri.reproduce import ensemble, reproduction
    from mindface_eri.reproduce.protocol import Protocol, choose_recipes

    def make(records=None, **more):
        records = _records(tmp_path / "records") if records is None else records
        for place in (runs, ensemble):
            monkeypatch.setattr(place, "open_records", lambda path: records)
        monkeypatch.setattr(reproduction, "draw_learning_curves", lambda run: None)
        records.path.mkdir(exist_ok=True)
        protocol = Protocol(tmp_path / "out", records, choose_recipes([]), **more)
        for number, step in enumerate(protocol.steps()):
            _write_run(protocol.out / step.name, records, step, number)
        return protocol

    return make


@pytest.fixture()
def done(finish):
    """A finished protocol with two seeds and two feature sets."""
    return finish(seeds=(0, 1), sets=("FAU", "both"))


@pytest.fixture()
def media(monkeypatch):
    """What `analyse` finds in a file: a clip with so many seconds, and a sound that begins at `start`."""
    from mindface_eri.prediction import analysis as module

    def put(seconds, *, waveform=None, start=0.0, begin=0.0, times=None, **more):
        asked = []

        def extract(path, config, audio_path=None):
            asked.append((Path(path), config, audio_path))
            clip = _clip(config.frames, seconds=seconds, sound=waveform is not None, **more)
            return clip if times is None else dataclasses.replace(clip, timestamps=np.array(times, np.float32))

        def load(path, rate):
            asked.append((Path(path), rate))
            return Audio(np.asarray(waveform, np.float32), start)

        monkeypatch.setattr(module, "extract_clip", extract)
        monkeypatch.setattr(module, "duration_of", lambda path: seconds)
        monkeypatch.setattr(module, "load_audio", load)
        monkeypatch.setattr(module, "read_frames", lambda path: iter([(begin, None), (begin + 1, None)]))
        return asked

    return put


@pytest.fixture()
def short_cells():
    """The module csv takes no cell of more than a thousand letters; MindSpore raises what it takes by default."""
    before = csv.field_size_limit(1000)
    yield
    csv.field_size_limit(before)
