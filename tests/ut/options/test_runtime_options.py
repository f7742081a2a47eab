# SPDX-License-Identifier: Apache-2.0
"""Each option of `runtime` makes a difference to this process, or to the step that trains."""

import dataclasses
import os
import random
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from fixtures.options import Case, check, leaves
from fixtures.training import TinyBatches, TinyNetwork
from mindspore import Tensor, ops

from mindface_eri.device.context import Context, setup
from mindface_eri.models import build_network
from mindface_eri.runner.step import TrainStep

BASES = {}


@pytest.fixture
def made(monkeypatch, eager):
    """What `setup` changes is as before afterwards."""
    for name in ("OMP_NUM_THREADS", "MS_WORKER_NUM", "RANK_SIZE"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    seed = ms.get_seed()
    yield SimpleNamespace(bases=BASES)
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(seed or 0)


def mode(config, made):
    setup(config.runtime)
    return ms.get_context("mode")


def threads(config, made):
    os.environ.pop("OMP_NUM_THREADS", None)
    setup(config.runtime)
    return os.environ.get("OMP_NUM_THREADS")


def draws(config, made):
    setup(config.runtime)
    return [random.random(), np.random.random(), ms.get_seed()]


def batches(config, made):
    return [list(batch) for batch in TinyBatches(config).train(0)]


def answers(config, made):
    """Of a network that its step has made ready."""
    ms.set_seed(3)
    network = TrainStep(build_network(config.model), config.train, config.runtime).network.set_train(False)
    mfcc = np.random.default_rng(1).normal(size=(3, config.model.frames, config.model.mfcc_features))
    return network(Tensor(mfcc.astype(np.float32))).asnumpy()


def weights_after_an_overflow(config, made):
    """And the scale: a loss that is infinite at the first batch."""
    ms.set_seed(3)
    step = TrainStep(TinyNetwork(), config.train, config.runtime).set_train(True)
    for labels in (np.inf, 0.2):
        step(Tensor(np.full((2, 6), 0.5, np.float32)), Tensor(np.full((2, 2), labels, np.float32)))
    return [step.network.out.weight.asnumpy(), step.apply_step.scale.asnumpy(), step.apply_step.updates.asnumpy()]


def masks(config, made):
    """Of two steps, drawn through the step's dropout."""
    ms.set_seed(3)
    step = TrainStep(TinyNetwork(0.5), config.train, config.runtime).set_train(True)
    return [step.network.dropout(Tensor(np.ones((3, 4), np.float32))).asnumpy() for _ in range(2)]


def messages(config, made):
    """How many the gradients of two processes travel as."""
    sent = []

    class AllReduce:
        def __call__(self, x):
            sent.append(x.shape)
            return x * 2.0

        def add_prim_attr(self, name, value):
            return self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, "AllReduce", AllReduce)
        runtime = dataclasses.replace(config.runtime, mode="graph")  # MindSpore itself stays in PyNative mode here
        step = TrainStep(TinyNetwork(), config.train, runtime, Context("CPU", "graph", 0, 2)).set_train(True)
        step(Tensor(np.ones((2, 6), np.float32)), Tensor(np.ones((2, 2), np.float32)))
    return sent


START = {"runtime.device": "CPU", "runtime.mode": "pynative", "preprocess.frames": 4, "model.name": "eri_acoustic",
         "preprocess.audio.coefficients": 4, "preprocess.audio.stack": 2, "model.width": 8, "model.temporal_depth": 1,
         "model.temporal_heads": 2, "model.temporal": "plain", "model.tcn_dilations": (1,)}
CASES = {
    "runtime.mode": [Case(mode, ["graph"])],
    "runtime.amp_level": [Case(answers, ["O2", "O3"])],
    "runtime.loss_scale": [Case(weights_after_an_overflow, ["fixed", "dynamic"])],
    "runtime.all_reduce": [Case(messages, ["eager"])],
    "runtime.deterministic": [Case(masks, [True])],
    "runtime.seed": [Case(draws, [1, 2]), Case(batches, [1])],
    "runtime.threads": [Case(threads, [1, 3])]}
WITHOUT = {"runtime.device": "this machine may have one device only; test_context.py has it with devices pretended"}


@pytest.mark.parametrize("name", [name for name in leaves("runtime") if name not in WITHOUT])
def test_an_option_changes_this_process_or_its_step(name, made):
    check(name, CASES, made, START)


def test_no_case_is_of_an_option_that_is_gone():
    assert {*CASES, *WITHOUT} <= set(leaves("runtime"))
