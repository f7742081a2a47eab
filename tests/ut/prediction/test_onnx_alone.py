# SPDX-License-Identifier: Apache-2.0
"""Predicting on an .onnx file in a fresh process: it imports onnxruntime, and its worker what takes clips apart."""

import json
import subprocess
import sys

import pytest

from mindface_eri.config import ModelConfig, PreprocessConfig, to_dict
from mindface_eri.deploy.sidecar import sidecar_path

CODE = """
import sys
from mindface_eri.cli import main
status = main(["predict", sys.argv[1], "--model", sys.argv[2], "--format", "json"])
heavy = {"mindspore", "torch", "matplotlib", "librosa", "numba", "scipy", "yaml", "dlib", "cv2", "av", "onnxruntime"}
print(status, sorted(heavy & set(sys.modules)))
"""


@pytest.fixture
def model(tmp_path):
    """A graph with the dual network's inputs whose intensities are sigmoid(present @ ones)."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kinds, config = onnx.helper, onnx.TensorProto, ModelConfig()
    inputs = [helper.make_tensor_value_info("frames", kinds.UINT8, ["batch", 32, 112, 112, 3]),
              helper.make_tensor_value_info("mfcc", kinds.FLOAT, ["batch", 32, 1024]),
              helper.make_tensor_value_info("present", kinds.FLOAT, ["batch", 2])]
    weight = helper.make_tensor("weight", kinds.FLOAT, [2, 7], [1.0] * 14)
    graph = helper.make_graph([helper.make_node("MatMul", ["present", "weight"], ["sum"]),
                               helper.make_node("Sigmoid", ["sum"], ["intensities"])], "toy", inputs,
                              [helper.make_tensor_value_info("intensities", kinds.FLOAT, ["batch", 7])], [weight])
    path = tmp_path / "toy.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 14)]), path)
    sidecar_path(path).write_text(json.dumps({"model": to_dict(config), "preprocess": to_dict(PreprocessConfig()),
                                              "batch": None}))
    return path


def test_nothing_else_is_imported(model, tmp_path):
    import soundfile

    sound = tmp_path / "hum.wav"
    soundfile.write(sound, [0.1, -0.1] * 8000, 16000)
    run = subprocess.run([sys.executable, "-c", CODE, str(sound), str(model)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    *answer, last = run.stdout.strip().splitlines()
    assert last == "0 ['onnxruntime']"
    row, = json.loads("\n".join(answer))
    assert row["File_ID"] == "hum" and row["Fear"] == pytest.approx(0.7310586)  # sound alone: sigmoid(1)
