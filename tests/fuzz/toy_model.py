# SPDX-License-Identifier: Apache-2.0
"""An exported model small enough to make by hand: an ONNX file with its description, as `export` writes them."""

import json

import onnx
from onnx import TensorProto, helper

from mindface_eri.config import AudioConfig, FaceConfig, ModelConfig, PreprocessConfig, to_dict

PREPROCESS = PreprocessConfig(frames=4, face=FaceConfig(size=32, detector="dlib"),
                              audio=AudioConfig(coefficients=8, stack=2))
MODEL = ModelConfig(frames=4, crop_size=32, mfcc_features=16, emotions=("Joy", "Fear"))
RECIPE = """
preprocess: {frames: 4, face: {size: 32, detector: dlib}, audio: {coefficients: 8, stack: 2}}
model: {frames: 4, crop_size: 32, mfcc_features: 16, emotions: [Joy, Fear]}
"""


def write_model(folder):
    """`model.onnx` and its .json: sigmoid of a product with the means of all inputs."""
    shapes = {"frames": (TensorProto.UINT8, ["batch", 4, 32, 32, 3]), "mfcc": (TensorProto.FLOAT, ["batch", 4, 16]),
              "present": (TensorProto.FLOAT, ["batch", 2])}
    nodes = [helper.make_node("Cast", ["frames"], ["real"], to=TensorProto.FLOAT),
             helper.make_node("Flatten", ["real"], ["pixels"]), helper.make_node("Flatten", ["mfcc"], ["sounds"]),
             helper.make_node("ReduceMean", ["pixels"], ["seen"], axes=[1]),
             helper.make_node("ReduceMean", ["sounds"], ["heard"], axes=[1]),
             helper.make_node("Concat", ["seen", "heard", "present"], ["all"], axis=1),
             helper.make_node("MatMul", ["all", "weights"], ["product"]),
             helper.make_node("Sigmoid", ["product"], ["intensities"])]
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [4, 2], [.01, -.01, .02, .01, .1, .2, .3, -.4])
    inputs = [helper.make_tensor_value_info(name, *of) for name, of in shapes.items()]
    output = helper.make_tensor_value_info("intensities", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(nodes, "toy", inputs, [output], [weights])
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    side = {"model": to_dict(MODEL), "preprocess": to_dict(PREPROCESS), "batch": None}
    path.with_name("model.onnx.json").write_text(json.dumps(side), encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return path
