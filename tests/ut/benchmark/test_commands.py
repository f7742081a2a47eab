# SPDX-License-Identifier: Apache-2.0
"""The subjects that start commands: what they run, in which order, and what they make of what it took."""

import dataclasses
import json
import os
import time
from types import SimpleNamespace

import pytest

from mindface_eri.benchmark import data, growth, route
from mindface_eri.benchmark.data import benchmark_data
from mindface_eri.benchmark.growth import TINY, benchmark_growth, read_epochs
from mindface_eri.benchmark.harness import Timing
from mindface_eri.benchmark.processes import Finished, run_module
from mindface_eri.benchmark.route import SMALL, benchmark_route
from mindface_eri.config import PreprocessConfig, load_config
from mindface_eri.datasets.build import preprocessing
from mindface_eri.errors import DataError, ERIError
from mindface_eri.synthetic import corpus as synthetic


@pytest.fixture
def started(monkeypatch):
    """Commands that are only written down; each takes a second more than the one before it."""
    commands = []

    def run(module, *words):
        commands.append((module.rpartition(".")[2], *map(str, words)))
        if "train" in words:
            out = words[words.index("--out") + 1]
            out.mkdir()
            lines = [{"samples_per_second": rate} for rate in (100, 8, 20, 10)]  # the first epoch compiles
            (out / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        said = {"growth": "noise\n6.5\n", "torch_route": f"noise\n{json.dumps({'preprocess': 2.0, 'visual': 0.5})}\n"}
        count = len(commands)
        return Finished(float(count), 2.25 * count, count << 30, said.get(commands[-1][0], ""))

    monkeypatch.setattr(growth, "run_module", run)
    monkeypatch.setattr(route, "run_module", run)
    return commands


@pytest.fixture
def drawn(monkeypatch):
    """Corpora and records that are only asked for."""
    asked = []

    def synthesize(out, **options):
        asked.append(("draw", out.name, options))
        out.mkdir()
        for split in ("train", "val", "test"):
            (out / split).mkdir()
        rows = [f"[{i:05d}],Train\n" for i in range(options["clips"])]
        (out / "data_info.csv").write_text("".join(["File_ID,Split\n", *rows]))

    monkeypatch.setattr(synthetic, "synthesize", synthesize)
    monkeypatch.setattr(preprocessing, "preprocess_dataset", lambda *given, **options: asked.append((*given, options)))
    return asked


def test_growth_by_hand(started, drawn, monkeypatch):
    recipes = []
    save = growth.save_config
    monkeypatch.setattr(growth, "save_config", lambda config, path: recipes.append(config) or save(config, path))
    rows = benchmark_growth((4, 8), workers=3)
    assert [row.what for row in rows] == [
        "preprocess, a clip of 4", "preprocess, a clip of 8",
        "data, one epoch, a clip of 4", "train, one epoch, a clip of 4",
        "data, one epoch, a clip of 8", "train, one epoch, a clip of 8"]
    assert [row.ours.median for row in rows] == [1 / 4, 4 / 8, 6.5 / 4, 1 / 20, 6.5 / 8, 1 / 20]
    assert rows[0].note == "the command: 2.2 s of processor, peak 1,024 MiB"
    assert rows[3].note == "the command: 6.8 s of processor, peak 3,072 MiB"
    assert recipes == [TINY, TINY]
    assert drawn == [("draw", "corpus", {"clips": 8, "duration": (0.5, 0.6), "fps": (10, 10), "size": (160, 120),
                                         "workers": 3, "progress": False})]
    root = started[0][2].rpartition("/")[0]
    recipe, records = ("--config", f"{root}/4/recipe.yaml"), f"{root}/4/records"
    assert started[:3] == [("cli", "preprocess", f"{root}/corpus-4", records, *recipe, "--workers", "3"),
                           ("growth", records), ("cli", "train", *recipe, "--data", records, "--out", f"{root}/4/run")]
    assert len(started) == 6 and not os.path.exists(root)


def test_the_route_by_hand(started, drawn, monkeypatch):
    recipes = {}
    save = route.save_config
    monkeypatch.setattr(route, "save_config",
                        lambda config, path: recipes.update({path.name: config}) or save(config, path))
    monkeypatch.setattr(route, "find_torch", lambda: None)
    rows = benchmark_route(workers=3, clips=9)
    assert [row.what for row in rows] == [f"route: {stage}" for stage in ("preprocess", "visual", "acoustic", "fusion",
                                                                         "all stages")]
    assert [row.ours.median for row in rows] == [1, 2, 3, 4, 10] and rows[0].theirs is None
    assert drawn == [("draw", "corpus", {"clips": 9, "duration": (4.0, 6.0), "fps": (25, 25), "size": (640, 360),
                                         "workers": 3, "progress": False})]
    ours = started[0][3].rpartition("/")[0]

    def train(stage, *more):
        return ("cli", "train", "--data", f"{ours}/records", "--out", f"{ours}/{stage}", *more, "--config",
                f"{ours}/{stage}.yaml")

    taken = (started[0][2], f"{ours}/records", "--workers", "3", "--config", f"{ours}/preprocess.yaml")
    assert started == [
        ("cli", "preprocess", *taken),
        train("visual"), train("acoustic"),
        train("fusion", "--visual-run", f"{ours}/visual", "--acoustic-run", f"{ours}/acoustic")]
    names = {"visual": "eri_visual", "acoustic": "eri_acoustic"}
    for stage in ("preprocess", "visual", "acoustic", "fusion"):
        name = names.get(stage, "eri_dual_branch")
        assert recipes[f"{stage}.yaml"] == dataclasses.replace(SMALL, model=dataclasses.replace(SMALL.model, name=name))


def test_the_route_beside_a_plain_script(started, monkeypatch, tmp_path):
    monkeypatch.setattr(route, "find_torch", lambda: "torch")
    config = dataclasses.replace(SMALL, train=dataclasses.replace(SMALL.train, epochs=2))
    seen = []
    save = route.save_config
    monkeypatch.setattr(route, "save_config", lambda given, path: seen.append((path.name, given)) or save(given, path))
    monkeypatch.setattr(route, "_ours", lambda *_: {"preprocess": 4.0, "visual": 1.0})
    rows = benchmark_route(tmp_path, workers=2, config=config)
    assert [(row.what, row.ours.median, row.theirs.median) for row in rows] == [
        ("route: preprocess", 4.0, 2.0), ("route: visual", 1.0, 0.5), ("route: all stages", 5.0, 1.0)]
    theirs = started[0][2]
    assert started == [("torch_route", str(tmp_path), theirs, f"{theirs}/recipe.yaml", "2")]
    assert seen == [("recipe.yaml", config)]
    assert rows[0].yardstick == "plain PyTorch script, plain OpenCV and dlib script"


def stored(storage="jpeg", path="records"):
    return SimpleNamespace(preprocess=PreprocessConfig(frames=2, storage=storage), path=path)


def test_data_rows_by_hand(monkeypatch):
    asked = []

    def in_turns(calls, repeats):
        asked.append((list(calls), repeats))
        seconds = {"ours": 2.0, "Pillow": 5.0, "OpenCV": 4.0, "limit": 0.5}
        return {name: Timing((seconds[name],)) for name in calls}, {name: call() for name, call in calls.items()}

    monkeypatch.setattr(data, "in_turns", in_turns)
    monkeypatch.setattr(data, "open_records", lambda source: stored(path=source))
    monkeypatch.setattr(data, "_epoch", lambda records, clips, *rest: asked.append((clips, *rest)) or clips)
    loaders = {"Pillow": lambda: 100, "OpenCV": lambda: 100}
    monkeypatch.setattr(data, "_torch_epochs",
                        lambda records, folder, *rest: asked.append((folder.name, rest)) or loaders)
    rows = benchmark_data(["one"], clips=100, batch_size=8, workers=3, repeats=4)
    assert asked == [("files-0", (100, 8, 3)), (["ours", "Pillow", "OpenCV", "limit"], 4), (100, 8, 3)]
    assert {row.what for row in rows} == {"jpeg records, epoch of 100 clips, batch 8, 3 workers"}
    assert [row.yardstick for row in rows] == ["torch's DataLoader, Pillow", "torch's DataLoader, OpenCV"]
    assert [(row.speedup, row.share, row.limit) for row in rows] == [(ratio, 0.25, "memory copy") for ratio in (2.5, 2)]
    assert [row.note for row in rows] == ["50 clips/s against 20", "50 clips/s against 25"]
    loaders["OpenCV"] = lambda: 99
    with pytest.raises(DataError, match=r"one: an epoch of 100 clips gave \{.*'OpenCV': 99"):
        benchmark_data(["one"], clips=100)
    loaders.clear()
    row, = benchmark_data(["one"])
    assert asked[-2:] == [(["ours", "limit"], 3), (256, 16, 2)]
    assert (row.note, row.yardstick, row.theirs) == ("128 clips/s", "", None)


def test_records_to_read_are_drawn_in_both_storages(drawn, monkeypatch):
    monkeypatch.setattr(data, "open_records", lambda source: source.name)
    monkeypatch.setattr(data, "_beside_torch", lambda stored, files, *rest: [(stored, files.name, *rest)])
    config = PreprocessConfig(frames=3)
    rows = benchmark_data(clips=12, workers=2, config=config)
    assert rows == [("jpeg", "files-0", 12, 16, 2, 3), ("raw", "files-1", 12, 16, 2, 3)]
    assert drawn[0] == ("draw", "corpus", {"clips": 12, "duration": (1.0, 1.0), "fps": (10, 10), "workers": 2,
                                           "progress": False})
    for (corpus, out, made, options), storage in zip(drawn[1:], ("jpeg", "raw")):
        assert (corpus.name, out.name, options) == ("corpus", storage, {"workers": 2, "progress": False})
        assert made == dataclasses.replace(config, storage=storage)


def test_a_process_has_its_surroundings_and_no_input(tmp_path, monkeypatch):
    (tmp_path / "told.py").write_text(
        "import os, sys\nprint(os.environ['OURS'], os.environ['KEPT'], repr(sys.stdin.read()), file=sys.stderr)\n"
        "sys.exit(int(sys.argv[1]))", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("KEPT", "yes")
    monkeypatch.setenv("OURS", "no")
    assert run_module("told", 0, environment={"OURS": "set"}).output == "set yes ''\n"
    with pytest.raises(ERIError, match=r"^told 3 ended with status 3: no yes ''$"):
        run_module("told", 3)


def test_memory_is_that_of_all_descendants(tmp_path, monkeypatch):
    if not os.path.exists("/proc/self/smaps_rollup"):
        pytest.skip("only Linux says how much memory a process shares")
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys\nkept = bytearray(40_000_000)\n"
        "code = 'import time; kept = bytearray(50_000_000); time.sleep(0.6)'\n"
        "subprocess.run([sys.executable, '-c', code])", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert 90_000_000 < run_module("parent").peak < 190_000_000


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Records of 5 sounding clips without a face."""
    root = tmp_path_factory.mktemp("records")
    synthetic.synthesize(root / "corpus", clips=5, duration=(0.5, 0.6), fps=(10, 10), size=(64, 64), progress=False)
    preprocessing.preprocess_dataset(root / "corpus", root / "records", TINY.preprocess, workers=1, progress=False)
    return root / "records"


def test_an_epoch_reads_every_clip(records, monkeypatch):
    monkeypatch.setattr(data, "find_torch", lambda: None)
    row, = benchmark_data([records], clips=12, batch_size=5, workers=1, repeats=1)
    assert row.what == "jpeg records, epoch of 12 clips, batch 5, 1 workers" and row.bound.median > 0
    clock = iter([0.0, 5.0, 10.0, 12.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert read_epochs(records) == 2.0  # the second, which finds everything in its cache


def test_recipes_can_be_read(tmp_path):
    for config in (SMALL, TINY):
        growth.save_config(config, tmp_path / "recipe.yaml")
        assert load_config(tmp_path / "recipe.yaml") == config
