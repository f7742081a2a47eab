# SPDX-License-Identifier: Apache-2.0
"""Networks small enough that building one takes a moment."""

import mindspore as ms
import numpy as np
import pytest

from mindface_eri.config import ModelConfig
from mindface_eri.deploy.backends import input_shapes

SIZES = {"frames": 4, "crop_size": 32, "mfcc_features": 12, "stem_width": 8, "spatial_depth": 1, "spatial_heads": 2,
         "width": 16, "tcn_dilations": (1, 2), "temporal_depth": 1, "temporal_heads": 2}


@pytest.fixture(scope="session")
def tiny():
    """`tiny(name, **fields)`: a tiny ModelConfig."""
    return lambda name="eri_dual_branch", **fields: ModelConfig(name=name, **{**SIZES, **fields})


@pytest.fixture
def pynative():
    """Without compiling, which takes seconds."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture(scope="session")
def toy_graph():
    """`toy_graph(path, config, batch=None)`: an ONNX file with the inputs of a network.

    Column i of its answers is the mean of input i, of `present` its columns times 1, 10, 100, ...: an input that takes
    another's place shows.
    """
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto

    def write(path, config, batch=None):
        inputs, nodes, columns = [], [], []
        for name, (shape, kind) in zip(config.inputs, input_shapes(config, batch or "batch")):
            inputs.append(helper.make_tensor_value_info(name, kinds.UINT8 if kind is np.uint8 else kinds.FLOAT, shape))
            columns.append(f"{name} as one")
            if name == "present":
                nodes.append(helper.make_node("MatMul", [name, "powers"], [columns[-1]]))
                continue
            nodes.append(helper.make_node("Cast", [name], [f"{name} as float"], to=kinds.FLOAT))
            nodes.append(helper.make_node("ReduceMean", [f"{name} as float"], [f"{name} mean"],
                                          axes=list(range(1, len(shape))), keepdims=0))
            nodes.append(helper.make_node("Reshape", [f"{name} mean", "column"], [columns[-1]]))
        nodes.append(helper.make_node("Concat", columns, ["intensities"], axis=1))
        count = len(config.modalities)
        constants = [helper.make_tensor("powers", kinds.FLOAT, [count, 1], [10.0 ** i for i in range(count)]),
                     helper.make_tensor("column", kinds.INT64, [2], [-1, 1])]
        output = helper.make_tensor_value_info("intensities", kinds.FLOAT, [batch or "batch", len(columns)])
        graph = helper.make_graph(nodes, "toy", inputs, [output], constants)
        onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 14)]), path)
        return path

    return write
