# SPDX-License-Identifier: Apache-2.0
"""What is written beside the rows, under which names, and what it says gave the numbers."""

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import mindface_eri
from mindface_eri.errors import ConfigError, MediaError
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.report import clip_figure, overlay
from mindface_eri.report.provenance import provenance_of
from mindface_eri.report.writer import Writer

NAMES = ["a b", "a_b"]


@pytest.fixture()
def overlays(monkeypatch):
    """Overlays that are asked for; the one of `a_b` cannot be drawn."""
    asked = []

    def write(prediction, out):
        asked.append((prediction, Path(out)))
        if prediction.name == "a_b":
            raise MediaError("a_b.mp4: has no picture to draw on")
        return Path(out)

    monkeypatch.setattr(overlay, "write_overlay", write)
    return asked


@pytest.fixture()
def figures(monkeypatch):
    """Figures that are asked for; each is a blank, since drawing one takes a second."""
    asked = []
    monkeypatch.setattr(clip_figure, "prediction_figure", lambda *args, **more: asked.append((args, more)) or Figure(
        figsize=(1, 1)))
    return asked


def test_folders_get_a_file_a_clip_and_an_index(tmp_path, make_prediction, predictor, overlays, figures):
    writer = Writer(NAMES, predictor, tmp_path, report=tmp_path / "r", overlay=tmp_path / "o", figure=tmp_path / "f")
    found = [make_prediction(name=name) for name in NAMES]
    for prediction in found:
        writer(prediction)
    assert writer.finish() == [tmp_path / "r" / "index.html", tmp_path / "o" / "a_b.mp4", tmp_path / "f" / "a_b.png",
                               tmp_path / "f" / "a_b.svg", tmp_path / "f" / "a_b-2.png", tmp_path / "f" / "a_b-2.svg"]
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["a_b-2.html", "a_b.html", "index.html"]
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["a_b-2.png", "a_b-2.svg", "a_b.png", "a_b.svg"]
    assert "<h1>a b</h1>" in (tmp_path / "r" / "a_b.html").read_text()
    assert "eri_dual_branch" in (tmp_path / "r" / "a_b-2.html").read_text()
    index = (tmp_path / "r" / "index.html").read_text()
    assert '<a href="a_b.html">a b</a>' in index and '<a href="a_b-2.html">a_b</a>' in index
    assert "<button type=\"button\">Adoration</button>" in index
    assert overlays == [(found[0], tmp_path / "o" / "a_b.mp4"), (found[1], tmp_path / "o" / "a_b-2.mp4")]
    assert [shown for (shown,), _ in figures] == found
    assert writer.failures == ["no overlay: a_b.mp4: has no picture to draw on"]


def test_a_clip_that_failed_is_a_line_of_the_index(tmp_path, make_prediction, predictor, overlays, figures):
    writer = Writer(NAMES, predictor, tmp_path, report=tmp_path / "r", overlay=tmp_path / "o", figure=tmp_path / "f")
    writer(Prediction("a b", predictor.emotions, error="no face, no sound"))
    writer(make_prediction(name="a_b"))
    assert writer.finish()[0] == tmp_path / "r" / "index.html"
    index = (tmp_path / "r" / "index.html").read_text()
    assert "2 clips, 1 of which could not be used" in index and "no face, no sound" in index
    assert index.index("no face, no sound") < index.index("a_b-2.html")
    assert not (tmp_path / "r" / "a_b.html").exists() and len(overlays) == len(figures) == 1


@pytest.mark.parametrize("name, files", [("p.html", ["p.html"]), ("P.HTM", ["P.HTM"])])
def test_one_clip_may_be_a_file(tmp_path, make_prediction, predictor, overlays, name, files):
    writer = Writer(NAMES[:1], predictor, tmp_path, report=tmp_path / name, overlay=tmp_path / "x.MOV")
    assert (writer.attention, writer.moving) == (True, True)
    writer(make_prediction())
    assert writer.finish() == [tmp_path / files[0], tmp_path / "x.MOV"]
    assert [path.name for path in tmp_path.iterdir()] == files
    assert overlays[0][1] == tmp_path / "x.MOV"


def test_an_overlay_alone_asks_for_no_attention(tmp_path, make_prediction, predictor, overlays):
    writer = Writer(NAMES[:1], predictor, tmp_path, overlay=tmp_path / "x.mkv")
    assert (writer.attention, writer.moving) == (False, True)
    writer(make_prediction())
    assert writer.finish() == [tmp_path / "x.mkv"]
    for kind in ("figure", "report"):  # and these show nothing that moves
        writer = Writer(NAMES, predictor, tmp_path, **{kind: tmp_path / "r"})
        assert (writer.attention, writer.moving) == (True, False)


@pytest.mark.parametrize("kind, endings", [("report", ("html", "htm")), ("overlay", ("mp4", "mov", "mkv")),
                                           ("figure", ("png", "svg", "pdf"))])
def test_several_clips_do_not_fit_into_a_file(tmp_path, predictor, kind, endings):
    for ending in endings:
        path = tmp_path / f"x.{ending}"
        with pytest.raises(ConfigError, match=rf"--{kind} {path}: 2 clips do not fit into one file; name a folder"):
            Writer(NAMES, predictor, tmp_path, **{kind: path})
        Writer(NAMES[:1], predictor, tmp_path, **{kind: path})
    Writer(NAMES, predictor, tmp_path, **{kind: tmp_path / "x.txt"})


def test_a_figure_shows_sound_attention_and_name(tmp_path, make_prediction, predictor, figures):
    prediction = make_prediction(name="x y")
    writer = Writer(NAMES[:1], predictor, tmp_path, figure=tmp_path / "one.svg")
    writer(prediction)
    assert writer.finish() == [tmp_path / "one.png", tmp_path / "one.svg"]
    (shown,), more = figures[0]
    assert shown is prediction and more == {"title": "x y"}


def test_provenance_names_weights_versions_and_preprocessing(tmp_path, predictor, monkeypatch):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    facts = provenance_of(run, predictor)
    assert "weights" not in facts
    (run / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    (run / "checkpoints" / "last.ckpt").write_bytes(b"others")
    facts = provenance_of(run, predictor)
    assert list(facts) == ["model", "network", "weights", "emotions", "preprocessing", "software"]
    digest = hashlib.sha256(b"weights").hexdigest()
    assert (facts["model"], facts["network"]) == ("run", "eri_dual_branch")
    assert facts["weights"] == f"best.ckpt, sha256 {digest[:16]}"
    assert facts["emotions"] == "Adoration, Amusement, Anxiety, Disgust, Empathic-Pain, Fear, Surprise"
    parts = facts["preprocessing"].split(", ")
    assert parts[0] == "frames 4" and {"face.size 32", "audio.coefficients 8", "audio.stack 2"} <= set(parts)
    software = facts["software"].split(", ")
    assert software[0] == f"mindface_eri {mindface_eri.__version__}"
    assert f"numpy {np.__version__}" in software and f"python {platform.python_version()}" in software
    for name, package in (("mindspore", "mindspore"), ("dlib", "dlib-bin"), ("librosa", "librosa"), ("av", "av")):
        assert [part for part in software if part.startswith(f"{name} ")] == [f"{name} {version(package)}"]
    (tmp_path / "m.onnx").write_bytes(b"model")
    assert provenance_of(tmp_path / "m.onnx", predictor)["weights"].startswith("m.onnx, sha256 9372c470eeadd5ec")
    monkeypatch.chdir(run)
    assert provenance_of(".", predictor)["model"] == "run"
    predictor.precision = "int8-static"
    assert provenance_of(run, predictor)["precision"] == "int8-static"


def test_a_drawing_that_fails_costs_itself_alone(tmp_path, make_prediction, predictor, overlays, monkeypatch):
    def fail(prediction, **_):
        raise ZeroDivisionError("by an odd clip") if prediction.name == "a b" else OSError(28, "No space left", "f")

    monkeypatch.setattr(clip_figure, "prediction_figure", fail)
    writer = Writer(NAMES, predictor, tmp_path, report=tmp_path / "r", figure=tmp_path / "f")
    writer(make_prediction(name="a b"))
    assert writer.failures == ["no figure of a b: ZeroDivisionError: by an odd clip"] and len(writer.pages) == 1
    with pytest.raises(OSError, match="No space left"):  # all that follow would fail as well
        writer(make_prediction(name="a_b"))
