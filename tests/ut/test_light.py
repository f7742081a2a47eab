# SPDX-License-Identifier: Apache-2.0
"""Without MindSpore: a fresh process, in which it cannot be imported, preprocesses, predicts from ONNX and says what it
cannot do; another, which has it, packs what the first left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.datasets.records import open_records
from mindface_eri.device.hardware import WITH_MINDSPORE

HERE = Path(__file__).parents[1] / "extractors"
CODE = """
import json, sys
sys.modules["mindspore"] = None  # as where it is not installed
from mindface_eri.cli import main
print("STATUS", [main(words) for words in json.loads(sys.argv[1])])
"""


def without_mindspore(*commands, code=CODE):
    """What the commands print in a process without MindSpore; its last line is their exit statuses."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(HERE)])}
    return subprocess.run([sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True,
                          env=environment, check=False, timeout=300)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A graph with the inputs of the network that the package's recipe of the demonstration makes; sums `present`."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from mindface_eri.config import load_config, to_dict
    from mindface_eri.deploy.sidecar import sidecar_path

    config, helper, kinds = load_config("demo_fusion"), onnx.helper, onnx.TensorProto
    made, size = config.preprocess, config.preprocess.face.size
    inputs = [helper.make_tensor_value_info("frames", kinds.UINT8, ["b", made.frames, size, size, 3]),
              helper.make_tensor_value_info("mfcc", kinds.FLOAT, ["b", made.frames, made.audio.features]),
              helper.make_tensor_value_info("present", kinds.FLOAT, ["b", 2])]
    weight = helper.make_tensor("weight", kinds.FLOAT, [2, 7], [1.0] * 14)
    graph = helper.make_graph([helper.make_node("MatMul", ["present", "weight"], ["sum"]),
                               helper.make_node("Sigmoid", ["sum"], ["intensities"])], "toy", inputs,
                              [helper.make_tensor_value_info("intensities", kinds.FLOAT, ["b", 7])], [weight])
    path = tmp_path_factory.mktemp("model") / "toy.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 14)]), path)
    sidecar_path(path).write_text(json.dumps({"model": to_dict(config.model), "preprocess": to_dict(made),
                                              "batch": None}))
    return path


@pytest.mark.slow
def test_what_a_light_installation_does_and_what_it_says_of_the_rest(model, tmp_path):
    import soundfile

    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * np.sin(np.arange(8000) * (0.1 + 0.1 * (name == "b"))), 16000)
    (tmp_path / "c.wav").write_text("not a sound")
    (tmp_path / "data_info.csv").write_text("File_ID,Split,Joy\na,train,0.25\nb,val,0.5\nc,val,1\n")
    out = tmp_path / "out"
    words = ["preprocess", str(tmp_path), str(out), "--config", "demo_fusion", "--workers", "1"]
    run = without_mindspore(
        words, ["predict", str(tmp_path / "a.wav"), "--model", str(model), "--format", "csv"], ["recipes"], ["doctor"],
        ["train", "--config", "demo_fusion", "--data", str(out), "--out", str(tmp_path / "run")],
        ["predict", str(tmp_path / "a.wav"), "--model", str(tmp_path / "a.wav")],
        ["evaluate", str(tmp_path)])
    printed, statuses = run.stdout.rsplit("STATUS ", 1)
    assert json.loads(statuses)[:4] == [1, 0, 0, 0], run.stderr
    assert f"2 clips in {out} (0 were there), 1 failed" in printed and "They wait for MindSpore" in printed
    assert "\na,0.731059,0.731059" in printed  # sound alone: sigmoid(1)
    assert "demo_fusion" in printed and "all that the route needs is here, up to training" in printed
    assert "-> pip install 'mindface_eri[train]'" in printed
    assert "c,val,media," in (out / "failures.csv").read_text() and not (out / "dataset.json").exists()
    assert run.stderr.count(f"needs MindSpore, which a light installation leaves out: {WITH_MINDSPORE}") == 3
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).unlink()  # they stay where they were recorded
    assert main([*words, "--resume"]) == 1
    records = open_records(out)
    assert records.ids() == ("a", "b") and records.labels().ravel().tolist() == [0.25, 0.5]
    assert [np.ptp(clip["mfcc"]) > 0 for clip in records.read(records.ids(), ["mfcc"])] == [True, True]
    assert "c,val,media," in (out / "failures.csv").read_text()


def test_a_public_name_says_which_extra_brings_it():
    code = ("import sys\nsys.modules['mindspore'] = None\nimport mindface_eri\n"
            "mindface_eri.extract_clip, mindface_eri.load_predictor, mindface_eri.preprocess_dataset\n"
            "mindface_eri.create_model\n")
    run = without_mindspore(code=code)
    assert run.stderr.splitlines()[-1].endswith("mindface_eri.create_model needs MindSpore, which a light installation "
                                                "leaves out: pip install 'mindface_eri[train]'")
