# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in a text that people or other programs give, the answer is a result or a sentence."""

import contextlib
import csv
import io
import json
import os
import random
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from text_cases import damage, hostile_override
from toy_model import PREPROCESS, RECIPE, write_model

from mindface_eri.cli import main
from mindface_eri.config import Config, PreprocessConfig, load_config, save_config, to_dict
from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.build.plan import make_plan
from mindface_eri.datasets.labels import load_manifest
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import ERIError
from mindface_eri.evaluation.runs import read_history, read_scored
from mindface_eri.prediction.jobs import find_jobs
from mindface_eri.prediction.predictor import load_predictor
from mindface_eri.synthetic.corpus import synthesize

LIMIT = 60  # processor seconds for one case; ten times as many by the clock, as a starved machine is no hang
LONGEST = 2000  # letters of a message that people are to read

pytestmark = pytest.mark.slow


def a_recipe(folder):
    (folder / "base.yaml").write_text("runtime: {seed: 3, device: CPU}\ntrain:\n  lr: 1e-4\n", encoding="utf-8")
    (folder / "recipe.yaml").write_text("base: base.yaml\n" + RECIPE, encoding="utf-8")


def read_recipe(folder, rng):
    config = load_config(folder / "recipe.yaml")
    save_config(config, folder / "saved.yaml")
    assert load_config(folder / "saved.yaml") == config


def nothing(folder):
    pass


def read_overrides(folder, rng):
    keys = [f"{part}.{key}" for part, of in to_dict(Config()).items() for key in of]
    config = load_config(None, [hostile_override(keys, rng) for _ in range(rng.choice((1, 1, 3)))])
    save_config(config, folder / "saved.yaml")
    assert load_config(folder / "saved.yaml") == config


def a_label_table(folder):
    rows = ["File_ID,Split,Joy,Fear,Age,Country"]
    rows += [f"[{i:05d}],{split},0.{i},{i % 2},3{i},Chile" for i, split in enumerate(("Train", "Train", "Val"))]
    rows += ["[00003],Test,,,30,Peru"]
    (folder / "data_info.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for i in range(4):
        (folder / f"{i:05d}.mp4").touch()


def read_label_table(folder, rng):
    manifest = load_manifest(folder)
    text = (folder / "data_info.csv").read_text(encoding="utf-8-sig")
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(cell.strip() for cell in row)]
    assert len(manifest) == len(rows) - 1, "rows are lost"
    assert all(re.fullmatch(r"[^/\\:\x00-\x1f]+", clip.id) and clip.id not in (".", "..") for clip in manifest.clips)
    labels = manifest.labels()
    assert ((labels >= 0) & (labels <= 1) | np.isnan(labels)).all()


def two_label_tables(folder):
    labels = "".join(f"{i},0.{i},1\n" for i in range(3))
    (folder / "labels.csv").write_text("File_ID,Joy,Fear\n" + labels, encoding="utf-8")
    (folder / "partition.csv").write_text("Id,Subject,Partition\n" + "".join(
        f"{i},s{i},{split}\n" for i, split in enumerate(("train", "devel", "test", "test"))), encoding="utf-8")


def read_two_label_tables(folder, rng):
    assert len(load_manifest(folder)) >= 1


def a_prediction(folder):
    a_label_table(folder)
    values = np.random.default_rng(0).random((3, 2))
    for name in ("p.csv", "q.csv"):
        (folder / name).write_text("File_ID,Joy,Fear\r\n" + "".join(
            f"[{i:05d}],{row[0]:.6f},{row[1]:.6f}\r\n" for i, row in enumerate(values)), encoding="utf-8")
    (folder / "test.csv").write_text("File_ID,Joy,Fear\r\n[00003],0.5,0.25\r\n", encoding="utf-8")


def commanded(*words):
    """Runs a command in this process; only its own sentences may come out."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        status = main([str(word) for word in words])
    assert status in (0, 1, 2) and "Traceback" not in said.getvalue()
    assert status == 0 or said.getvalue().strip(), "failed without a word"
    if status:
        raise ERIError(said.getvalue())


def score_predictions(folder, rng):
    commanded("evaluate", "--predictions", folder / "p.csv", "--labels", folder / "data_info.csv",
              *rng.choice(((), ("--by", "Country"))))


def compare_predictions(folder, rng):
    commanded("compare", folder / "p.csv", folder / "q.csv", "--labels", folder / "data_info.csv")


def check_a_submission(folder, rng):
    commanded("submission", "--labels", folder, "--check", folder / "test.csv")
    commanded("submission", folder / "test.csv", "--labels", folder, "--out", folder / "out.csv", "--missing",
              rng.choice(("fail", "mean", "zero")))


def a_list_of_paths(folder):
    for i in range(3):
        (folder / f"{i}.mp4").touch()
    (folder / "list.csv").write_text("path,note\n0.mp4,a\n1.mp4,b\n2.mp4,c\n", encoding="utf-8")


def read_a_list_of_paths(folder, rng):
    jobs = find_jobs([folder / "list.csv"])
    assert all(job.source.is_file() for job in jobs)


def a_description(folder):
    write_model(folder)


def predict_with_a_description(folder, rng):
    predictor = load_predictor(folder / "model.onnx", threads=1)
    arrays = [np.zeros((1, 4, 32, 32, 3), np.uint8), np.zeros((1, 4, 16), np.float32), np.ones((1, 2), np.float32)]
    assert np.isfinite(predictor.predict_arrays(*arrays)).all()


def a_run_folder(folder):
    a_prediction(folder)
    shutil.copy(folder / "p.csv", folder / "predictions_val.csv")
    save_config(load_config(None, ["data.records=records"]), folder / "config.yaml")
    lines = [{"epoch": i, "loss": 0.5, "val_pearson": 0.1, "val_pearson_by_emotion": {"Joy": 0.1}, "lr": 1e-3,
              "seconds": 1.0, "samples_per_second": 3.0} for i in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def read_a_run_folder(folder, rng):
    from mindface_eri.report.figures import learning_curves

    with contextlib.suppress(ERIError):
        learning_curves(read_history(folder))
    with contextlib.suppress(ERIError):
        read_scored(folder)
    read_scored(folder, labels=folder / "data_info.csv")


def some_records(folder):
    (folder / "records").mkdir()
    for name, size in (("part-00000.mindrecord", 10), ("part-00000.mindrecord.db", 5)):
        (folder / "records" / name).write_bytes(bytes(size))
    np.savez(folder / "arrays.npz", labels=np.zeros((2, 7), np.float32), mfcc_mean=np.zeros(16, np.float32),
             mfcc_std=np.ones(16, np.float32))
    (folder / "clips.csv").write_text("id,split,Subject\na,train,1\nb,val,2\n", encoding="utf-8")
    (folder / "dataset.json").write_text(json.dumps({
        "format": 1, "emotions": list(EMOTIONS), "hash": "0", "extra": ["Subject"], "preprocess": to_dict(PREPROCESS),
        "parts": [{"name": "part-00000.mindrecord", "rows": 2, "bytes": 10, "index_bytes": 5}]}), encoding="utf-8")


def read_some_records(folder, rng):
    records = open_records(folder)
    assert len(records.ids()) == len(records) == 2 and set(records.splits) <= {"train", "val", "test"}
    assert records.labels().shape == (2, len(records.emotions)) and records.mfcc_mean.shape == records.mfcc_std.shape


def a_plan(folder):
    data = folder / "data"
    data.mkdir()
    a_label_table(data)
    make_plan(folder / "out", load_manifest(data), PreprocessConfig(), resume=False, num_shards=1)


def go_on_with_a_plan(folder, rng):
    plan = make_plan(folder / "out", load_manifest(folder / "data"), PreprocessConfig(), resume=True, num_shards=1)
    assert [p for block in range(plan.blocks) for p in plan.positions(block)] == list(range(4)), "clips are lost"


def a_corpus(folder):
    synthesize(folder / "corpus", clips=3, duration=(0.2, 0.2), fps=(10, 10), size=(64, 64), progress=False)


def go_on_with_a_corpus(folder, rng):
    synthesize(folder / "corpus", clips=3, duration=(0.2, 0.2), fps=(10, 10), size=(64, 64), progress=False)


# what is made, which of its files is damaged, what reads it
TARGETS = {
    "recipe": (a_recipe, ("recipe.yaml", "base.yaml"), read_recipe),
    "overrides": (nothing, (), read_overrides),
    "label table": (a_label_table, ("data_info.csv",), read_label_table),
    "two label tables": (two_label_tables, ("labels.csv", "partition.csv"), read_two_label_tables),
    "scores": (a_prediction, ("p.csv", "data_info.csv"), score_predictions),
    "comparison": (a_prediction, ("p.csv", "q.csv", "data_info.csv"), compare_predictions),
    "submission": (a_prediction, ("test.csv", "data_info.csv"), check_a_submission),
    "list of paths": (a_list_of_paths, ("list.csv",), read_a_list_of_paths),
    "description": (a_description, ("model.onnx.json",), predict_with_a_description),
    "run folder": (a_run_folder, ("config.yaml", "metrics.jsonl", "predictions_val.csv", "data_info.csv"),
                   read_a_run_folder),
    "records": (some_records, ("dataset.json", "clips.csv", "arrays.npz"), read_some_records),
    "plan": (a_plan, ("out/plan.json", "data/data_info.csv"), go_on_with_a_plan),
    "corpus": (a_corpus, ("corpus/corpus.json",), go_on_with_a_corpus),
}


@contextlib.contextmanager
def time_limit():
    def late(*_):
        raise TimeoutError(f"took more than {LIMIT} s")

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, LIMIT), (signal.ITIMER_REAL, signal.SIGALRM, 10 * LIMIT))
    old = [signal.signal(number, late) for _, number, _ in timers]
    for timer, _, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(timers, old):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def outcome(read, folder, rng):
    """("came through" or "failed with a sentence" or "fault", what was said)."""
    try:
        with time_limit():
            read(folder, rng)
    except ERIError as error:
        said = str(error)
        if not said.strip() or len(said) > LONGEST or "Traceback" in said:
            return "fault", f"a message of {len(said)} letters: {said[:200]!r}"
        return "failed with a sentence", said
    except BaseException as error:
        return "fault", f"{type(error).__name__}: {str(error)[:300]}"
    return "came through", ""


@pytest.mark.parametrize("target", TARGETS)
def test_damaged_texts(target, cases, seed, tmp_path):
    make, names, read = TARGETS[target]
    whole, folder = tmp_path / "whole", tmp_path / "case"
    whole.mkdir()
    make(whole)
    shutil.copytree(whole, folder)
    if names:
        assert outcome(read, folder, random.Random(0)) == ("came through", ""), "before any damage"
    counts, faults = {}, []
    for number in range(-(-cases // len(TARGETS))):
        rng = random.Random(f"{seed}/{target}/{number}")
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        damaged = folder / rng.choice(names) if names else None
        if damaged:
            damaged.write_bytes(damage(damaged.read_bytes(), rng, damaged.suffix))
        kind, said = outcome(read, folder, rng)
        counts[kind] = counts.get(kind, 0) + 1
        if kind == "fault":
            faults.append(f"case {number} ({damaged.name if damaged else ''}): {said}")
            if os.environ.get("ERI_FUZZ_KEEP") and damaged:
                shutil.copy(damaged, Path(os.environ["ERI_FUZZ_KEEP"], f"{target}_{number}_{damaged.name}"))
        elif list(folder.rglob("*.tmp*")):
            faults.append(f"case {number}: temporary files are left")
    print(f"\n{target}: {counts}")
    assert not faults, "\n".join(faults)
    assert counts.get("failed with a sentence"), "nothing was damaged"
