# SPDX-License-Identifier: Apache-2.0
"""What train, export, convert-weights, summary, demo and doctor hand over, print and end with."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri.doctor import Finding

TRAIN = "mindface_eri.runner.trainer.train"
CURVES = "mindface_eri.report.run_figures.draw_learning_curves"
EXPORT = "mindface_eri.deploy.exporter.export"
CONVERT = "mindface_eri.deploy.convert.convert_weights"
SUMMARY = "mindface_eri.models.summary.summarize"
DIAGNOSE = "mindface_eri.commands.doctor.diagnose"


def trained(**fields):
    return SimpleNamespace(**{"best_metric": 0.123456, "best_epoch": 4, "is_main": True, "pipeline_rate": None,
                              "history": [{"samples_per_second": 10.0}, {"samples_per_second": 20.0}], **fields})


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "r.yaml").write_text("train: {lr: 0.5, epochs: 9, visual_run: old}\ndata: {records: old}\n")
    return tmp_path / "r.yaml"


def test_a_training_is_told_what_the_options_say(stand_in, status, recipe):
    calls = stand_in(TRAIN, trained())
    stand_in(CURVES, Path("o/learning_curves.png"))
    words = ["train", "--config", recipe, "--out", "o"]
    assert status(*words, "--set", "train.lr=0.25", "--set", "data.workers=3")[0] == 0
    config = calls[0]["config"]
    assert (config.train.lr, config.train.epochs, config.data.workers, config.data.records) == (0.25, 9, 3, "old")
    assert (config.train.visual_run, config.train.acoustic_run, config.train.features_runs) == ("old", None, ())
    assert config.runtime.device == "auto"
    assert (calls[0]["out"], calls[0]["resume"], calls[0]["profile_data"]) == (Path("o"), False, False)
    status(*words, "--data", "d", "--visual-run", "v", "--acoustic-run", "a",
           "--features-run", "f", "--features-run", "g", "--device", "CPU", "--resume", "--set", "data.records=x",
           "--set", "runtime.device=GPU")
    config = calls[1]["config"]
    assert (config.data.records, config.train.visual_run, config.train.acoustic_run) == ("d", "v", "a")
    assert (config.train.features_runs, config.runtime.device) == (("f", "g"), "CPU")  # flags stand above --set
    assert (calls[1]["resume"], calls[1]["profile_data"]) == (True, False)
    status(*words, "--profile-data")
    assert (calls[2]["resume"], calls[2]["profile_data"]) == (False, True)


def test_a_training_ends_with_its_curves_and_its_best(stand_in, status, recipe):
    stand_in(TRAIN, trained())
    curves = stand_in(CURVES, Path("o/learning_curves.png"))
    words = ["train", "--config", recipe, "--out", "o"]
    assert status(*words)[1] == ("learning curves o/learning_curves.png\nbest validation Pearson 0.1235 in epoch 4; "
                                 "checkpoint o/checkpoints/best.ckpt\n")
    assert curves == [{"run": Path("o")}]
    stand_in(TRAIN, trained(pipeline_rate=60.0))
    assert status(*words)[1].startswith("data: alone 60 clips/s, 3.0 times the 20 that training takes\n")


def test_a_rank_that_does_not_write_says_nothing(stand_in, status, recipe):
    stand_in(TRAIN, trained(is_main=False, pipeline_rate=60.0))
    curves = stand_in(CURVES)
    assert status("train", "--config", recipe, "--out", "o")[:2] == (0, "") and not curves


@pytest.mark.parametrize("model, without", [
    ("{name: eri_acoustic}", True), ("{name: eri_multi_branch, takes: [mfcc, landmarks, present]}", True),
    ("{name: eri_visual}", False), ("{name: eri_dual_branch}", False), ("{name: one_of_a_plugin}", False)])
def test_training_without_convolutions(stand_in, status, recipe, monkeypatch, model, without):
    """Networks of others may hold some whatever they take."""
    from mindface_eri.device import context
    from mindface_eri.models.registry import NETWORK_INPUTS

    said = []
    monkeypatch.setattr(context, "compute_without_convolutions", lambda: said.append("products"))
    monkeypatch.setitem(NETWORK_INPUTS, "one_of_a_plugin", ("mfcc",))
    stand_in(TRAIN, trained(is_main=False))
    recipe.write_text(f"model: {model}\ndata: {{records: old}}\n")
    assert status("train", "--config", recipe, "--out", "o")[0] == 0
    assert said == ["products"] * without


def test_training_needs_no_matplotlib(stand_in, status, recipe, monkeypatch):
    stand_in(TRAIN, trained())
    monkeypatch.setitem(sys.modules, "mindface_eri.report.run_figures", None)
    code, out, _ = status("train", "--config", recipe, "--out", "o")
    assert code == 0 and out.startswith("no learning curves drawn: ") and "best validation Pearson 0.1235" in out


@pytest.mark.parametrize("override, said", [
    ("train.lr=fast", "train.lr"), ("train.lr", "expected key=value"), ("train.speed=1", "train.speed"),
    ("train.lr=-1", "train.lr")])
def test_a_wrong_override_is_wrong_usage(override, said, stand_in, status, recipe):
    calls = stand_in(TRAIN)
    code, out, shown = status("train", "--config", recipe, "--out", "o", "--set", override)
    assert (code, out, calls) == (2, "", []) and said in shown


def test_an_export_is_told_what_the_options_say(stand_in, status, tmp_path):
    (tmp_path / "m.mindir").write_bytes(b"1" * 1572864)
    report = SimpleNamespace(files=[SimpleNamespace(path=tmp_path / "m.mindir", max_difference=2.34e-7)],
                             card=Path("o/README.md"))
    calls = stand_in(EXPORT, report)
    code, out, _ = status("export", "r")
    assert code == 0 and calls[0] == {"run": Path("r"), "out_dir": None, "formats": ("mindir",), "batch": None,
                                      "device": "auto", "parts": False}
    lines = out.splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == ["file", "MiB",
                                                                    "largest difference from the checkpoint"]
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [str(tmp_path / "m.mindir"), "1.50", "2.3e-07"]
    assert lines[-1] == "o/README.md: fill in what it cannot know"
    status("export", "--checkpoint", "r", "--format", "onnx", "mindir", "--batch", "16", "--out", "o")
    assert calls[1] == {"run": Path("r"), "out_dir": Path("o"), "formats": ("onnx", "mindir"), "batch": 16,
                        "device": "auto", "parts": False}
    assert status("export", "--checkpoint", "r", "--batch", "1")[0] == 0 and calls[2]["batch"] == 1
    status("export", "--checkpoint", "r", "--batch", "dynamic")
    assert calls[3]["batch"] is None
    status("export", "r", "--device", "CPU", "--parts")
    assert calls[4]["device"] == "CPU" and calls[4]["parts"] is True


def test_lower_precision_follows_the_onnx_file(stand_in, status, tmp_path):
    for name in ("m.onnx", "m.bf16.onnx"):
        (tmp_path / name).write_bytes(b"1" * 1572864)
    report = SimpleNamespace(files=[SimpleNamespace(path=tmp_path / name, max_difference=2e-7)
                                    for name in ("m.mindir", "m.onnx")], card=Path("o/README.md"))
    report.files[0].path.touch()
    stated = SimpleNamespace(max_difference=0.0123, pearson={"Joy": 0.99876543, "Awe": 0.997}, clips=64)
    exported = stand_in(EXPORT, report)
    lowered = stand_in("mindface_eri.deploy.lower.lower",
                       [SimpleNamespace(path=tmp_path / "m.bf16.onnx", precision=stated)])
    words = ["export", "r", "--format", "mindir", "onnx", "--quantize", "static", "dynamic", "--clips", "c"]
    code, out, _ = status(*words, "--tolerance", "0.1", "--least-pearson", "0.9")
    assert code == 0 and exported[0]["formats"] == ("mindir", "onnx")
    assert lowered == [{"run": Path("r"), "file": tmp_path / "m.onnx", "kinds": ["int8-static", "int8-dynamic"],
                        "clips": Path("c"), "tolerance": 0.1, "least_pearson": 0.9}]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if "bf16" in line]
    assert rows == [[str(tmp_path / "m.bf16.onnx"), "1.50", "1.2e-02", name, value, "64"]
                    for name, value in (("Joy", "0.99877"), ("Awe", "0.99700"))]


@pytest.mark.parametrize("words, said", [
    (("--quantize", "dynamic", "--clips", "c"), "start from the .onnx file: add --format onnx"),
    (("--format", "onnx", "--quantize", "static"), "static quantization takes the scales"),
    (("--format", "onnx", "--quantize", "dynamic", "--clips", "c", "--tolerance", "1"), "both lie between 0 and 1")])
def test_lower_precision_is_refused_before_anything_is_written(words, said, stand_in, status):
    calls = stand_in(EXPORT)
    code, _, shown = status("export", "r", *words)
    assert (code, calls) == (2, []) and said in shown


@pytest.mark.parametrize("words", [(), ("r", "--checkpoint", "r")])
def test_an_export_is_of_one_run(words, stand_in, status):
    calls = stand_in(EXPORT)
    code, _, shown = status("export", *words)
    assert (code, calls) == (2, []) and "name the run folder to export, once: mindface-eri export RUN" in shown


@pytest.mark.parametrize("batch", ["0", "-3", "many", "1.5"])
def test_a_batch_that_is_no_number_of_clips_is_wrong_usage(batch, stand_in, status):
    calls = stand_in(EXPORT)
    code, _, shown = status("export", "--checkpoint", "r", f"--batch={batch}")
    assert (code, calls) == (2, []) and f"--batch {batch}: expected 'dynamic' or a number of clips" in shown


def test_weights_are_converted_with_the_recipes_model(stand_in, status):
    calls = stand_in(CONVERT, SimpleNamespace(used=["a", "b", "c"], kind="ResNet-18", left=["fc.weight", "fc.bias"]))
    assert status("convert-weights", "s.pth", "t.ckpt", "--set", "model.stem_width=32")[:2] == (
        0, "3 tensors of a ResNet-18 into t.ckpt; left: fc.weight, fc.bias\n")
    assert (calls[0]["source"], calls[0]["target"]) == (Path("s.pth"), Path("t.ckpt"))
    assert calls[0]["config"].stem_width == 32
    stand_in(CONVERT, SimpleNamespace(used=["a"], kind="network", left=[]))
    assert status("convert-weights", "s.pth", "t.ckpt")[1] == "1 tensors of a network into t.ckpt; left: nothing\n"


def test_a_summary_is_of_the_recipes_model(stand_in, status):
    calls = stand_in(SUMMARY, (["part", "parameters"], [["stem", 2.126]]))
    code, out, _ = status("summary")
    assert code == 0 and [cell.strip() for cell in out.splitlines()[2].split("|")[1:-1]] == ["stem", "2.13"]
    status("summary", "--batch-size", "4", "8", "16", "--set", "model.name=eri_acoustic")
    assert [call["batch_sizes"] for call in calls] == [(1, 64), (4, 8, 16)]
    assert [call["config"].name for call in calls] == ["eri_dual_branch", "eri_acoustic"]


FINDINGS = [Finding("Python", "ok", "3.11"), Finding("torch", "note", "not installed", "pip install it")]


def test_a_diagnosis_lists_each_finding_with_its_cure(stand_in, status):
    calls = stand_in(DIAGNOSE, FINDINGS)
    code, out, _ = status("doctor", "--device", "GPU")
    assert code == 0 and out.splitlines() == [
        "      ok  Python                   3.11", "    note  torch                    not installed",
        " " * 35 + "-> pip install it", "all that the route needs is here"]
    stand_in(DIAGNOSE, [*FINDINGS, Finding("av", "missing", "gone", "pip install av")])
    code, out, _ = status("doctor")
    assert code == 1 and out.splitlines()[-1] == "1 missing: av"
    code, out, _ = status("doctor", "--json")
    assert code == 1 and json.loads(out)[1] == {
        "subject": "torch", "status": "note", "detail": "not installed", "cure": "pip install it"}
    assert [call["device"] for call in calls] == ["GPU"]
    again = stand_in(DIAGNOSE, FINDINGS)
    assert status("doctor", "--json")[0] == 0 and again[0]["device"] == "auto"
