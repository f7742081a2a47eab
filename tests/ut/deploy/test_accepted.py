# SPDX-License-Identifier: Apache-2.0
"""Model files that would bring code, or weights that no sum covers, are refused as data, before anything loads them."""

import types

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.train.mind_ir_pb2 import AttributeProto, ModelProto

from mindface_eri.deploy import accepted, backends
from mindface_eri.deploy.accepted import OWN_OPERATORS, OWN_PRIMITIVES, allow_operators
from mindface_eri.deploy.check_mindir import check_mindir
from mindface_eri.deploy.check_onnx import check_onnx
from mindface_eri.deploy.exporter import _write
from mindface_eri.errors import CheckpointError
from mindface_eri.models import build_network

onnx = pytest.importorskip("onnx")
FLOAT = onnx.TensorProto.FLOAT


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A MindIR of one layer, as protobuf gives it."""
    file = tmp_path_factory.mktemp("exported") / "layer"
    ms.export(nn.Dense(3, 2), ms.Tensor(np.zeros((1, 3), np.float32)), file_name=str(file), file_format="MINDIR")
    model = ModelProto()
    model.ParseFromString(file.with_suffix(".mindir").read_bytes())
    return model


def custom(model):
    added = model.primitives.add(name="Custom:99", op_type="Custom", instance_name="Custom")
    added.attribute.add(name="func_type", s=b"aot", type=AttributeProto.STRING)
    model.graph.node[0].op_type = "REF::Custom:99"


def bare(model):
    model.graph.node.add(op_type="PyExecute", name="n")


def dangling(model):
    model.graph.node[0].op_type = "REF::Add:12345"


def renamed(model):  # a node's reference looks like arithmetic, what it refers to is not
    model.primitives[0].op_type = "PyFunc"


def function(model):
    model.functions.add(name="f").node.add(op_type="Constant")


def elsewhere(model):
    model.graph.parameter[0].external_data.location = "layer_variables/data_0"
    model.graph.parameter[0].ClearField("raw_data")


def constant_elsewhere(model):
    value = model.graph.node.add(op_type="Constant", name="c").attribute.add(name="value", type=AttributeProto.TENSORS)
    value.tensors.add(dims=[1], data_type=1).external_data.location = "w"


def constant_of_nothing(model):
    model.graph.node.add(op_type="Constant", name="c")


def nested(model):  # a tuple that holds the name of a module of Python
    outer = model.primitives[0].attribute.add(name="outer", type=AttributeProto.TUPLE)
    outer.values.add(name="inner", type=AttributeProto.NAME_SPACE, s=b"os")


def graph_within(model):
    model.graph.node[0].attribute.add(name="g", type=AttributeProto.GRAPH).g.name = "inner"


def empty(model):
    model.graph.parameter[0].ClearField("raw_data")


def another_shape(model):
    model.graph.parameter[0].dims[0] += 1


def of_strings(model):
    model.graph.parameter[0].data_type = 8


def preprocessor(model):
    model.preprocessor.op.add(op_type="map")


@pytest.mark.parametrize("change, message", [
    (custom, "holds the primitive 'Custom'"), (bare, "primitive 'PyExecute'"), (dangling, "REF::Add:12345"),
    (renamed, "primitive 'PyFunc'"), (function, "has functions"),
    (elsewhere, r"another file \(layer_variables/data_0\)"), (constant_elsewhere, "another file"),
    (constant_of_nothing, "a constant without a value"),
    (nested, "'inner' of kind NAME_SPACE"), (graph_within, "of kind GRAPH"),
    (empty, "0 bytes of data, its shape"), (another_shape, "bytes of data, its shape"), (of_strings, "no known type"),
    (preprocessor, "has preprocessor")])
def test_a_mindir_that_ours_are_not(change, message, exported, tmp_path, monkeypatch):
    model = ModelProto()
    model.CopyFrom(exported)
    path = tmp_path / "layer.mindir"
    path.write_bytes(model.SerializeToString())
    check_mindir(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    monkeypatch.setattr(ms, "load", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(CheckpointError, match=message):
        backends.open_backend(path, device="CPU")


def model_of(nodes, initializers=(), opsets=(("", 14),), **more):
    graph = onnx.helper.make_graph(nodes, "g", [onnx.helper.make_tensor_value_info("x", FLOAT, [2])],
                                   [onnx.helper.make_tensor_value_info("y", FLOAT, [2])], initializers)
    return onnx.helper.make_model(graph, ir_version=8, **more,
                                  opset_imports=[onnx.helper.make_opsetid(*one) for one in opsets])


def node(kind, *inputs, **more):
    return onnx.helper.make_node(kind, list(inputs), ["y"], **more)


def weight(**more):
    tensor = onnx.TensorProto(name="w", data_type=FLOAT, dims=[2], **more)
    return model_of([node("Add", "x", "w")], [tensor])


def outside():
    model = weight(data_location=1)
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")
    return model


def within():
    inner = onnx.helper.make_graph([node("Relu", "x")], "inner", [], [])
    return model_of([node("Relu", "x", then_branch=inner)])


def sparse():
    model = weight(raw_data=bytes(8))
    model.graph.sparse_initializer.add().dims.append(2)
    return model


def local():
    function = onnx.helper.make_function("", "Relu", ["x"], ["y"], [node("Relu", "x")],
                                         [onnx.helper.make_opsetid("", 14)])
    return model_of([node("Relu", "x")], functions=[function])


@pytest.mark.parametrize("model, message", [
    (lambda: model_of([node("Loop", "x")]), "holds the operator 'Loop'"),
    (lambda: model_of([node("Relu", "x", domain="com.evil")]), "domain 'com.evil'"),
    (lambda: model_of([node("Relu", "x")], opsets=(("", 14), ("com.microsoft", 1))), "domain 'com.microsoft'"),
    (within, "within 'Relu'"), (local, "has functions"), (sparse, "sparse"),
    (outside, "keeps parameter 'w' in another"), (weight, "0 bytes of data"),
    (lambda: weight(raw_data=bytes(12)), "12 bytes of data"),
    (lambda: weight(float_data=[1]), "4 bytes of data"), (lambda: onnx.ModelProto(), "has no graph")])
def test_an_onnx_that_ours_are_not(model, message, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("it was loaded"))
    path = tmp_path / "m.onnx"
    path.write_bytes(model().SerializeToString())
    with pytest.raises(CheckpointError, match=message):
        backends.open_backend(path)


def test_an_onnx_that_ours_are_passes():
    for model in (weight(raw_data=bytes(8)), weight(float_data=[1, 2]), model_of([node("Sigmoid", "x")])):
        check_onnx("m.onnx", model.SerializeToString())


def test_what_is_loaded_is_what_was_looked_at(tmp_path):
    """onnxruntime gets the bytes, so that an exchange of the file in between changes nothing."""
    pytest.importorskip("onnxruntime")
    path = tmp_path / "m.onnx"
    path.write_bytes(weight(raw_data=np.array([1, 2], np.float32).tobytes()).SerializeToString())
    backend = backends.open_backend(path)
    path.unlink()
    assert backend.run([np.array([1, 1], np.float32)]).tolist() == [2, 3]
    with pytest.raises(CheckpointError, match=r"m.onnx: could not be computed \(.*--batch-size"):
        backend.run([np.array([1, 1, 1], np.float32)])


def test_a_plugin_allows_more(monkeypatch):
    monkeypatch.setattr(accepted, "_ALLOWED", set(OWN_OPERATORS))
    strange = model_of([node("Hardmax", "x")]).SerializeToString()
    with pytest.raises(CheckpointError, match=r"allow_operators\('Hardmax'\)"):
        check_onnx("m.onnx", strange)
    monkeypatch.setattr(accepted, "import_plugins", lambda: allow_operators("Hardmax"))
    check_onnx("m.onnx", strange)


def test_the_lists_hold_nothing_that_brings_code():
    bringing = {"Custom", "PyFunc", "PyExecute", "PyInterpret", "Print", "TensorDump", "If", "Loop", "Scan", "Optional"}
    assert not bringing & accepted._ALLOWED and OWN_PRIMITIVES | OWN_OPERATORS <= accepted._ALLOWED


@pytest.mark.slow
@pytest.mark.parametrize("name, more", [
    ("eri_visual", {}), ("eri_acoustic", {"frames": 1, "tcn_kernel": 1, "temporal_heads": 1}),
    ("eri_features", {"features": ("fau",), "feature_widths": (3,)}),
    ("eri_multi_branch", {"features": ("fau", "gaze"), "feature_widths": (3, 5)}),
    ("eri_statistics", {"features": ("fau",), "feature_widths": (3,), "mfcc_stack": 2, "normalise_by_person": True})])
def test_every_network_is_made_of_the_lists(name, more, tiny, tmp_path, monkeypatch, pynative):
    """Those of the dual branch are compared with the whole lists where it is exported (test_export)."""
    own = OWN_PRIMITIVES | OWN_OPERATORS
    sums = {"Abs", "Greater", "Max", "Maximum", "Neg", "ReduceMean", "ReduceSum", "Sqrt"}
    monkeypatch.setattr(accepted, "_ALLOWED", own | sums if name == "eri_statistics" else own)
    config = tiny(name, **more)
    trained = types.SimpleNamespace(model=config, build=lambda: build_network(config).set_train(False))
    for kind, batch in (("mindir", 3), ("onnx", None)):
        path = _write(trained, tmp_path / f"{name}.{kind}", kind, batch)
        if kind == "mindir":
            check_mindir(path)
        else:
            check_onnx(path, path.read_bytes())
