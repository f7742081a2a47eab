# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""What the pages show is run, in the order shown, on toy clips and with toy sizes of the recipes that they name.

A block whose language is followed by a file name is written to that file. A block after a comment
`<!-- not run: why -->` is only parsed, by tests/ut/test_docs.py, as are the pages that are not named here.
"""

import csv
import importlib.util
import json
import os
import re
import shlex
import shutil
from pathlib import Path

import mindspore
import numpy as np
import pytest

from mindface_eri import cli, create_model, open_records
from mindface_eri.datasets.predictions import read_predictions

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(<!-- not run: [^>]+ -->\n)?^```(\w+) ?(\S*)\n(.*?)^```$", re.M | re.S)
HAVE_TORCH = importlib.util.find_spec("torch") is not None
TOY = """base: {recipe}
preprocess: {{frames: 4, face: {{size: 32}}}}
model: {{frames: 4, crop_size: 32, stem_width: 8, spatial_depth: 1, spatial_heads: 2, width: 16, temporal_depth: 1,
         temporal_heads: 2, tcn_dilations: [1, 2]}}
train: {{epochs: 1, batch_size: 4}}
"""


def run_page(page: str, names: dict, *sections: str) -> None:
    """Runs the blocks of a page, or of sections, in the current folder; Python blocks share `names`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if sections:
        text = "".join(part for part in re.split("^## ", text, flags=re.M) if part.startswith(sections))
    for skipped, language, file, code in BLOCK.findall(text):
        if file:
            Path(file).parent.mkdir(exist_ok=True)
            Path(file).write_text(code, encoding="utf-8")
        elif skipped or language not in ("python", "bash"):
            continue
        elif language == "python":
            exec(compile(code, page, "exec"), names)
        else:
            for line in code.replace("\\\n", " ").splitlines():
                run_line(shlex.split(line, comments=True))


def run_line(words: list) -> None:
    """One line of a shell: `export A=B` or one of our commands."""
    if words[:1] == ["export"]:
        os.environ.update(word.split("=", 1) for word in words[1:])
    elif words and (words[1] != "convert-weights" or HAVE_TORCH):  # without it, stem.ckpt is there already
        assert words[0] == "mindface-eri", f"a page shows {' '.join(words)!r}: say `not run` before it, and why"
        assert cli.main(words[1:]) == 0, " ".join(words)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with what the pages speak of, in which the README's own commands have been run."""
    folder, patch = tmp_path_factory.mktemp("pages"), pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.syspath_prepend(str(folder))
    (folder / "configs").mkdir()
    for recipe in (ROOT / "configs").glob("eri_*.yaml"):
        (folder / "configs" / recipe.name).write_text(TOY.format(recipe=recipe), encoding="utf-8")
    assert cli.main(["synthesize", "HUME", "--clips", "12", "--duration", "0.6", "1", "--fps", "15", "15"]) == 0
    clips = sorted(Path("HUME").rglob("*.mp4"))
    for target in ("clip", "clips/00000", *(f"my_data/{name}" for name in (
            "anna_1", "anna_2", "ben_1", "cleo_1", "cleo_2", "dan_1"))):
        Path(target).parent.mkdir(exist_ok=True)
        shutil.copy(clips[len(target) % 12], f"{target}.mp4")
    stem_weights()
    run_page("README.md", {})
    yield folder
    patch.undo()


def stem_weights() -> None:
    """What the README converts, and what that gives for where PyTorch is not installed."""
    mindspore.save_checkpoint(create_model("eri_visual", stem_width=8, spatial_heads=2).stem, "stem.ckpt")
    if HAVE_TORCH:
        import torch

        from mindface_eri.deploy.torch_twin import ResNetStem

        torch.save(ResNetStem(8).state_dict(), "dan_affecnet.pth")


@pytest.fixture
def environment():
    """Takes back what a page exports."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.slow
def test_the_readme(world):
    assert Path("clip.html").is_file() and Path("runs/fusion/predictions_val.csv").is_file()


@pytest.mark.slow
def test_data(world, environment):
    names = {}
    run_page("docs/data.md", names)
    assert names["manifest"].emotions == ("Anger",)
    with open("my_records/clips.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Subject"] for row in rows] == ["anna", "anna", "ben", "cleo", "cleo", "dan"]


@pytest.mark.slow
def test_deployment(world, environment):
    Path("clips/broken.mp4").write_text("no clip")
    names = {}
    run_page("docs/deployment.md", names)
    assert "error" in names["rows"][1]
    good = {key: value for key, value in names["rows"][0].items() if key != "File_ID"}
    assert names["answers"]["clips/00000.mp4"] == pytest.approx(good, abs=1e-6)
    assert "broken.mp4" in names["answers"]["clips/broken.mp4"]
    said = json.loads(Path("runs/fusion/export/eri_dual_branch.onnx.json").read_text())
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/deployment.md").read_text(), re.M)
    assert set(said) == set(re.findall(r"`(\w+)`", " ".join(table)))
    Path("clips/broken.mp4").unlink()


@pytest.mark.slow
def test_extending(world, environment):
    run_page("docs/extending.md", {}, "A loss", "A face detector")
    assert "huber" in Path("runs/huber/config.yaml").read_text()
    with open("haar_records/clips.csv", newline="") as file:
        assert [row["detector"] for row in csv.DictReader(file)] == ["haar"]


@pytest.mark.slow
def test_another_branch(world, environment):
    records, names = open_records("records"), {}
    write_features(Path("feats/fau"), records)
    run_page("docs/extending.md", names, "Another branch")
    assert names["intensities"].shape == (4, 7)
    assert read_predictions("runs/three/predictions_test.csv").ids == records.ids("test")
    inputs = json.loads(Path("runs/three/export/eri_multi_branch.onnx.json").read_text())["inputs"]
    assert [value["name"] for value in inputs] == ["frames", "mfcc", "fau", "present"]
    assert inputs[2]["columns"][0] == "AU01"


def write_features(folder: Path, records) -> None:
    """Seventeen columns at ten rows a second, the first two after labels, the others noise; one clip has no file."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for clip_id, labels in list(zip(records.ids(), np.nan_to_num(records.all_labels)))[1:]:
        values = random.normal(0, 0.1, (10, 17))
        values[:, :2] += labels[:2]
        lines = [",".join([str(100 * t), *(f"{value:.4f}" for value in row)]) for t, row in enumerate(values)]
        header = ",".join(["timestamp", *(f"AU{i:02d}" for i in range(1, 18))])
        (folder / f"{clip_id}.csv").write_text("\n".join([header, *lines]))


@pytest.mark.slow
def test_responsible_use(world, environment, capsys):
    run_page("docs/responsible-use.md", {})
    with open("HUME/data_info.csv", newline="") as file:
        countries = {row["Country"] for row in csv.DictReader(file) if row["Split"] == "Val"}
    shown = capsys.readouterr().out
    assert countries and all(country in shown for country in countries)
