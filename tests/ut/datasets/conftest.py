# SPDX-License-Identifier: Apache-2.0
"""A tiny corpus of fake media, and records made of it once."""

import math
from pathlib import Path

import pytest

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.datasets.labels import ClipEntry, Manifest

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
