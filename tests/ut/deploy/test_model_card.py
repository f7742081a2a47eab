# SPDX-License-Identifier: Apache-2.0
"""The model card: facts of the run, in text that cannot do anything, around which people's own words stay."""

import json
import re

import numpy as np
import pytest

from mindface_eri.config import Config, DataConfig, ModelConfig, save_config
from mindface_eri.deploy import model_card
from mindface_eri.deploy.model_card import NAME, plain, write_model_card
from mindface_eri.evaluation.runs import Scored
from mindface_eri.runner.run_folder import RunFolder, TrainedModel

HOSTILE = "<script>alert(1)</script> | **bold** [x](http://y) `z` <!-- /facts -->\n# head"
LABELS = np.array([[0.1, 0.9], [0.4, 0.2], [0.8, 0.5], [0.3, 0.6]])


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A run of two emotions, one with a hostile name, with predictions that are right for the first."""
    model = ModelConfig(name="eri_acoustic", emotions=("Joy", HOSTILE))
    run = RunFolder(tmp_path / "run").make()
    save_config(Config(model=model, data=DataConfig(records=str(tmp_path / "gone"))), run.config)
    scored = Scored("run", tuple("abcd"), model.emotions, np.stack([LABELS[:, 0], 1 - LABELS[:, 1]], 1), LABELS,
                    {f"Person {HOSTILE}": tuple("uvwx")}, group=f"Person {HOSTILE}")
    monkeypatch.setattr(model_card, "read_scored", lambda path, split: scored)
    return TrainedModel(run.checkpoint("best"), model, {"weight": np.zeros(1234, np.float32)}, {"epoch": 7}, run)


def test_the_facts_of_a_run(trained, tmp_path):
    (tmp_path / "eri_acoustic.onnx").touch()
    (tmp_path / "eri_acoustic.onnx.json").write_text(json.dumps(
        {"max_difference": 2.5e-7, "batch": None, "versions": {"mindspore": "2.10.0"},
         "inputs": [{"name": "mfcc", "shape": ["batch", 32, 1024], "dtype": "float32"}]}))
    (tmp_path / "eri_acoustic.air").touch()
    (tmp_path / "eri_acoustic.air.json").write_text('{"max_difference": "x"}')  # somebody else's
    card = write_model_card(tmp_path, trained).read_text()
    assert "1,234 numbers" in card and "epoch 7" in card
    assert "| eri_acoustic.onnx | any   | 2.5e-07    | mindspore 2.10.0 |" in card and ".air" not in card
    assert "- inputs: mfcc \\['batch', 32, 1024\\] float32" in card
    assert "4 validation clips" in card and "| Joy " in card
    joy = next(line for line in card.splitlines() if line.startswith("| Joy "))
    assert joy.split("|")[2].strip() == "1.0000"
    assert "The records that it was trained on are not at hand here. FILL IN" in card
    assert "Licence of the weights that the visual stem started from" in card


def test_what_is_to_be_known_of_the_data_is_said(trained, tmp_path):
    assert "\n## Data\n\nThe records" in write_model_card(tmp_path, trained).read_text()
    trained.note["about"] = "People are <drawn>."
    assert "\n## Data\n\n**People are &lt;drawn&gt;.**\n\n" in write_model_card(tmp_path, trained).read_text()


def test_hostile_names_are_text(trained, tmp_path):
    card = write_model_card(tmp_path, trained).read_text()
    assert "<script" not in card and not re.search(r"(?<!\\)\]\(", card) and card.count("<!-- /facts -->") == 1
    assert not any(line.startswith("# head") for line in card.splitlines())
    table = [line for line in card.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in table if "script" in line} == {11}  # ten columns


def test_what_people_wrote_stays(trained, tmp_path):
    path = write_model_card(tmp_path, trained)
    path.write_text(path.read_text().replace("Who to ask: FILL IN", "Who to ask: Ada"))
    trained.note["epoch"] = 8
    card = write_model_card(tmp_path, trained).read_text()
    assert "Who to ask: Ada" in card and "epoch 8" in card and "epoch 7" not in card
    path.write_text("our own card")
    write_model_card(tmp_path, trained)
    assert path.read_text() == "our own card"
    assert sorted(p.name for p in tmp_path.iterdir()) == [NAME, "run"]


def test_another_checkpoint_than_the_best_has_no_scores(trained, tmp_path):
    last = TrainedModel(trained.run.checkpoint("last"), trained.model, trained.weights, {}, trained.run)
    assert "No predictions of this checkpoint" in write_model_card(tmp_path, last).read_text()


@pytest.mark.parametrize("text, shown", [
    ("a*b_c", "a\\*b_c"), ("__x_", "\\_\\_x\\_"), ("<b>&", "&lt;b&gt;&amp;"), ("x\n\ty", "x y"), (3, "3"),
    ("[a](http://b)", "\\[a\\](http\\://b)"), ("WWW.b.c", "WWW\\.b.c"), ("a\\", "a\\\\")])
def test_plain(text, shown):
    assert plain(text) == shown
