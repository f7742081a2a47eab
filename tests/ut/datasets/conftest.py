# SPDX-License-Identifier: Apache-2.0
"""A tiny corpus of fake media, and records made of it once."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.datasets.build.plan import make_plan
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.datasets.build.summary import COLUMNS
from mindface_eri.datasets.labels import ClipEntry, Manifest
from mindface_eri.datasets.parts import Work, save_clip, save_failure, write_part

HERE = Path(__file__).parents[2] / "extractors"
TINY = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=4, stack=2))


def write_corpus(root, texts, labels=None):
    """A Hume-Reaction layout of fake clips; every fourth is Val, every fifth Test, whose labels are blank."""
    rows = ["File_ID,Split,Joy,Fear,Subject,Country"]
    for i, text in enumerate(texts):
        split = "Test" if i % 5 == 4 else "Val" if i % 4 == 3 else "Train"
        values = "," if split == "Test" else f"{i / len(texts):.4f},1.0"
        values = labels[i] if labels and i in labels else values
        folder = root / split.lower() / "mp4"
        folder.mkdir(parents=True, exist_ok=True)
        if text is not None:
            (folder / f"{i:05d}.mp4").write_text(str(text))
        rows.append(f"[{i:05d}],{split},{values},s{i % 3},\"A, B\"")
    (root / "data_info.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="session")
def tiny():
    return TINY


@pytest.fixture(scope="session")
def corpus_writer():
    return write_corpus


@pytest.fixture(scope="session")
def manifest_of():
    """Makes a manifest of `count` clips c0, c1, ... without files; every fourth is a test clip with one label."""
    def make(count, extra=(), emotions=("Joy", "Fear")):
        splits = ("train", "val", "train", "test")
        clips = [ClipEntry(f"c{i}", splits[i % 4], (i / 100, math.nan if i % 4 == 3 else 0.5),
                           extra={name: f"{name}{i}" for name in extra}) for i in range(count)]
        return Manifest(emotions, tuple(clips), tuple(extra), "labels.csv")
    return make


@pytest.fixture
def extractor(monkeypatch):
    """The fake extractor's name; worker processes find it through the path."""
    monkeypatch.syspath_prepend(str(HERE))
    return "fake_extractor:extract"


@pytest.fixture
def content(extractor):
    """What the fake extractor finds in a file that holds a number; `extractor` puts it on the path."""
    import fake_extractor

    return fake_extractor.content


@pytest.fixture(scope="session")
def records_folder(tmp_path_factory):
    """40 clips with ids 00000 to 00039, 24 train, 8 val, 8 test, stored as JPEG."""
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(HERE))
    root = tmp_path_factory.mktemp("records")
    write_corpus(root / "data", range(40))
    preprocess_dataset(root / "data", root / "out", TINY, extractor="fake_extractor:extract", progress=False)
    patch.undo()
    return root / "out"


def _put(plan, position, *, heard=1, failed=None, **row):
    """What a worker leaves of a clip."""
    work = Work(plan.out, plan.block_of(position))
    work.folder.mkdir(parents=True, exist_ok=True)
    if failed:
        save_failure(work.failure(position), *failed)
        return
    count, size, config = plan.config.frames, plan.config.face.size, plan.config
    arrays = {"frames": np.full(count * size * size * 3, position, np.uint8), "present": np.float32([1, heard]),
              "mfcc": np.arange(count * config.audio.features, dtype=np.float32).reshape(count, -1) + 10 * position,
              "timestamps": np.arange(count), "boxes": np.zeros((count, 4)), "detected": np.full(count, 3),
              "landmarks": np.full((count, 68, 2), position)}
    found = {**dict.fromkeys(COLUMNS, "0"), "present_acoustic": heard, "content_hash": f"{position:x}", **row}
    save_clip(work.clip(position), arrays, found)


def _pack(plan, block):
    clips = [(p, plan.manifest.clips[p]) for p in plan.positions(block)]
    return write_part(plan.out, block, [(p, clip.id, clip.split, clip.labels) for p, clip in clips])


@pytest.fixture
def plan(tmp_path, tiny, manifest_of):
    """Seven clips in blocks of three; nothing is done yet."""
    config = replace(tiny, storage="raw")
    made = make_plan(tmp_path / "out", manifest_of(7, ("Country", "duration", "split")), config, resume=False,
                     num_shards=1)
    return replace(made, block_size=3)


@pytest.fixture(scope="session")
def put():
    """The function that leaves a clip's file as a worker does."""
    return _put


@pytest.fixture(scope="session")
def pack():
    """The function that makes a plan's block a part of the records."""
    return _pack
