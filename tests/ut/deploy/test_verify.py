# SPDX-License-Identifier: Apache-2.0
"""The clips that exported files are checked with, and the fresh process that runs them."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.children import _ROOT
from mindface_eri.deploy.backends import OnnxBackend
from mindface_eri.deploy.verify import check_inputs, main, run_in_fresh_process
from mindface_eri.errors import ExportError

SETS = {"features": ("fau", "gaze"), "feature_widths": (3, 1)}
STATISTICS = {"mfcc": (np.full(12, 100.0), np.full(12, 0.5)), "gaze": (np.array([-5.0]), np.array([2.0]))}


def test_two_branches_are_checked_with_seven_clips(tiny):
    inputs = check_inputs(tiny(), {"mfcc": STATISTICS["mfcc"]})
    assert list(inputs) == ["frames", "present", "landmarks", "mfcc"]
    assert inputs["present"].tolist() == [[1, 1], [1, 1], [1, 0], [0, 1], [0, 0], [1, 1], [1, 1]]
    frames, mfcc = inputs["frames"], inputs["mfcc"]
    assert frames.shape == (7, 4, 32, 32, 3) and frames.dtype == np.uint8
    assert mfcc.shape == (7, 4, 12) and mfcc.dtype == inputs["present"].dtype == np.float32
    for clip in (0, 1, 2):
        assert frames[clip].min() == 0 and frames[clip].max() == 255 and abs(frames[clip].mean() - 127.5) < 3
    assert not frames[[3, 4, 6]].any() and (frames[5] == 255).all()
    for clip in (0, 1, 3):
        assert abs(mfcc[clip].mean() - 100) < 0.3 and 0.3 < mfcc[clip].std() < 0.7
    assert not mfcc[[2, 4]].any() and (mfcc[5] == 103).all() and (mfcc[6] == 97).all()
    assert (frames[0] != frames[1]).any() and (mfcc[0] != mfcc[1]).all()


def test_feature_sets_add_a_clip_of_their_own(tiny):
    inputs = check_inputs(tiny("eri_multi_branch", **SETS), STATISTICS)
    assert inputs["present"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0],
                                          [1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]]
    fau, gaze = inputs["fau"], inputs["gaze"]
    assert fau.shape == (8, 4, 3) and gaze.shape == (8, 4, 1) and fau.dtype == gaze.dtype == np.float32
    assert (fau[5] == 6).all() and (gaze[5] == 7).all()  # the one has no statistics: 0 and 1
    assert not fau[[4, 6]].any() and not gaze[[4, 6]].any() and fau[7].all()
    assert abs(fau[[0, 1, 2, 3, 7]].mean()) < 0.5 and abs(gaze[[0, 1, 2, 3, 7]].mean() + 5) < 1.5
    assert not inputs["frames"][7].any() and not inputs["mfcc"][7].any() and (inputs["mfcc"][6] == 97).all()


def test_people_are_of_clips_with_sound_and_one_is_another(tiny):
    usual = np.full((6, 3), 4.0), np.full((6, 3), 0.5)
    model = tiny("eri_statistics", mfcc_stack=4, normalise_by_person=True)
    person = check_inputs(model, {"person": usual})["person"]
    assert person.shape == (7, 2, 6, 3) and person.dtype == np.float32
    assert (person[0, 0] == 4).all() and (person[0, 1] == 0.5).all() and not person[[2, 4]].any()
    np.testing.assert_allclose(person[1], person[0] * 1.1, rtol=1e-6)


def test_the_seed_is_that_of_all_values(tiny):
    first, again, other = (check_inputs(tiny(), seed=seed) for seed in (0, 0, 1))
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["frames"][0] != other["frames"][0]).any() and (first["mfcc"][0] != other["mfcc"][0]).all()
    assert (check_inputs(tiny())["mfcc"] == first["mfcc"]).all()


@pytest.fixture
def given(tiny):
    """Five clips of the dual network's inputs, and what the toy graph says of them."""
    at = np.arange(1, 6)
    inputs = [np.tile(at.astype(np.uint8)[:, None, None, None, None], (1, 4, 32, 32, 3)),
              np.tile(at.astype("f")[:, None, None] / 4, (1, 4, 12)), np.stack([at % 2, at % 3], 1).astype("f")]
    return inputs, np.stack([at, at / 4, at % 2 + 10 * (at % 3)], axis=1)


def test_a_fresh_process_answers_together_and_one_by_one(given, toy_graph, tiny, tmp_path):
    inputs, expected = given
    answers = run_in_fresh_process(toy_graph(tmp_path / "toy.onnx", tiny(), batch=3), inputs, 3)
    assert answers.shape == (2, 5, 3) and (answers == expected).all()


def test_a_process_that_fails_says_why(given, toy_graph, tiny, tmp_path):
    with pytest.raises(ExportError, match="gone.onnx: a fresh process could not run it: .*cannot be read as ONNX"):
        run_in_fresh_process(tmp_path / "gone.onnx", given[0], None)


@pytest.mark.parametrize("status, answered", [(3, True), (0, False)])
def test_a_status_or_a_missing_answer_is_a_failure(status, answered, given, tmp_path, monkeypatch):
    def run(command, **_):
        if answered:
            np.save(command[-1], np.zeros((2, 5, 3)))
        return subprocess.CompletedProcess(command, status, "", "one\ntwo\nthree\nfour\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ExportError, match="toy.onnx: a fresh process could not run it: two / three / four$"):
        run_in_fresh_process(tmp_path / "toy.onnx", given[0], None)


def test_the_process_imports_what_this_one_does_and_its_answer_is_numbers(given, tmp_path, monkeypatch):
    environments = []

    def run(command, *, env, **_):
        environments.append(env)
        np.save(command[-1], np.array([{"code": "harm"}], object))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "path", ["", "/one", "/two"])
    monkeypatch.setenv("OURS", "kept")
    with pytest.raises(ValueError, match="allow_pickle=False"):
        run_in_fresh_process(tmp_path / "toy.onnx", given[0], None)
    assert environments[0]["PYTHONPATH"] == os.pathsep.join(["/one", "/two", _ROOT])
    assert environments[0]["OURS"] == "kept"


@pytest.mark.parametrize("batch, name", [(0, "eri_dual_branch"), (2, "eri_visual")])
def test_the_process_by_itself(batch, name, given, toy_graph, tiny, tmp_path, monkeypatch):
    inputs, expected = given
    if name == "eri_visual":
        inputs, expected = inputs[:1], expected[:, :1]
    sizes = []
    monkeypatch.setattr("mindface_eri.deploy.verify.run_batches",
                        lambda backend, arrays, size: sizes.append((len(arrays[0]), size)) or np.concatenate(
                            [backend.run([array[i:i + 1] for array in arrays]) for i in range(len(arrays[0]))]))
    np.savez(tmp_path / "in.npz", *inputs)
    path = toy_graph(tmp_path / "toy.onnx", tiny(name))
    main([str(path), str(batch), "auto", str(tmp_path / "in.npz"), str(tmp_path / "out.npy")])
    assert (np.load(tmp_path / "out.npy") == expected).all()
    assert sizes == [(5, batch or None), *[(1, batch or None)] * 5]


def test_two_parts_are_run_one_after_the_other(given, tmp_path, monkeypatch):
    inputs, _ = given
    seen, commands = [], []

    def opened(paths, size, device):
        seen.append((paths, size, device))
        return SimpleNamespace(run=lambda arrays: arrays[2] * 2)

    def run(command, **_):
        commands.append(command[3:])
        np.save(command[7], np.zeros((2, 5, 2)))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("mindface_eri.deploy.verify.open_parts", opened)
    np.savez(tmp_path / "in.npz", *inputs)
    main(["a.frames.onnx", "3", "CPU", str(tmp_path / "in.npz"), str(tmp_path / "out.npy"), "a.temporal.onnx"])
    assert seen == [(["a.frames.onnx", "a.temporal.onnx"], 3, "CPU")]
    assert (np.load(tmp_path / "out.npy") == [inputs[2] * 2] * 2).all()
    monkeypatch.setattr(subprocess, "run", run)
    run_in_fresh_process("one", inputs, 3, "CPU", second="two")
    run_in_fresh_process("one", inputs, 3, "CPU")
    assert commands[0][0] == "one" and commands[0][-1] == "two" and len(commands[1]) == 5


def test_the_process_computes_where_it_is_told(given, toy_graph, tiny, tmp_path):
    with pytest.raises(ExportError, match="device GPU: .*toy.onnx runs on the CPU, in onnxruntime"):
        run_in_fresh_process(toy_graph(tmp_path / "toy.onnx", tiny()), given[0], None, "GPU")


def test_another_device_computes_in_full_float32(given, toy_graph, tiny, tmp_path, monkeypatch):
    """Before the graph is read; an ONNX file is run without MindSpore."""
    np.savez(tmp_path / "in.npz", *given[0])
    toy = OnnxBackend(toy_graph(tmp_path / "toy.onnx", tiny()))
    told = []
    monkeypatch.setattr("mindface_eri.device.context.use_device", lambda device: told.append(device) or "GPU")
    monkeypatch.setattr("mindface_eri.device.context.use_full_float32", lambda device: told.append(f"all of {device}"))
    monkeypatch.setattr("mindface_eri.deploy.verify.open_backend",
                        lambda file, device: told.append(file) or toy)
    for name, device in (("a.mindir", "auto"), ("a.mindir", "CPU"), ("a.onnx", "GPU")):
        main([name, "0", device, str(tmp_path / "in.npz"), str(tmp_path / "out.npy")])
    assert told == ["auto", "all of GPU", "a.mindir", "a.mindir", "a.onnx"]
