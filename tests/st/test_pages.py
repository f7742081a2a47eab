# SPDX-License-Identifier: Apache-2.0
"""What the pages show is run, all of it, in the order shown, on toy clips and with toy sizes of the recipes.

A page is run in a copy of the folder in which the README has been run. A block whose language is followed by a file
name is written to that file. A block after a comment `<!-- not run: why -->` is only parsed, by tests/ut/test_docs.py.
"""

import csv
import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
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
model: {{stem_width: 8, spatial_depth: 1, spatial_heads: 2, width: 16, temporal_depth: 1, temporal_heads: 2,
         temporal: plain, tcn_dilations: [1, 2]}}
train: {{epochs: 1, batch_size: 4}}
runtime: {{mode: pynative, threads: 1}}
"""
# What a line that fits gets behind it: of an option given twice the last counts.
APPENDED = (
    (r"^mindface-eri synthesize", "--clips 12 --duration 0.6 1"),
    (r"^mindface-eri preprocess", "--workers 2"),
    (r"\breproduce\b", "--tables 1 4 --seeds 1"),
    (r"\breproduce\b(?!.* --config)", "--config configs/eri_paper_fusion.yaml"),
    (r"\bcross-validate\b", "--folds 2 --seeds 1"),
    (r"data\.group=Subject", "--set data.group=Age"),  # the generated corpus names no subjects
    (r"^mindface-eri benchmark", "--repeats 1 --config configs/eri_paper_fusion.yaml"),
    (r"^mindface-eri benchmark data", "--clips 8"))
DONE = set()  # a line that two pages show is run once, and so are lines that differ in their device alone


def shown(page: str) -> list:
    """(language, file, code) of each block of a page that is to be run or written."""
    found = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [(language, file, code) for skipped, language, file, code in found
            if file or (not skipped and language in ("python", "bash"))]


PAGES = [page for page in sorted(path.relative_to(ROOT).as_posix() for place in (".", "docs", "configs")
                                 for path in (ROOT / place).glob("*.md"))
         if shown(page) and page != "README_zh-CN.md"]  # whose blocks are README.md's, as a test holds


def run_page(page: str) -> dict:
    """Runs a page in the current folder; returns what its Python blocks, which share their names, leave."""
    names = {}
    for language, file, code in shown(page):
        if file:
            Path(file).parent.mkdir(exist_ok=True)
            Path(file).write_text(code, encoding="utf-8")
        elif language == "python":
            exec(compile(code, page, "exec"), names)
        else:
            for line in code.replace("\\\n", " ").splitlines():
                run_line(toy_line(line))
    return names


def toy_line(line: str) -> list:
    """The words of a line of a shell, on the device that there is, with what is appended to them."""
    line = re.sub("--device (GPU|Ascend)", "--device CPU", line)
    line = re.sub(r"--config (\w+)(?= |$)", r"--config configs/\1.yaml", line)  # smaller than the package's
    words = shlex.split(line, comments=True)
    for pattern, more in APPENDED if words else ():
        words += shlex.split(more) if re.search(pattern, line) else []
    return words


def run_line(words: list) -> None:
    """One line of a shell: `export A=B`, one of our commands, or one of our tools, under `msrun` or not."""
    if words[:1] == ["export"]:
        os.environ.update(word.split("=", 1) for word in words[1:])
    elif tuple(words) in DONE:
        return
    elif words[:1] == ["mindface-eri"]:
        if words[1] != "convert-weights" or HAVE_TORCH:  # without it, stem.ckpt is there already
            make_room(words[1:])
            assert cli.main(words[1:]) == 0, " ".join(words)
    elif words:
        tool = next((place for place, word in enumerate(words) if word.startswith("tools/")), None)
        assert words[0] in ("python", "msrun") and tool, f"{' '.join(words)!r}: say `not run` before it, and why"
        run_tool(words[:tool], words[tool:])
    DONE.add(tuple(words))


def run_tool(launcher: list, tool: list) -> None:
    """A script of ours by `python`, or by `msrun` with two processes instead of its many."""
    if launcher == ["python"]:
        command = [sys.executable, *tool]
    else:
        make_room([Path(tool[0]).stem.replace("_", "-"), *tool[1:]])
        with socket.socket() as free:
            free.bind(("", 0))
            port = f"--master_port={free.getsockname()[1]}"
        msrun = os.path.join(os.path.dirname(sys.executable), "msrun")
        command = [msrun, *launcher[1:], "--worker_num=2", "--local_worker_num=2", "--join=True", port, *tool]
    paths = {"PATH": os.path.dirname(sys.executable), "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **{name: f"{path}:{os.environ.get(name, '')}" for name, path in paths.items()}}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    logs = [path.read_text(errors="replace")[-2000:] for path in Path().glob("msrun_log/worker_*.log")]
    assert done.returncode == 0, "\n".join([" ".join(command), done.stderr[-2000:], *logs])


def make_room(words: list) -> None:
    """Each line writes into a folder of its own, though pages like the same short names."""
    if words[0] in ("preprocess", "train", "reproduce"):
        shutil.rmtree(cli._parse(words)[0].out, ignore_errors=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with what the pages speak of, in which the README's own commands have been run."""
    folder, patch = tmp_path_factory.mktemp("pages"), pytest.MonkeyPatch()
    patch.chdir(folder)
    (folder / "tools").symlink_to(ROOT / "tools")
    (folder / "configs").mkdir()
    for recipe in (ROOT / "configs").glob("[!_]*.yaml"):
        (folder / "configs" / recipe.name).write_text(TOY.format(recipe=recipe), encoding="utf-8")
    assert cli.main(["synthesize", "HUME", "--clips", "12", "--duration", "0.6", "1", "--fps", "15", "15"]) == 0
    clips = sorted(Path("HUME").rglob("*.mp4"))
    for target in ("clip", "clips/00000", *(f"my_data/{name}" for name in (
            "anna_1", "anna_2", "ben_1", "cleo_1", "cleo_2", "dan_1"))):
        Path(target).parent.mkdir(exist_ok=True)
        shutil.copy(clips[len(target) % 12], f"{target}.mp4")
    stem_weights()
    run_page("README.md")
    assert Path("clip.html").is_file() and Path("runs/fusion/predictions_val.csv").is_file()
    patch.undo()
    return folder


def stem_weights() -> None:
    """What the README converts, and what that gives for where PyTorch is not installed."""
    mindspore.save_checkpoint(create_model("eri_visual", stem_width=8, spatial_heads=2).stem, "stem.ckpt")
    if HAVE_TORCH:
        import torch

        from mindface_eri.benchmark.torch_twin import ResNetStem

        torch.save(ResNetStem(8).state_dict(), "dan_affecnet.pth")


@pytest.fixture
def place(world, tmp_path, monkeypatch):
    """A copy of that folder to work in; what a page exports is taken back."""
    before = dict(os.environ)
    monkeypatch.chdir(shutil.copytree(world, tmp_path / "place", symlinks=True))
    sys.path.append(str(tmp_path / "place"))  # not first, where `python -m pytest` has the folder that one stands in
    yield
    sys.path.remove(str(tmp_path / "place"))
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_what_a_page_shows_can_be_done(page, place, capsys):
    BEFORE.get(page, lambda: None)()
    names = run_page(page)
    said = capsys.readouterr().out
    AFTER.get(page, lambda names, said: None)(names, said)


def after_data(*_):
    with open("my_records/clips.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Subject"] for row in rows] == ["anna", "anna", "ben", "cleo", "cleo", "dan"]


def before_deployment():
    Path("clips/broken.mp4").write_text("no clip")


def after_deployment(names, _):
    assert "error" in names["rows"][1]
    good = {key: value for key, value in names["rows"][0].items() if key != "File_ID"}
    assert dict(zip(names["predictor"].emotions, names["intensities"][0])) == pytest.approx(good, abs=1e-6)
    said = json.loads(Path("runs/fusion/export/eri_dual_branch.onnx.json").read_text())
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/deployment.md").read_text(), re.M)
    assert {*said, "precision"} == set(re.findall(r"`(\w+)`", " ".join(table)))


def before_extending():
    """Seventeen columns at ten rows a second, the first two after labels, the others noise; one clip has no file."""
    records, folder = open_records("records"), Path("feats/fau")
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for clip_id, labels in list(zip(records.ids(), np.nan_to_num(records.all_labels)))[1:]:
        values = random.normal(0, 0.1, (10, 17))
        values[:, :2] += labels[:2]
        lines = [",".join([str(100 * t), *(f"{value:.4f}" for value in row)]) for t, row in enumerate(values)]
        header = ",".join(["timestamp", *(f"AU{i:02d}" for i in range(1, 18))])
        (folder / f"{clip_id}.csv").write_text("\n".join([header, *lines]))


def after_extending(names, _):
    assert "huber" in Path("runs/huber/config.yaml").read_text()
    with open("haar_records/clips.csv", newline="") as file:
        assert [row["detector"] for row in csv.DictReader(file)] == ["haar"]
    assert names["intensities"].shape == (4, 7)
    assert read_predictions("runs/three/predictions_test.csv").ids == open_records("records").ids("test")
    inputs = json.loads(Path("runs/three/export/eri_multi_branch.onnx.json").read_text())["inputs"]
    assert [value["name"] for value in inputs] == ["frames", "mfcc", "fau", "present"]
    assert inputs[2]["columns"][0] == "AU01"


def before_results():
    shutil.copy("runs/fusion/predictions_val.csv", "mine.csv")
    shutil.copy("HUME/data_info.csv", "data_info.csv")


def after_reproducing(_, said):
    assert Path("out/ensemble").exists() is False and "| both " in said
    assert read_predictions("runs/fold0/predictions_test.csv").ids


def after_responsible_use(_, said):
    with open("HUME/data_info.csv", newline="") as file:
        countries = {row["Country"] for row in csv.DictReader(file) if row["Split"] == "Val"}
    assert countries and all(country in said for country in countries)


BEFORE = {"docs/deployment.md": before_deployment, "docs/extending.md": before_extending,
          "docs/preprocessing.md": lambda: Path("HUME").rename("DATA"), "docs/results.md": before_results}
AFTER = {"docs/data.md": after_data, "docs/deployment.md": after_deployment, "docs/extending.md": after_extending,
         "docs/reproducing.md": after_reproducing, "docs/responsible-use.md": after_responsible_use}
