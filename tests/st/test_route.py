# SPDX-License-Identifier: Apache-2.0
"""The whole route on a handful of tiny clips, by the commands that a user types."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from mindface_eri import load_predictor
from mindface_eri.cli import main
from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.predictions import read_predictions

RECIPE = """
preprocess: {frames: 4, face: {size: 32}}
model: {name: %s, frames: 4, crop_size: 32, stem_width: 4, spatial_depth: 1, width: 8, temporal_depth: 1,
        tcn_dilations: [1, 2]}
train: {epochs: 2, batch_size: 4, lr: 1e-3}
"""


@pytest.fixture(scope="module")
def route(tmp_path_factory):
    """Everything up to the export, each step by its command."""
    root = tmp_path_factory.mktemp("route")

    def run(*words):
        assert main([str(word) for word in words]) == 0

    for stage, name in (("visual", "eri_visual"), ("acoustic", "eri_acoustic"), ("fusion", "eri_dual_branch")):
        (root / f"{stage}.yaml").write_text(RECIPE % name, encoding="utf-8")
    run("synthesize", root / "corpus", "--clips", 9, "--duration", 0.6, 1, "--fps", 15, 15, "--workers", 1)
    run("preprocess", root / "corpus", root / "records", "--config", root / "fusion.yaml", "--workers", 1,
        "--preview", 1)
    for stage in ("visual", "acoustic"):
        run("train", "--config", root / f"{stage}.yaml", "--data", root / "records", "--out", root / stage)
    run("train", "--config", root / "fusion.yaml", "--data", root / "records", "--out", root / "fusion",
        "--visual-run", root / "visual", "--acoustic-run", root / "acoustic")
    run("export", "--checkpoint", root / "fusion", "--format", "mindir", "onnx")
    return root


def test_records_hold_every_clip(route):
    with open(route / "records" / "clips.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert all(row["present_visual"] == row["present_acoustic"] == "1" for row in rows)
    assert len(list((route / "records" / "preview").glob("*.png"))) == 1


def test_a_run_folder_keeps_the_contract(route):
    names = {str(path.relative_to(route / "fusion")) for path in (route / "fusion").rglob("*")}
    assert {"config.yaml", "environment.json", "metrics.jsonl", "checkpoints/last.ckpt", "checkpoints/best.ckpt",
            "predictions_val.csv", "learning_curves.png"} <= names
    lines = (route / "fusion" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


def test_evaluate_scores_the_split(route, capsys):
    assert main(["evaluate", str(route / "fusion")]) == 0
    assert "| mean" in capsys.readouterr().out
    table = read_predictions(route / "fusion" / "predictions_val.csv")
    assert table.emotions == EMOTIONS
    assert ((table.values > 0) & (table.values < 1)).all()


def test_checkpoint_mindir_and_onnx_answer_alike(route):
    clip = next((route / "corpus" / "test" / "mp4").glob("*.mp4"))
    files = [route / "fusion", *(route / "fusion" / "export").glob("*.mindir"),
             *(route / "fusion" / "export").glob("*.onnx")]
    assert len(files) == 3
    answers = [next(load_predictor(file).predict([clip])).rows()[0] for file in files]
    values = np.array([[answer[name] for name in EMOTIONS] for answer in answers])
    np.testing.assert_allclose(values, values[:1].repeat(3, 0), atol=1e-5)


def test_predict_gives_a_row_or_a_reason(route, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    clip = next((route / "corpus" / "test" / "mp4").glob("*.mp4"))
    page = tmp_path / "page.html"
    assert main(["predict", str(clip), "--model", str(route / "fusion"), "--report", str(page)]) == 0
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page.read_text())  # nothing leaves the page
    capsys.readouterr()
    assert main(["predict", str(clip), str(broken), "--model", str(route / "fusion"), "--format", "json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert set(EMOTIONS) <= set(rows[0])
    assert rows[1]["error"]


def test_an_onnx_file_answers_without_mindspore(route, tmp_path):
    """The whole of `predict`, its page too, in a process that never imports MindSpore."""
    clip = next((route / "corpus" / "test" / "mp4").glob("*.mp4"))
    model = next((route / "fusion" / "export").glob("*.onnx"))
    words = ["predict", str(clip), "--model", str(model), "--report", str(tmp_path / "page.html")]
    done = subprocess.run([sys.executable, "-c", "import sys\nfrom mindface_eri.cli import main\n"
                           f"assert main({words!r}) == 0\nassert 'mindspore' not in sys.modules"], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "carries no attention" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_is_there_is_not_overwritten(route, capsys):
    words = ["train", "--config", str(route / "visual.yaml"), "--data", str(route / "records"), "--out",
             str(route / "visual")]
    assert main(words) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    words = ["preprocess", str(route / "corpus"), str(route / "records"), "--config", str(route / "fusion.yaml")]
    assert main(words) == 1
    assert "--resume" in capsys.readouterr().err
