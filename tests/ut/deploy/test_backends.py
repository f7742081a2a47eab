# SPDX-License-Identifier: Apache-2.0
"""What goes into each network, batches of a fixed size filled up, and files that cannot be opened."""

import sys

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindface_eri.deploy import backends
from mindface_eri.deploy.backends import (
    CellBackend,
    MindIRBackend,
    OnnxBackend,
    input_shapes,
    open_backend,
    run_batches,
)
from mindface_eri.errors import CheckpointError, ConfigError, MissingDependencyError

SETS = {"features": ("fau", "gaze"), "feature_widths": (3, 5)}


@pytest.mark.parametrize("name, more, shapes", [
    ("eri_visual", {}, [((2, 4, 32, 32, 3), np.uint8)]), ("eri_acoustic", {}, [((2, 4, 12), np.float32)]),
    ("eri_features", {"features": ("fau",), "feature_widths": (3,)}, [((2, 4, 3), np.float32)]),
    ("eri_dual_branch", {}, [((2, 4, 32, 32, 3), np.uint8), ((2, 4, 12), np.float32), ((2, 2), np.float32)]),
    ("eri_multi_branch", SETS, [((2, 4, 32, 32, 3), np.uint8), ((2, 4, 12), np.float32), ((2, 4, 3), np.float32),
                                ((2, 4, 5), np.float32), ((2, 4), np.float32)])])
def test_shapes_and_types_of_the_inputs(name, more, shapes, tiny):
    assert input_shapes(tiny(name, **more), 2) == shapes
    assert [shape[0] for shape, _ in input_shapes(tiny(name, **more), None)] == [None] * len(shapes)


class Recorder:
    """Takes exactly `batch` clips a call; its answers are the first input plus ten times the second."""

    def __init__(self, batch=None):
        self.batch, self.seen = batch, []

    def run(self, inputs):
        assert self.batch in (None, len(inputs[0])) and len(inputs[0]) == len(inputs[1])
        self.seen.append(inputs[0].ravel().tolist())
        return inputs[0] + 10 * inputs[1]


@pytest.mark.parametrize("clips, batches", [
    (7, [[0, 1, 2], [3, 4, 5], [6, 6, 6]]), (6, [[0, 1, 2], [3, 4, 5]]), (2, [[0, 1, 1]]),
    (8, [[0, 1, 2], [3, 4, 5], [6, 7, 7]])])
def test_a_fixed_batch_is_filled_up_and_the_filling_dropped(clips, batches):
    one = np.arange(clips)[:, None]
    backend = Recorder(3)
    assert run_batches(backend, [one, one ** 2], 3).ravel().tolist() == [i + 10 * i * i for i in range(clips)]
    assert backend.seen == batches
    free = Recorder()
    assert run_batches(free, [one, one ** 2], None).ravel().tolist() == [i + 10 * i * i for i in range(clips)]
    assert free.seen == [list(range(clips))]


class Seeing(nn.Cell):
    """Doubles its first input and subtracts the second; its first explains it, and nothing of a picture does."""

    def construct(self, x, y):
        return 2 * x - y

    def explain(self, x, y):
        return 2 * x - y, x


def test_a_network_of_this_process(pynative):
    x, y = np.array([[1.0, 2.0]], "f"), np.array([[0.5, 3.0]], "f")
    backend = CellBackend(Seeing())
    assert backend.run([x, y]).tolist() == [[1.5, 1.0]] and isinstance(backend.run([x, y]), np.ndarray)
    answers, temporal, spatial = backend.attention([x, y])
    assert answers.tolist() == [[1.5, 1.0]] and temporal.tolist() == x.tolist() and spatial is None
    assert CellBackend(nn.ReLU()).attention([x]) is None


def test_an_onnx_file_takes_its_inputs_in_order(toy_graph, tiny, tmp_path):
    backend = open_backend(toy_graph(tmp_path / "toy.onnx", tiny()))
    frames, mfcc = np.full((2, 4, 32, 32, 3), 9, np.uint8), np.full((2, 4, 12), 0.25, "f")
    inputs = [frames, mfcc, np.array([[1, 0], [0, 1]], "f")]
    assert isinstance(backend, OnnxBackend) and backend.run(inputs).tolist() == [[9, 0.25, 1], [9, 0.25, 10]]
    assert backend.attention(inputs) is None


def test_threads_reach_onnxruntime(toy_graph, tiny, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    made, session = [], onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession",
                        lambda path, options, providers: made.append((options.intra_op_num_threads, providers))
                        or session(path, options, providers=providers))
    path = toy_graph(tmp_path / "toy.onnx", tiny())
    open_backend(path, 3)
    open_backend(path)
    OnnxBackend(path)
    assert made == [(threads, ["CPUExecutionProvider"]) for threads in (3, 0, 0)]


def test_the_ending_chooses(monkeypatch):
    monkeypatch.setattr(backends, "MindIRBackend", lambda path, device: ("mindir", path, device))
    assert open_backend("onnx.mindir") == ("mindir", "onnx.mindir", "auto")
    assert open_backend("onnx.mindir", device="CPU") == ("mindir", "onnx.mindir", "CPU")
    with pytest.raises(ConfigError, match="device GPU: mindir.onnx runs on the CPU, in onnxruntime; name a .mindir"):
        open_backend("mindir.onnx", device="GPU")


def test_damaged_files_and_missing_packages(tmp_path, monkeypatch, pynative):
    for kind in ("onnx", "mindir"):
        (tmp_path / f"bad.{kind}").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match=r"bad.onnx: cannot be read as ONNX \(.*\); export the checkpoint again"):
        open_backend(tmp_path / "bad.onnx")
    with pytest.raises(CheckpointError, match=r"bad.mindir: cannot be read as MindIR \(.*\); export the checkpoint"):
        MindIRBackend(tmp_path / "bad.mindir")
    assert ms.get_context("mode") == ms.PYNATIVE_MODE  # the process's own, which opening leaves alone
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"an .onnx model needs onnxruntime: pip install .*\[onnx\]"):
        OnnxBackend(tmp_path / "bad.onnx")
