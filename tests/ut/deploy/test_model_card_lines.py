# SPDX-License-Identifier: Apache-2.0
"""The model card line by line: each fact in its place, with and without a run, files, records and scores."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.config import AudioConfig, Config, DataConfig, FaceConfig, ModelConfig, PreprocessConfig, save_config
from mindface_eri.deploy import model_card
from mindface_eri.deploy.model_card import write_model_card
from mindface_eri.errors import DataError
from mindface_eri.evaluation.runs import Scored
from mindface_eri.runner.checkpoint import checkpoint_hash
from mindface_eri.runner.run_folder import RunFolder, TrainedModel

MODEL = ModelConfig(name="eri_acoustic", emotions=("Joy", "Awe"), frames=8, mfcc_features=120)
PREPROCESS = PreprocessConfig(frames=8, audio=AudioConfig(sample_rate=8000, coefficients=40, stack=3), face=FaceConfig(
    detector="mtcnn", mode="every-frame", follow="center", margin=0.35, align=True))
WEIGHTS = {"a": np.arange(6, dtype="f").reshape(2, 3), "b": np.zeros(1000, "f")}
LABELS = np.array([[0.1, 0.9], [0.4, 0.2], [0.8, 0.5], [0.3, 0.6], [0.7, np.nan]])  # one clip has no label
GUESSES = np.array([[0.2, 0.7], [0.3, 0.4], [0.9, 0.2], [0.1, 0.6], [0.3, 0.3]])


@pytest.fixture
def run(tmp_path):
    """The folder of a run with that recipe."""
    folder = RunFolder(tmp_path / "run").make()
    save_config(Config(model=MODEL, preprocess=PREPROCESS, data=DataConfig(records="the records", fold_seed=7)),
                folder.config)
    return folder


@pytest.fixture
def records(monkeypatch):
    """Stand-ins for the run's records and its scored predictions; returns what was asked for."""
    asked = []

    def resolve(given, config):
        asked.append((given, config))
        return SimpleNamespace(splits={"train": 1234, "val": 5}, hash="abc_*")

    def scored(path, split):
        asked.append((path, split))
        return Scored("run", tuple("abcde"), MODEL.emotions, GUESSES, LABELS, {"Subject_1": tuple("uuvvw")},
                      group="Subject_1")

    monkeypatch.setattr(model_card, "resolve_records", resolve)
    monkeypatch.setattr(model_card, "read_scored", scored)
    return asked


def describe(folder, kind, **said):
    (folder / f"eri_acoustic.{kind}").touch()
    (folder / f"eri_acoustic.{kind}.json").write_text(json.dumps(
        {"max_difference": 1.26e-7, "batch": 16, "versions": {"mindspore": "2.10.0", "numpy": "1.26"},
         "inputs": [{"name": "mfcc", "shape": [16, 8, 120], "dtype": "float32"},
                    {"name": "present", "shape": [16, 2], "dtype": "float32"}], **said}))


def test_every_line_of_a_run(run, records, tmp_path):
    describe(tmp_path, "onnx", inputs=[], batch=None)
    describe(tmp_path, "mindir")
    describe(tmp_path, "air", max_difference=None)
    (tmp_path / "eri_visual.onnx.json").write_text("{}")  # another model's
    trained = TrainedModel(run.checkpoint("best"), MODEL, WEIGHTS, {"epoch": 7}, run)
    card = write_model_card(tmp_path, trained).read_text(encoding="utf-8")
    assert records == [(None, Config(model=MODEL, preprocess=PREPROCESS, data=DataConfig(records="the records",
                                                                                       fold_seed=7))),
                       (run.path, "val")]
    lines = card.splitlines()
    assert lines[:2] == ["# Model card: eri_acoustic", ""]
    begin, end = (next(i for i, line in enumerate(lines) if line.startswith(mark)) for mark in ("<!-- f", "<!-- /f"))
    assert "mindface-eri export" in lines[begin] and lines[end] == "<!-- /facts -->"
    facts = lines[begin + 1:end]
    scores = facts.index("## Validation")
    assert facts[:scores] == [
        "", "## Model", "", "- network: eri_acoustic, 1,006 numbers",
        "- inputs: mfcc \\[16, 8, 120\\] float32, present \\[16, 2\\] float32",
        "- output: intensities in (0, 1): Joy, Awe", f"- weights: hash {checkpoint_hash(WEIGHTS)}",
        "- trained: epoch 7", "",
        "Files, and by how much each one's intensities differ from the checkpoint's at most:", "",
        "| file                | batch | difference | written by                   |",
        "| ------------------- | ----- | ---------- | ---------------------------- |",
        "| eri_acoustic.air    | 16    | not run    | mindspore 2.10.0, numpy 1.26 |",
        "| eri_acoustic.mindir | 16    | 1.3e-07    | mindspore 2.10.0, numpy 1.26 |",
        "| eri_acoustic.onnx   | any   | 1.3e-07    | mindspore 2.10.0, numpy 1.26 |",
        "", "## Data", "",
        "Clips: 1,234 train, 5 val. Hash of the records (ids, splits, labels and contents): abc\\_\\*.", ""]
    assert facts[scores + 2] == (
        "5 validation clips; low and high bound Pearson at 95% by the jackknife over 3 groups by Subject_1. The "
        "checkpoint was chosen by this split, so expect less on new clips.")
    assert "This score is OPTIMISTIC: the best epoch was chosen by these 5 clips of 3 people." in facts[-11]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in facts if line.startswith("| ")][5:]
    assert table[0] == ["emotion", "Pearson", "low", "high", "CCC", "MSE", "MAE", "clips", "over", "note"]
    assert [row[0] for row in table[2:]] == ["Joy", "Awe", "mean"]
    known = (slice(5), slice(4))
    pearson = [np.corrcoef(GUESSES[known[e], e], LABELS[known[e], e])[0, 1] for e in (0, 1)]
    assert [row[1] for row in table[2:]] == [f"{value:.4f}" for value in (*pearson, np.mean(pearson))]
    errors = [np.abs(GUESSES - LABELS)[known[e], e].mean() for e in (0, 1)]
    assert [row[6:8] for row in table[2:4]] == [[f"{errors[e]:.4f}", str(5 - e)] for e in (0, 1)]
    assert facts[-10:] == [
        "", "## Preprocessing", "", "- frames: 8", "- face: detector mtcnn, mode every-frame, follow center",
        "- crop: 112 pixels, margin 0.35, aligned True", "- sound: 8000 Hz, 40 MFCC, 3 joined", "",
        "The sidecar has every value.", ""]
    assert [line for line in lines if line.startswith("## ")][-3:] == ["## Intended use", "## Limits", "## To fill in"]
    assert card.count("FILL IN") == 4


def test_a_lone_checkpoint(tmp_path):
    trained = TrainedModel(tmp_path / "best.ckpt", MODEL, WEIGHTS, {})
    card = write_model_card(tmp_path, trained).read_text()
    assert "- trained:" not in card and "- inputs:" not in card
    for sentence in ("The records that it was trained on are not at hand here. FILL IN",
                     "No predictions of this checkpoint on validation clips are at hand. FILL IN",
                     "That of the paper, with the sizes above; the sidecar has every value."):
        assert f"\n{sentence}\n" in card


def test_a_network_that_normalises_by_person_says_so(tmp_path):
    model = dataclasses.replace(MODEL, normalise_by_person=True)
    card = write_model_card(tmp_path, TrainedModel(tmp_path / "a.ckpt", model, WEIGHTS, {}, None)).read_text()
    assert "- people: needs 10 clips or more of each person together, with a mixture of reactions like that" in card


def test_a_run_without_scores(run, records, tmp_path, monkeypatch):
    def missing(path, split):
        raise DataError("none")

    monkeypatch.setattr(model_card, "read_scored", missing)
    card = write_model_card(tmp_path, TrainedModel(run.checkpoint("best"), MODEL, WEIGHTS, {}, run)).read_text()
    assert "\nNo predictions of validation clips, or no labels for them, are at hand. FILL IN\n" in card
    card = write_model_card(tmp_path, TrainedModel(run.checkpoint("last"), MODEL, WEIGHTS, {}, run)).read_text()
    assert "No predictions of this checkpoint on validation clips are at hand. FILL IN" in card


@pytest.mark.parametrize("old, kept", [
    ("befôre\n{begin}old facts{end}\nafter {begin}x{end}", ("befôre\n", "\nafter {begin}x{end}")),
    ("before\n{begin}no end", None), ("no begin {end}", None)])
def test_a_card_is_renewed_between_its_marks(old, kept, tmp_path, monkeypatch):
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text",  # as where the locale is not UTF-8
                        lambda self, encoding="ascii", errors=None: read(self, encoding, errors))
    trained = TrainedModel(tmp_path / "one.ckpt", MODEL, WEIGHTS, {})
    path = write_model_card(tmp_path, trained)
    fresh = path.read_text(encoding="utf-8")
    begin, end = next(line for line in fresh.splitlines() if line.startswith("<!-- facts")), "<!-- /facts -->"
    text = old.format(begin=begin, end=end)
    path.write_bytes(text.encode() + b"\xff")  # not UTF-8
    assert write_model_card(tmp_path, trained) == path
    if kept is None:
        assert path.read_bytes() == text.encode() + b"\xff"
    else:
        facts = fresh[fresh.index(begin):fresh.index(end) + len(end)]
        assert path.read_text(encoding="utf-8") == kept[0] + facts + kept[1].format(begin=begin, end=end) + "\ufffd"
