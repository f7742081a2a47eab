# SPDX-License-Identifier: Apache-2.0
"""What the tests of failures share: a corpus, records and trained runs, all tiny, made by the commands."""

import contextlib
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))  # for the hand-made model

RECIPE = """
preprocess: {frames: 4, face: {size: 32, detector: dlib}, audio: {coefficients: 8, stack: 2}}
model: {name: eri_acoustic, frames: 4, crop_size: 32, mfcc_features: 16, width: 8, temporal_depth: 1, temporal_heads: 2,
        temporal: plain, tcn_dilations: [1], emotions: [Joy, Fear]}
train: {epochs: 3, batch_size: 4, lr: 1e-3}
runtime: {mode: pynative, threads: 1, device: CPU}
"""


def run(*words):
    """Runs a command in this process: its exit status and all that it said, in which there is no traceback."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main([str(word) for word in words])
    assert "Traceback" not in said.getvalue()
    return status, said.getvalue()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Paths: corpus, records, trained (a run of the acoustic branch), model (ONNX), clip, recipe."""
    from toy_model import write_model

    root = tmp_path_factory.mktemp("tiny")
    (root / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (root / "model").mkdir()
    paths = {name: root / name for name in ("corpus", "records", "trained")}
    short = ("--clips", 12, "--duration", 0.3, 0.3, "--fps", 10, 10, "--workers", 1)
    assert run("synthesize", paths["corpus"], *short)[0] == 0
    table = paths["corpus"] / "data_info.csv"
    kept = [line.split(",")[:4] for line in table.read_text(encoding="utf-8").splitlines()]
    kept[0][2:] = ["Joy", "Fear"]
    table.write_text("".join(",".join(row) + "\n" for row in kept), encoding="utf-8")
    config = ("--config", root / "recipe.yaml")
    assert run("preprocess", paths["corpus"], paths["records"], *config, "--workers", 1)[0] == 0
    assert run("train", *config, "--data", paths["records"], "--out", paths["trained"])[0] == 0
    return SimpleNamespace(**paths, recipe=root / "recipe.yaml", model=write_model(root / "model"), run=run,
                           clip=paths["corpus"] / "test" / "mp4" / "00010.mp4")
