# SPDX-License-Identifier: Apache-2.0
"""ONNX graphs before and after they are rewritten, node by node, and what they compute."""

import sys

import numpy as np
import pytest

from mindface_eri.deploy.onnx_graph import polish, traced_batch
from mindface_eri.errors import ExportError, MissingDependencyError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT


def value(name, *shape):
    return helper.make_tensor_value_info(name, FLOAT, shape)


def numbers(name, *values):
    return onnx.numpy_helper.from_array(np.array(values, np.int64), name)


def save(path, nodes, inputs, outputs, initializers=(), infos=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers), value_info=list(infos))
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


def run(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def pooling(path, *, pads=(0, 0, 1, 2, 0, 0, 3, 1), first="Relu", kernel=4, as_node=False, **attributes):
    """x (97, 1, 4, 5) -> Relu -> Pad -> MaxPool -> "7"."""
    rows, columns = pads[2] + pads[6] + 5 - kernel, pads[3] + pads[7] + 6 - kernel
    nodes = [helper.make_node(first, ["x"], ["1"]), helper.make_node("Pad", ["1", "pads"], ["2"]),
             helper.make_node("MaxPool", ["2"], ["7"], kernel_shape=[kernel, kernel], **attributes),
             helper.make_node("Identity", ["7"], ["8"])]
    table = [numbers("pads", *pads)]
    if as_node:
        nodes.insert(0, helper.make_node("Constant", [], ["pads"], value=table.pop()))
    return save(path, nodes, [value("x", 97, 1, 4, 5)], [value("8", 97, 1, rows, columns)], table)


@pytest.mark.parametrize("as_node", [False, True])
def test_padding_after_relu_goes_into_the_pooling(as_node, tmp_path):
    path = pooling(tmp_path / "g.onnx", as_node=as_node, pads=(0, 0, 1, 2, 0, 0, 3, 0))
    x = np.random.default_rng(0).normal(size=(97, 1, 4, 5)).astype("f")
    before = run(path, x)
    polish(path, dynamic=97, output="answer", notes={"model": "toy", "emotions": "Fear,Awe"})
    model = onnx.load(path)
    assert [node.op_type for node in model.graph.node] == ["Relu", "MaxPool", "Identity"]
    pool = model.graph.node[1]
    assert {a.name: list(a.ints) for a in pool.attribute} == {"kernel_shape": [4, 4], "pads": [1, 2, 3, 0]}
    assert pool.input[0] == "1" and not model.graph.initializer
    assert [node.output[0] for node in model.graph.node] == ["1", "7", "answer"]
    assert {one.key: one.value for one in model.metadata_props} == {"model": "toy", "emotions": "Fear,Awe"}
    for one in (model.graph.input[0], model.graph.output[0]):
        dims = one.type.tensor_type.shape.dim
        assert dims[0].dim_param == "batch" and not dims[0].dim_value and all(d.dim_value for d in dims[1:])
    assert np.array_equal(run(path, x), before) and len(run(path, x[:3])) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["g.onnx"]


def test_pads_take_the_place_of_those_that_the_pooling_has(tmp_path):
    path = pooling(tmp_path / "g.onnx", auto_pad="VALID", strides=[1, 1])
    polish(path, dynamic=None, output="8")
    attributes = {attribute.name: list(attribute.ints) for attribute in onnx.load(path).graph.node[1].attribute}
    assert attributes == {"kernel_shape": [4, 4], "strides": [1, 1], "pads": [1, 2, 3, 1]}
    assert run(path, np.ones((97, 1, 4, 5), "f")).shape == (97, 1, 5, 5)


def test_padding_after_anything_else_stays(tmp_path):
    path = pooling(tmp_path / "g.onnx", first="Neg")  # zeros may win over values below zero
    polish(path, dynamic=None, output="8")
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Neg", "Pad", "MaxPool", "Identity"]
    plain = save(path, [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2])], [value("x", 1, 1, 4, 4)],
                 [value("y", 1, 1, 3, 3)])
    polish(plain, dynamic=None, output="y")
    model = onnx.load(plain)
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [1, 1, 4, 4]
    assert not model.metadata_props


def test_each_pooling_and_each_slice_has_its_turn(tmp_path):
    nodes = [helper.make_node("MaxPool", ["x"], ["1"], kernel_shape=[1, 1]), helper.make_node("Relu", ["1"], ["2"]),
             helper.make_node("Pad", ["2", "pads"], ["3"]),
             helper.make_node("MaxPool", ["3"], ["4"], kernel_shape=[2, 2]),
             *(helper.make_node("Slice", [str(i), "s", f"e{i}", "a"], [str(i + 1)]) for i in (4, 5))]
    tables = [numbers("pads", 0, 0, 1, 0, 0, 0, 0, 1), numbers("s", 0, 0), numbers("a", 0, 3), numbers("e4", 97, 3),
              numbers("e5", 97, 2)]
    path = save(tmp_path / "g.onnx", nodes, [value("x", 97, 1, 3, 4)], [value("6", 97, 1, 3, 2)], tables)
    polish(path, dynamic=97, output="y")
    graph = onnx.load(path).graph
    assert [node.op_type for node in graph.node] == ["MaxPool", "Relu", "MaxPool", "Slice", "Slice"]
    x = np.random.default_rng(0).uniform(size=(120, 1, 3, 4)).astype("f")  # more than the graph was traced with
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 1)))
    pooled = np.max([padded[:, :, i:i + 3, j:j + 4] for i in (0, 1) for j in (0, 1)], axis=0)
    assert np.array_equal(run(path, x), pooled[..., :2])


def sliced(path, *tables):
    """x (97, 6) -> Slice with starts, ends and maybe axes and steps -> y; beside it two values that nothing reads."""
    names = ["" if table is None else name for name, table in zip("sead", tables)]
    nodes = [helper.make_node("Identity", ["x"], ["same"]), helper.make_node("Slice", ["same", *names], ["y"]),
             helper.make_node("Constant", [], ["idle"], value=numbers("unread", 1))]
    stored = [*(numbers(name, *table) for name, table in zip(names, tables) if name), numbers("unused", 1)]
    return save(path, nodes, [value("x", 97, 6)], [value("y", None, None)], stored, [value("y", 97, 2)])


@pytest.mark.parametrize("tables, left, columns", [
    (([0, 2], [97, 4]), ([2], [4], [1], [1]), slice(2, 4)),  # axes and steps left out
    (([0, 2], [97, 4], [0, 1]), ([2], [4], [1], [1]), slice(2, 4)),
    (([2, 0], [4, 97], [1, 0]), ([2], [4], [1], [1]), slice(2, 4)),
    (([0, 1], [97, 5], None, [1, 2]), ([1], [5], [1], [2]), slice(1, 5, 2)),
    (([1, 0], [5, 97], [1, 0], [2, 1]), ([1], [5], [1], [2]), slice(1, 5, 2)),
    (([2, 0], [4, 97], [1, 0], [1, 1]), ([2], [4], [1], [1]), slice(2, 4))])
def test_a_slice_no_longer_names_the_batch(tables, left, columns, tmp_path):
    path = sliced(tmp_path / "g.onnx", *tables)
    x = np.arange(97 * 6, dtype="f").reshape(97, 6)
    polish(path, dynamic=97, output="y")
    graph = onnx.load(path).graph
    tables = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert tuple(tables[name].tolist() for name in graph.node[1].input[1:]) == left
    assert all(table.dtype == np.int64 for table in tables.values())
    assert len(tables) == 4 and len(graph.node) == 2  # what nothing reads any more is gone
    assert not graph.value_info  # it named the batch
    assert np.array_equal(run(path, x[:5]), x[:5, columns])


@pytest.mark.parametrize("tables", [([1], [97], [0], [1]), ([0], [96], [0], [1]), ([0], [97], [0], [2])])
def test_a_slice_that_leaves_clips_out_is_kept(tables, tmp_path):
    path = sliced(tmp_path / "g.onnx", *tables)
    polish(path, dynamic=97, output="y")
    graph = onnx.load(path).graph
    assert [onnx.numpy_helper.to_array(tensor).tolist() for tensor in graph.initializer] == list(tables)


def test_a_fixed_batch_keeps_its_slices_and_shapes(tmp_path):
    path = sliced(tmp_path / "g.onnx", [0, 2], [97, 4])
    polish(path, dynamic=None, output="y")
    graph = onnx.load(path).graph
    assert list(graph.node[1].input) == ["same", "s", "e"] and [info.name for info in graph.value_info] == ["y"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == 97


def test_a_graph_of_two_outputs_is_refused(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["x"], ["b"])]
    path = save(tmp_path / "g.onnx", nodes, [value("x", 2)], [value("a", 2), value("b", 2)])
    before = path.read_bytes()
    with pytest.raises(ExportError, match="the ONNX graph has 2 outputs, expected one"):
        polish(path, dynamic=None, output="y")
    assert path.read_bytes() == before


def test_the_output_keeps_its_name_wherever_it_is_read(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Add", ["a", "a"], ["unread"])]
    path = save(tmp_path / "g.onnx", nodes, [value("x", 2)], [value("a", 2)])
    polish(path, dynamic=None, output="y")
    graph = onnx.load(path).graph
    assert [(list(node.input), list(node.output)) for node in graph.node] == [(["x"], ["y"]), (["y", "y"], ["unread"])]


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"needs the packages onnx and onnxruntime: .*\[onnx\]"):
        polish(tmp_path / "g.onnx", dynamic=None, output="y")


def test_a_traced_batch_is_no_number_of_frames():
    assert traced_batch(97) not in (97, 0) and traced_batch(32) != 32
    assert all(traced_batch(frames) != frames for frames in range(1, 4097))
