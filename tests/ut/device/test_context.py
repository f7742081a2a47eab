# SPDX-License-Identifier: Apache-2.0
"""Where this process computes and how: environment, device, mode, threads, seeds, and the others that it joins."""

import importlib.util
import logging
import os
import random
import sys
import warnings

import mindspore as ms
import numpy as np
import pytest
from mindspore import communication, device_context

from mindface_eri.config import RuntimeConfig
from mindface_eri.device import ascend, context, gpu
from mindface_eri.device.context import Context, seed_everything, setup
from mindface_eri.device.hardware import Requirement
from mindface_eri.errors import ConfigError

MISSING = [Requirement("driver", "not found", "install it")]
LOG = "GLOG_v"
VARIABLES = ("ONEDNN_MAX_CPU_ISA", LOG, "OMP_NUM_THREADS", "MS_WORKER_NUM", "MS_ROLE",
             "RANK_ID", "RANK_SIZE", "RANK_TABLE_FILE")


@pytest.fixture(autouse=True)
def clean(monkeypatch, graph_mode):
    """None of the variables is set; MindSpore's logger, mode and seed are as before afterwards."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setattr(context, "_isa_is_ours", False)
    logger = logging.getLogger(f"ME.mindspore.log.{os.getpid()}")
    level, seed = logger.level, ms.get_seed()
    logger.setLevel(logging.INFO)
    with warnings.catch_warnings():
        yield logger
    logger.setLevel(level)
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(seed or 0)


def heard(module):
    """Whether a warning out of a module comes through."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.warn_explicit("x", UserWarning, "file.py", 1, module=module)
    return bool(caught)


def test_mindspore_is_quiet_and_fast_on_cpu_unless_one_wants_it_otherwise(clean, monkeypatch):
    warnings.simplefilter("always")
    monkeypatch.setenv(LOG, "1")
    context.prepare_environment()
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2" and os.environ[LOG] == "1"
    assert clean.level == logging.INFO and heard("mindspore.nn")
    monkeypatch.delenv(LOG)
    context.prepare_environment()
    assert os.environ[LOG] == "3" and clean.level == logging.ERROR
    assert [heard(name) for name in ("mindspore", "mindspore.nn", "mindspores", "mine")] == [False, False, True, True]


def test_products_take_all_instructions_where_nothing_is_a_convolution():
    context.prepare_environment()
    assert "ONEDNN_MAX_CPU_ISA" not in context.users_environment() and "GLOG_v" in context.users_environment()
    context.compute_without_convolutions()
    context.prepare_environment()  # others call it too
    assert "ONEDNN_MAX_CPU_ISA" not in os.environ


def test_instructions_that_the_user_chose_stand(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    context.prepare_environment()
    context.compute_without_convolutions()
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == context.users_environment()["ONEDNN_MAX_CPU_ISA"] == "AVX2"


def test_values_of_the_user_stand(clean, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    monkeypatch.setenv(LOG, "1")
    context.prepare_environment()
    assert (os.environ["ONEDNN_MAX_CPU_ISA"], os.environ[LOG]) == ("AVX512_CORE", "1")
    assert clean.level == logging.INFO


def test_preparing_a_device_prepares_the_environment_and_a_card_where_one_may_be_used(monkeypatch):
    calls = []
    monkeypatch.setattr(gpu, "prepare", lambda: calls.append("card"))
    for device in ("CPU", "Ascend"):
        context.prepare_device(device)
    assert os.environ.pop(LOG) == "3" and calls == []
    context.prepare_device("GPU")
    context.prepare_device()
    assert calls == ["card", "card"] and os.environ[LOG] == "3"


def test_requirements_of_each_device(monkeypatch):
    monkeypatch.setattr(gpu, "requirements", lambda: MISSING)
    monkeypatch.setattr(ascend, "requirements", lambda: MISSING * 2)
    assert [len(context.device_requirements(name)) for name in ("CPU", "GPU", "Ascend")] == [0, 1, 2]


def refuse():
    raise RuntimeError("no plugin")


@pytest.mark.parametrize("ascend_there, gpu_there, requirements, expected", [
    (lambda: True, lambda: True, [], [True, True, True]), (lambda: False, lambda: True, MISSING, [False, False, True]),
    (refuse, lambda: False, [], [False, False, True]), (lambda: 1, refuse, [], [True, False, True])])
def test_devices_that_can_be_used(monkeypatch, ascend_there, gpu_there, requirements, expected):
    calls = []
    monkeypatch.setattr(gpu, "prepare", lambda: calls.append("card"))
    monkeypatch.setattr(gpu, "requirements", lambda: requirements)
    monkeypatch.setattr(device_context.ascend, "is_available", ascend_there)
    monkeypatch.setattr(device_context.gpu, "is_available", gpu_there)
    monkeypatch.setattr(device_context.cpu, "is_available", refuse)  # a CPU is there whatever MindSpore says
    found = context.available_devices()
    assert list(found.items()) == list(zip(("Ascend", "GPU", "CPU"), expected)) and calls == ["card"]


@pytest.fixture
def anew(monkeypatch):
    """The module as in a process that has not computed yet; `devices` are those that were set."""
    spec = importlib.util.spec_from_file_location("context_anew", context.__file__)
    fresh = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "context_anew", fresh)
    spec.loader.exec_module(fresh)
    fresh.devices, fresh.available = [], {"Ascend": False, "GPU": False, "CPU": True}
    monkeypatch.setattr(ms, "set_device", fresh.devices.append)
    monkeypatch.setattr(fresh, "available_devices", lambda: fresh.available)
    monkeypatch.setattr(gpu, "prepare", lambda: None)
    monkeypatch.setattr(gpu, "has_driver", lambda: False)
    return fresh


@pytest.mark.parametrize("wanted, available, taken", [
    ("auto", ("Ascend", "GPU", "CPU"), "Ascend"), ("auto", ("GPU", "CPU"), "GPU"), ("auto", ("CPU",), "CPU"),
    ("GPU", ("Ascend", "GPU", "CPU"), "GPU"), ("CPU", ("Ascend", "GPU", "CPU"), "CPU"), ("CPU", (), "CPU")])
def test_the_best_device_there_is_or_the_one_that_is_named(anew, wanted, available, taken):
    anew.available = {name: name in available for name in ("Ascend", "GPU", "CPU")}
    assert anew.setup(RuntimeConfig(device=wanted)) == anew.Context(taken, "graph", 0, 1)
    assert anew.devices == [taken]
    anew.setup(RuntimeConfig(device=wanted))
    assert anew.devices == [taken]  # once a process


def test_a_device_that_cannot_be_used_names_those_that_can(anew, monkeypatch):
    anew.available = {"Ascend": True, "GPU": False, "CPU": True}
    monkeypatch.setattr(gpu, "requirements", lambda: MISSING)
    with pytest.raises(ConfigError) as caught:
        anew.setup(RuntimeConfig(device="GPU"))
    assert str(caught.value) == (
        "runtime.device is GPU, which cannot be used here (driver: not found; install it); usable: Ascend, CPU. "
        "`mindface-eri doctor --device GPU` says more")
    monkeypatch.setattr(gpu, "requirements", list)
    with pytest.raises(ConfigError, match=r"\(MindSpore does not say why\)"):
        anew.setup(RuntimeConfig(device="GPU"))


@pytest.mark.parametrize("driver, requirements, device, said", [
    (True, MISSING, "auto", True), (False, MISSING, "auto", False), (True, [], "auto", False),
    (True, MISSING, "CPU", False)])
def test_a_card_that_lies_idle_is_told(anew, monkeypatch, caplog, driver, requirements, device, said):
    monkeypatch.setattr(gpu, "has_driver", lambda: driver)
    monkeypatch.setattr(gpu, "requirements", lambda: requirements)
    anew.setup(RuntimeConfig(device=device))
    line = ("computing on CPU although an NVIDIA driver is here: driver: not found; install it (or say --device CPU)")
    assert [record.getMessage() for record in caplog.records if record.name == "mindface_eri"] == [line] * said


def test_a_process_stays_on_its_device(anew, monkeypatch):
    anew.available = dict.fromkeys(("Ascend", "GPU", "CPU"), True)
    anew.setup(RuntimeConfig(device="GPU"))
    with pytest.raises(ConfigError, match="runtime.device is CPU, but this process computes on GPU already; use a new "
                       "process for another device"):
        anew.setup(RuntimeConfig(device="CPU"))


def test_a_process_that_has_computed_stays_where_it_did(anew, monkeypatch):
    def set_device(device):
        raise RuntimeError("too late")

    anew.available = dict.fromkeys(("Ascend", "GPU", "CPU"), True)
    monkeypatch.setattr(ms, "set_device", set_device)
    with pytest.raises(ConfigError, match="computes on CPU already"):
        anew.setup(RuntimeConfig(device="GPU"))
    assert anew.setup(RuntimeConfig(device="CPU")).device == "CPU"


@pytest.mark.parametrize("mode, constant", [("pynative", ms.PYNATIVE_MODE), ("graph", ms.GRAPH_MODE)])
def test_the_mode_is_the_recipes(mode, constant):
    ms.set_context(mode=ms.GRAPH_MODE if mode == "pynative" else ms.PYNATIVE_MODE)
    made = setup(RuntimeConfig(device="CPU", mode=mode))
    assert made == Context("CPU", mode, 0, 1) and made.is_main
    assert ms.get_context("mode") == constant


@pytest.mark.parametrize("threads, before, after", [(0, None, None), (3, None, "3"), (3, "5", "5")])
def test_threads_are_the_recipes_unless_the_user_said(monkeypatch, threads, before, after):
    if before:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    setup(RuntimeConfig(device="CPU", threads=threads))
    assert os.environ.get("OMP_NUM_THREADS") == after


def draws():
    return random.random(), np.random.random()


@pytest.mark.parametrize("seed", [0, 11, 2**32 + 5])
def test_a_seed_is_for_python_numpy_and_mindspore(seed):
    """A resumed run's seed grows with its epochs."""
    seed_everything(seed)
    seed %= 2**32
    assert draws() == (random.Random(seed).random(), np.random.RandomState(seed).random())
    assert ms.get_seed() == seed


def test_setup_seeds_with_the_recipes(monkeypatch):
    setup(RuntimeConfig(device="CPU", seed=4))
    assert ms.get_seed() == 4 and draws()[0] == random.Random(4).random()


@pytest.fixture
def launched(anew, monkeypatch):
    """A launcher's process, the third of four; `calls` are those that join it to the others."""
    anew.calls = []
    monkeypatch.setattr(communication, "init", lambda: anew.calls.append("init"))
    monkeypatch.setattr(communication, "get_rank", lambda: 2)
    monkeypatch.setattr(communication, "get_group_size", lambda: 4)
    return anew


@pytest.mark.parametrize("variables, joins", [
    ({}, False), ({"MS_WORKER_NUM": "4", "MS_ROLE": "MS_WORKER"}, True), ({"MS_WORKER_NUM": "4"}, False),
    ({"RANK_SIZE": "4"}, False), ({"RANK_SIZE": "4", "RANK_ID": "3"}, False),
    ({"RANK_SIZE": "4", "RANK_TABLE_FILE": "t.json"}, False), ({"MS_WORKER_NUM": "1", "MS_ROLE": "MS_WORKER"}, False),
    ({"MS_WORKER_NUM": "many", "MS_ROLE": "MS_WORKER"}, False),  # as MS_SCHED, MindSpore would end this process
    ({"MS_WORKER_NUM": "-4", "MS_ROLE": "MS_WORKER"}, False)])
def test_a_process_joins_the_others_where_a_launcher_started_several(launched, monkeypatch, variables, joins):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made = launched.setup(RuntimeConfig(device="CPU", seed=10))
    assert made == (launched.Context("CPU", "graph", 2, 4) if joins else launched.Context("CPU", "graph", 0, 1))
    assert made.is_main == (not joins)
    assert launched.calls == ["init"] * joins
    assert ms.get_seed() == (12 if joins else 10)
    assert launched.setup(RuntimeConfig(device="CPU")) == made
    assert launched.calls == ["init"] * joins  # once a process


@pytest.mark.parametrize("variables, found, strays", [
    ({}, (0, 1), ""), ({"RANK_ID": "0", "RANK_SIZE": "1"}, (0, 1), ""), ({"RANK_ID": "3"}, (0, 1), "RANK_ID=3"),
    ({"RANK_SIZE": "8", "RANK_ID": "x"}, (0, 1), "RANK_ID=x, RANK_SIZE=8"),
    ({"MS_WORKER_NUM": "4", "RANK_ID": "2"}, (0, 1), "RANK_ID=2, MS_WORKER_NUM=4"),
    ({"MS_WORKER_NUM": "4", "RANK_ID": "2", "MS_ROLE": "MS_WORKER"}, (2, 4), ""),
    ({"MS_WORKER_NUM": "4", "MS_ROLE": "MS_WORKER"}, (None, 4), ""),
    ({"MS_WORKER_NUM": "4", "RANK_ID": "2", "MS_ROLE": "MS_SCHED"}, (None, 4), ""),
    ({"MS_ROLE": "MS_SCHED"}, (0, 1), ""),
    ({"MS_WORKER_NUM": "4", "RANK_ID": "4", "MS_ROLE": "MS_WORKER"}, (None, 4), "")])
def test_only_the_whole_set_of_a_launcher_counts(anew, monkeypatch, variables, found, strays):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (anew.launched(), anew.stray_ranks()) == (found, strays)


def test_full_float32_is_asked_of_the_device_that_has_less_by_default(monkeypatch):
    from mindspore.device_context.ascend import op_precision as of_ascend
    from mindspore.device_context.gpu import op_precision as of_gpu

    set_ = []
    for module, names in ((of_gpu, ("matmul_allow_tf32", "conv_allow_tf32")),
                          (of_ascend, ("precision_mode", "matmul_allow_hf32", "conv_allow_hf32"))):
        for name in names:
            monkeypatch.setattr(module, name, lambda value, name=name: set_.append((name, value)))
    context.use_full_float32("CPU")
    assert set_ == []
    context.use_full_float32("GPU")
    assert set_ == [("matmul_allow_tf32", False), ("conv_allow_tf32", False)]
    context.use_full_float32("Ascend")
    assert set_[2:] == [("precision_mode", "must_keep_origin_dtype"), ("matmul_allow_hf32", False),
                        ("conv_allow_hf32", False)]


def test_what_a_process_computes_on(anew):
    assert anew.computing_on() is None
    anew.setup(RuntimeConfig(device="CPU"))
    assert anew.computing_on() == "CPU"
