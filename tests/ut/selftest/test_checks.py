# SPDX-License-Identifier: Apache-2.0
"""Each check passes on right numbers and fails on wrong ones."""

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.device.context import Context
from mindface_eri.errors import ConfigError, ExportError
from mindface_eri.selftest import checks, material
from mindface_eri.selftest.checks import outcome
from mindface_eri.selftest.table import ROWS

RIGHT = {"intensities": np.array([[0.25, 0.5]]), "loss": np.array(0.5), "gradients": np.array([0.5, -2.0, 0.0])}


@pytest.fixture
def told(monkeypatch, tmp_path):
    """A folder with the CPU's numbers, no device, and what was set."""
    np.savez(tmp_path / material.REFERENCE, **RIGHT)
    calls = []
    monkeypatch.setattr(checks, "setup", lambda runtime: calls.append(runtime.device) or SimpleNamespace(rank=1))
    monkeypatch.setattr(checks, "use_full_float32", lambda device: calls.append(f"all of {device}"))
    monkeypatch.setattr(checks, "network_of", lambda folder: None)
    monkeypatch.setattr(checks, "build_network", lambda model: None)
    return calls


@pytest.mark.parametrize("name, by, said", [
    ("intensities", 2e-5, "intensities differ by 2.0e-05, the limit is 1e-05"),
    ("intensities", float("nan"), "intensities differ by nan"),
    ("gradients", 3e-3, "gradients differ by a share of 1.5e-03, the limit is 1e-03"), ("loss", 0.0, "")])
def test_parity(name, by, said, told, tmp_path, monkeypatch):
    off = {**RIGHT, name: RIGHT[name] + by}
    monkeypatch.setattr(material, "answers_of", lambda network: off)
    result, measured = outcome("parity", "GPU", tmp_path)
    assert told == ["GPU", "all of GPU"]
    assert (result, measured) == ("pass", "intensities within 0.0e+00, gradients within 0.0e+00 of the largest"
                                  ) if not said else (result == "FAIL" and measured.startswith(said))


@pytest.mark.parametrize("level, losses, said", [
    ("O0", [0.50001, 0.4], ""),
    ("O0", [0.501, 0.4], "the first loss differs by a share of 2.0e-03, the limit is 1e-04"),
    ("O2", [0.501, 0.4], ""), ("O3", [0.51, 0.4], "the first loss differs by a share of 2.0e-02"),
    ("O2", [0.5, 0.6], "the loss does not fall: 0.5000 -> 0.6000"),
    ("O0", [0.5, float("nan")], "the loss does not fall"),
    ("O0", [float("nan"), 0.1], "the first loss differs by a share of nan")])
def test_training(level, losses, said, told, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(checks, "_train", lambda network, *given: asked.append(given) or (losses, []))
    result, measured = outcome("training", "Ascend", tmp_path, level)
    assert (asked, told) == ([(level, material.SMALL, 6)], ["Ascend"])
    assert (result, measured.startswith(said or "loss 0.50")) == ("FAIL" if said else "pass", True)


@pytest.mark.parametrize("first, second, alone, status, result, said", [
    (1.0, 1.0, 1.0, 0, "pass", "weights within 0.0e+00"),
    (1.0, 1.00001, 1.0, 0, "FAIL", "the ranks' weights differ by 1.0e-05"),
    (1.0, 1.0, 1.0001, 0, "FAIL", "two ranks' weights differ from one's by 1.0e-04"),
    (1.0, 1.0, 1.0, 1, "FAIL", "msrun ended with status 1: no port"),
    (1.0, None, 1.0, 0, "FAIL", "msrun ended with status 0: lost")])
def test_ranks(first, second, alone, status, result, said, told, tmp_path, monkeypatch):
    def msrun(command, **options):
        assert command[1:3] == ["--worker_num=2", "--local_worker_num=2"] and command[-2:] == ["CPU", str(tmp_path)]
        assert command[-3] == "one_rank"
        for rank, value in enumerate((first, second)):
            if value is not None:
                np.save(tmp_path / f"rank_{rank}.npy", np.array([value, 2.0]))
        if second is None:
            (tmp_path / "msrun").mkdir()
            (tmp_path / "msrun" / "worker_1.log").write_text("lost")
        return SimpleNamespace(returncode=status, stderr="no port")

    monkeypatch.setattr(subprocess, "run", msrun)
    monkeypatch.setattr(checks, "_acoustic_weights", lambda context: np.array([alone, 2.0]))
    found = outcome("ranks", "CPU", tmp_path)
    assert found[0] == result and found[1].startswith(said)


def test_one_card_is_not_two(told, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "_cards", lambda device: 1)
    assert outcome("ranks", "GPU", tmp_path) == ("skipped", "one card")


def test_what_a_rank_leaves(told, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "_acoustic_weights", lambda context: np.array([3.0]))
    assert outcome("one_rank", "CPU", tmp_path)[0] == "pass" and np.load(tmp_path / "rank_1.npy") == [3.0]


def test_exporting(told, tmp_path, monkeypatch):
    def export(path, out, *, formats, device):
        assert (path, out, device) == (tmp_path / material.CHECKPOINT, tmp_path / "export", "GPU")
        return SimpleNamespace(files=[SimpleNamespace(format=kind, max_difference=2e-7) for kind in formats])

    monkeypatch.setattr(checks, "export", export)
    assert outcome("exporting", "GPU", tmp_path)[1].startswith("mindir within 2.0e-07")

    def refuse(*_, **__):
        raise ExportError("x.mindir: differs from the checkpoint by 2e-04")
    monkeypatch.setattr(checks, "export", refuse)
    assert outcome("exporting", "GPU", tmp_path) == ("FAIL", "x.mindir: differs from the checkpoint by 2e-04")


@pytest.mark.parametrize("device, losses, result, said", [
    ("CPU", [0.2, 0.1], "pass", "small, 8 clips: O0 30.0 ms (the first 9 s)"),
    ("GPU", [0.2, 0.1], "pass", "paper, 8 clips: O0 30.0 ms (the first 9 s), O2 30.0 ms"),
    ("CPU", [0.2, float("inf")], "FAIL", "O0: the losses are")])
def test_times(device, losses, result, said, told, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "_train", lambda *_: (losses, [9.0, 0.03, 0.02, 0.05]))
    found = outcome("times", device, tmp_path)
    assert found[0] == result and found[1].startswith(said) and told == [device]


def test_whatever_a_device_raises_is_a_row(monkeypatch, tmp_path):
    def fail(error):
        def check(device, folder):
            raise error
        return check

    for error, said in ((RuntimeError("no kernel\nmore"), "RuntimeError: no kernel"),
                        (KeyError(), "KeyError: no reason")):
        monkeypatch.setitem(checks.CHECKS, "parity", fail(error))
        assert outcome("parity", "GPU", tmp_path) == ("FAIL", said)
    monkeypatch.setitem(checks.CHECKS, "parity", fail(ConfigError("no GPU")))
    with pytest.raises(ConfigError):
        outcome("parity", "GPU", tmp_path)


def test_every_row_has_a_check():
    assert {name for _, name, *_ in ROWS} == set(checks.CHECKS) - {"one_rank"}
    assert [arguments for _, name, arguments, _ in ROWS if name == "training"] == [("O0",), ("O2",), ("O3",)]


def test_a_rank_trains_on_its_share_of_the_batch(monkeypatch):
    sizes = []
    monkeypatch.setattr(checks, "TrainStep", lambda *_: SimpleNamespace(set_train=lambda: lambda *batch: sizes.extend(
        len(array) for array in batch)))
    found = checks._acoustic_weights(Context("CPU", "graph", 1, 2))
    assert set(sizes) == {4} and found.ndim == 1


@pytest.mark.parametrize("level, scale", [("O0", "none"), ("O3", "dynamic")])
def test_steps_are_of_the_level_and_their_losses_and_times_are_kept(level, scale, monkeypatch):
    made, answers = [], iter([0.5, 0.25, 0.125])

    def step(*batch):
        assert [len(array) for array in batch] == [8, 8, 8, 8]
        return SimpleNamespace(asnumpy=lambda: next(answers))

    monkeypatch.setattr(checks, "TrainStep", lambda network, train, runtime: made.append(
        (network, runtime.amp_level, runtime.loss_scale)) or SimpleNamespace(set_train=lambda: step))
    losses, seconds = checks._train("network", level, material.SMALL, 3)
    assert (losses, made) == ([0.5, 0.25, 0.125], [("network", level, scale)])
    assert len(seconds) == 3 and all(0 < taken < 1 for taken in seconds)
