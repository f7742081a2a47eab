# SPDX-License-Identifier: Apache-2.0
"""Models and records that were cut off, damaged or belong to something else: a sentence, and no crash."""

import json
import multiprocessing
import random
import shutil

import numpy as np
import pytest

from mindface_eri.datasets.records import open_records
from mindface_eri.errors import ERIError
from mindface_eri.prediction.predictor import load_predictor

pytestmark = pytest.mark.slow


def damaged(data, rng):
    """Cut off, with flipped bits, with a hole, or another file altogether."""
    kind, data = rng.choice(("cut", "flip", "hole", "noise", "empty")), bytearray(data)
    if kind == "cut":
        return bytes(data[:rng.randrange(len(data))])
    if kind == "flip":
        for _ in range(rng.choice((1, 5, 200))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    if kind == "hole":
        at = rng.randrange(len(data))
        end = min(len(data), at + rng.randrange(1, 4000))
        data[at:end] = bytes(end - at)
    return bytes(data) if kind in ("flip", "hole") else b"" if kind == "empty" else rng.randbytes(5000)


def answer_of(path):
    """The answer of the model in a file to fixed inputs."""
    random_ = np.random.default_rng(0)
    inputs = (random_.integers(0, 255, (1, 4, 32, 32, 3), np.uint8), random_.normal(size=(1, 4, 16)).astype(np.float32))
    return load_predictor(path, threads=1).predict_arrays(*inputs)


def try_damaged(path, names, count, seed, queue):
    """Reads a model again and again after damage; puts each outcome into the queue."""
    whole = {name: name.read_bytes() for name in names}
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        name = rng.choice(names)
        name.write_bytes(damaged(whole[name], rng))
        try:
            queue.put((number, "answer", answer_of(path).tolist()))
        except ERIError as error:
            queue.put((number, "sentence", str(error)))
        except BaseException as error:
            queue.put((number, "fault", f"{type(error).__name__}: {error}"))
        name.write_bytes(whole[name])


@pytest.fixture(scope="module")
def exported(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    status, said = tiny.run("export", "--checkpoint", tiny.trained, "--format", "mindir", "onnx", "--out", folder)
    assert status == 0, said
    return folder


@pytest.mark.parametrize("form", ["ckpt", "mindir", "onnx"])
def test_damaged_models(form, tiny, exported, tmp_path):
    if form == "ckpt":
        path = shutil.copytree(tiny.trained, tmp_path / "run")
        names = [path / "checkpoints" / "best.ckpt", path / "config.yaml"]
    else:
        path = tmp_path / f"eri_acoustic.{form}"
        names = [path, path.with_name(f"{path.name}.json")]
        for name in names:
            shutil.copy(exported / name.name, name)
    expected, count = answer_of(path), 40
    queue = multiprocessing.get_context("spawn").Queue()
    process = multiprocessing.get_context("spawn").Process(target=try_damaged, args=(path, names, count, form, queue))
    process.start()
    outcomes = [queue.get(timeout=120) for _ in range(count)]  # nothing comes where a file crashed or stopped it
    process.join()
    assert not [outcome for outcome in outcomes if outcome[1] == "fault"]
    for number, kind, value in outcomes:  # an answer only where what was damaged does not count
        assert kind == "sentence" or np.allclose(value, expected, atol=1e-6), (number, value)
    assert sum(kind == "sentence" for _, kind, _ in outcomes) > count / 2


def test_a_model_without_its_description_or_with_anothers(tiny, exported, tmp_path):
    for form in ("mindir", "onnx"):
        path = tmp_path / f"eri_acoustic.{form}"
        shutil.copy(exported / path.name, path)
        with pytest.raises(ERIError, match="keep the .json"):
            load_predictor(path)
        shutil.copy(f"{exported / path.name}.json", f"{path}.json")
        load_predictor(path)
        shutil.copy(tiny.model, path)  # another model under this name
        with pytest.raises(ERIError, match="is not the file that"):
            load_predictor(path)


def test_a_checkpoint_of_another_model_is_told_apart(tiny, tmp_path):
    run = shutil.copytree(tiny.trained, tmp_path / "run")
    words = ("train", "--data", tiny.records, "--out", run, "--config", tiny.recipe, "--resume")
    status, said = tiny.run(*words, "--set", "model.width=16")
    assert status == 1 and "state.ckpt" in said and "(8" in said and "(16" in said


@pytest.mark.parametrize("name", ["part-00000.mindrecord", "part-00000.mindrecord.db", "arrays", "clips"])
def test_damaged_records(name, tiny, tmp_path):
    """Of the same size, so that only reading can tell."""
    records = shutil.copytree(tiny.records, tmp_path / "records")
    file = {"arrays": records / "arrays.npz", "clips": records / "clips.csv"}.get(name, records / "records" / name)
    whole = file.read_bytes()
    sentences = 0
    for number in range(8):
        rng = random.Random(f"{name}/{number}")
        data = bytearray(whole)
        at = rng.randrange(len(data))
        data[at:at + 3000] = bytes(len(data[at:at + 3000])) if number % 2 else rng.randbytes(len(data[at:at + 3000]))
        file.write_bytes(data if number < 7 else data[:at])
        try:
            opened = open_records(records)
            found = list(opened.read(opened.ids()))
            assert len(found) == len(opened)
        except ERIError:
            sentences += 1
    assert sentences


def test_a_part_of_other_records_is_told_apart(tiny, tmp_path):
    records = shutil.copytree(tiny.records, tmp_path / "records")
    head = json.loads((records / "dataset.json").read_text(encoding="utf-8"))
    head["parts"][0]["rows"] += 1
    (records / "dataset.json").write_text(json.dumps(head), encoding="utf-8")
    with pytest.raises(ERIError, match="clips.csv has 12 rows"):
        open_records(records)
