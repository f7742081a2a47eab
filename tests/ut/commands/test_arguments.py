# SPDX-License-Identifier: Apache-2.0
"""Every option of every command reaches the function it is meant for, and its default is the documented one."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri import cli
from mindface_eri.threads import cores

P = Path
SYNTHESIZE = "mindface_eri.synthetic.corpus.synthesize"
MORPHS = "mindface_eri.synthetic.morph_corpus.synthesize_morphs"
DEMO = "mindface_eri.demo.run_demo"
SAMPLES = "mindface_eri.datasets.samples.fetch_samples"
CACHE = "mindface_eri.runner.features.extract_features"
FIGURES = "mindface_eri.report.run_figures.write_run_figures"
PREPROCESS = "mindface_eri.datasets.build.preprocessing.preprocess_dataset"
DONE = SimpleNamespace(done=5, reused=2, failed=0, seconds=1.5)


@pytest.mark.parametrize("words, target, answer, expected", [
    ("synthesize o", SYNTHESIZE, None, {"out": P("o"), "clips": 160, "seed": 0, "duration": (2.0, 6.0), "fps": (15, 30),
                                        "workers": 2}),
    ("synthesize o --clips 9 --seed 4 --duration 1.5 3 --fps 10 25 --workers 7", SYNTHESIZE, None,
     {"out": P("o"), "clips": 9, "seed": 4, "duration": (1.5, 3.0), "fps": (10, 25), "workers": 7}),
    ("synthesize o --portraits p --emotion Smile --clips 9 --seed 4 --duration 1 2 --fps 8 9 --workers 1", MORPHS,
     {"clips": 9, "people": 3, "note": ""},
     {"out": P("o"), "portraits": P("p"), "emotion": "Smile", "clips": 9, "seed": 4, "duration": (1.0, 2.0),
      "fps": (8, 9), "workers": 1}),
    ("demo o", DEMO, None, {"out": P("o"), "recipes": P("configs"), "clips": 320, "seed": 0}),
    ("demo o --recipes r --clips 8 --seed 3", DEMO, None, {"out": P("o"), "recipes": P("r"), "clips": 8, "seed": 3}),
    ("extract-features r", CACHE, [], {"run": P("r"), "records": None, "splits": ["train", "val"], "device": None}),
    ("extract-features r --data d --split val test --device CPU", CACHE, [],
     {"run": P("r"), "records": P("d"), "splits": ["val", "test"], "device": "CPU"}),
    ("figures r", FIGURES, ([P("a")], []),
     {"run": P("r"), "out": None, "split": "val", "labels": None, "formats": ["png", "svg"]}),
    ("figures r --split test --labels l.csv --out o --format pdf png", FIGURES, ([P("a")], []),
     {"run": P("r"), "out": P("o"), "split": "test", "labels": P("l.csv"), "formats": ["pdf", "png"]}),
    ("preprocess d o", PREPROCESS, DONE,
     {"root": P("d"), "out": P("o"), "workers": cores(), "resume": False, "num_shards": 1, "shard_index": 0,
      "preview": 0, "clip_limit": 3600.0, "verify": False}),
    ("preprocess d o --workers 5 --resume --num-shards 4 --shard-index 3 --preview 6 --clip-limit 7.5 --verify",
     PREPROCESS, DONE, {"root": P("d"), "out": P("o"), "workers": 5, "resume": True, "num_shards": 4, "shard_index": 3,
            "preview": 6, "clip_limit": 7.5, "verify": True}),
])
def test_options_reach_their_function(words, target, answer, expected, stand_in, status, monkeypatch):
    for name in ("MS_WORKER_NUM", "RANK_ID"):
        monkeypatch.delenv(name, raising=False)
    calls = stand_in(target, answer)
    assert status(*words.split())[0] == 0
    assert len(calls) == 1
    assert {name: calls[0][name] for name in expected} == expected


def test_under_a_launcher_preprocessing_shares_the_data_set(stand_in, status, monkeypatch):
    for name, value in (("MS_WORKER_NUM", "3"), ("MS_ROLE", "MS_WORKER"), ("RANK_ID", "2")):
        monkeypatch.setenv(name, value)
    calls = stand_in(PREPROCESS, DONE)
    assert status("preprocess", "d", "o")[0] == 0
    assert status("preprocess", "d", "o", "--shard-index", "1")[0] == 0
    assert [(call["num_shards"], call["shard_index"]) for call in calls] == [(3, 2), (3, 1)]
    monkeypatch.setenv("MS_ROLE", "MS_SCHED")  # where training's processes find each other, which these need not
    assert status("preprocess", "d", "o")[0] == 0 and len(calls) == 2
    monkeypatch.delenv("MS_WORKER_NUM")  # left behind by something else
    assert status("preprocess", "d", "o")[0] == 0 and calls[2]["num_shards"] == 1
    monkeypatch.setenv("MS_WORKER_NUM", "3")
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    monkeypatch.delenv("RANK_ID")  # on several machines without --node_rank
    code, _, said = status("preprocess", "d", "o")
    assert code == 2 and "--node_rank" in said and "--shard-index" in said


@pytest.mark.parametrize("variables, words, share, told", [
    ({"RANK_ID": "3", "RANK_SIZE": "8"}, (), (1, 0), "RANK_ID=3, RANK_SIZE=8 was not set by msrun: this run takes all"),
    ({"RANK_ID": "junk"}, (), (1, 0), "RANK_ID=junk"), ({"MS_WORKER_NUM": "x"}, (), (1, 0), "MS_WORKER_NUM=x"),
    ({"RANK_ID": "3"}, ("--num-shards", "4", "--shard-index", "1"), (4, 1), ""),
    ({"RANK_ID": "0", "RANK_SIZE": "1"}, (), (1, 0), "")])
def test_what_another_launcher_left_behind_drops_no_clip(variables, words, share, told, stand_in, status, monkeypatch):
    for name in ("MS_WORKER_NUM", "MS_ROLE", "RANK_ID", "RANK_SIZE", "RANK_TABLE_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    calls = stand_in(PREPROCESS, DONE)
    code, _, said = status("preprocess", "d", "o", *words)
    assert code == 0 and (calls[0]["num_shards"], calls[0]["shard_index"]) == share
    assert told in said and bool(told) == ("was not set by msrun" in said)


def test_flags_of_preprocessing_stand_above_the_recipe(stand_in, status, tmp_path):
    (tmp_path / "r.yaml").write_text("preprocess: {jpeg_quality: 80, face: {detector: dlib, mode: every-frame}}\n")
    calls = stand_in(PREPROCESS, DONE)
    words = ["preprocess", "d", "o", "--config", tmp_path / "r.yaml", "--set", "preprocess.face.follow=center"]
    assert status(*words)[0] == 0
    face = calls[0]["config"].face
    assert (face.detector, face.mode, face.follow, calls[0]["config"].jpeg_quality) == ("dlib", "every-frame", "center",
                                                                                        80)
    for called, option in enumerate(("--person", "--face"), start=1):  # --face was its name in version 0.1
        assert status(*words, "--detector", "mtcnn", "--mode", "track", option, "longest")[0] == 0
        face = calls[called]["config"].face
        assert (face.detector, face.mode, face.follow) == ("mtcnn", "track", "longest")


DEVICES = ("auto", "CPU", "GPU", "Ascend")
SPLITS = ("train", "val", "test")


@pytest.mark.parametrize("words, option, name, values", [
    ("doctor", "--device", "device", DEVICES),
    ("train --config c --out o", "--device", "device", DEVICES),
    ("evaluate r", "--device", "device", DEVICES),
    ("extract-features r", "--device", "device", DEVICES),
    ("reproduce d o", "--device", "device", DEVICES),
    ("evaluate r", "--split", "split", SPLITS),
    ("compare a b", "--split", "split", SPLITS),
    ("figures r", "--split", "split", SPLITS),
    ("evaluate r", "--format", "format", ("table", "csv", "json")),
    ("predict c --model m", "--format", "format", ("table", "csv", "json")),
    ("preprocess d o", "--mode", "mode", ("track", "every-frame")),
    ("submission --labels l", "--missing", "missing", ("fail", "mean", "zero")),
    ("add-features f r", "--unit", "unit", ("auto", "s", "ms")),
    ("add-features f r", "--method", "method", ("linear", "nearest")),
])
def test_choices_are_those_documented(words, option, name, values, status):
    for value in values:
        arguments, _ = cli._parse([*words.split(), option, value])
        assert getattr(arguments, name) == value
    code, _, shown = status(*words.split(), option, "other")
    assert code == 2 and f"argument {option}: invalid choice: 'other'" in shown


@pytest.mark.parametrize("words, option, name, values", [
    ("export --checkpoint r", "--format", "formats", ["mindir", "onnx", "air"]),
    ("figures r", "--format", "formats", ["png", "svg", "pdf"]),
    ("reproduce d o", "--tables", "tables", [1, 2, 3, 4]),
])
def test_lists_of_choices_are_those_documented(words, option, name, values, status):
    arguments, _ = cli._parse([*words.split(), option, *map(str, values)])
    assert getattr(arguments, name) == values
    assert status(*words.split(), option, "9")[0] == 2


@pytest.mark.parametrize("words", [
    "add-features f", "demo", "extract-features", "samples", "synthesize", "figures", "predict --model m",
    "preprocess d", "reproduce d", "train --config c", "train --out o", "submission p.csv", "compare",
    "convert-weights a", "synthesize o --duration 2", "synthesize o --fps 2", "benchmark nothing", "train x --config c "
    "--out o", "summary --batch-size", "demo o --clips many"])
def test_what_must_be_given_is_asked_for(words, status):
    code, out, shown = status(*words.split())
    assert code == 2 and not out and f"usage: mindface-eri {words.split()[0]}" in shown
