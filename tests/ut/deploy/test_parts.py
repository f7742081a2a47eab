# SPDX-License-Identifier: Apache-2.0
"""Two backends as one network, and which files a description accepts as its parts."""

import json
import os

import numpy as np
import pytest

from mindface_eri.config import PreprocessConfig
from mindface_eri.deploy.parts import Parts, describe_parts, open_parts, part_names, part_path, part_shapes
from mindface_eri.deploy.sidecar import read_sidecar, write_sidecar
from mindface_eri.errors import CheckpointError
from mindface_eri.files import file_hash


class Encoder:
    """A vector is a crop's first two numbers; it was looked at where the first says."""

    def __init__(self, knows=True):
        self.knows, self.sizes = knows, []

    def run(self, inputs):
        self.sizes.append(len(inputs[0]))
        return inputs[0][:, 0, 0, :2].astype(np.float32)

    def attention(self, inputs):
        vectors = self.run(inputs) if self.knows else None
        return (vectors, vectors[:, :1, None] * np.ones((2, 2)), None) if self.knows else None


class Temporal:
    """The sum of the vectors over time, and of what else there is ten times the mean."""

    def run(self, inputs):
        mfcc, vectors = inputs
        return vectors.sum(1) + 10 * mfcc.mean((1, 2))[:, None]


CROPS = np.arange(7 * 12, dtype=np.uint8).reshape(7, 2, 2, 3)


@pytest.mark.parametrize("fill, sizes", [(True, [3, 3, 3]), (False, [3, 3, 1])])
def test_frames_are_encoded_once_each(fill, sizes):
    encoder = Encoder()
    parts = Parts(encoder, Temporal(), fill)
    vectors, weights = parts.encode(CROPS, 3)
    assert encoder.sizes == sizes and weights is None
    np.testing.assert_array_equal(vectors, CROPS[:, 0, 0, :2])
    vectors, weights = parts.encode(CROPS, 3, attention=True)
    assert encoder.sizes == 2 * sizes
    np.testing.assert_array_equal(weights, CROPS[:, 0, :1, :1] * np.ones((2, 2)))
    np.testing.assert_array_equal(vectors, CROPS[:, 0, 0, :2])
    vectors, weights = Parts(Encoder(knows=False), Temporal(), fill).encode(CROPS, 7, attention=True)
    np.testing.assert_array_equal(vectors, CROPS[:, 0, 0, :2])
    assert weights is None  # an exported file's are not known


@pytest.mark.parametrize("size, rest, sizes", [(4, 2, [4, 2, 2]), (6, 2, [6, 2]), (7, 2, [7]), (8, 3, [3, 3, 3]),
                                               (3, 1, [3, 3, 1])])
def test_what_is_left_over_goes_in_smaller_calls(size, rest, sizes):
    encoder = Encoder()
    vectors, _ = Parts(encoder, Temporal(), True).encode(CROPS, size, rest)
    assert encoder.sizes == sizes
    np.testing.assert_array_equal(vectors, CROPS[:, 0, 0, :2])


def test_a_first_part_that_answers_something_else():
    encoder = Encoder()
    encoder.run = lambda inputs: np.zeros((len(inputs[0]), 4, 2))
    with pytest.raises(CheckpointError, match=r"the first part's answer has shape \(7, 4, 2\) for 7 crops"):
        Parts(encoder, Temporal(), False).encode(CROPS, 7)


def test_together_they_are_a_backend():
    clips = CROPS[:6].reshape(2, 3, 2, 2, 3)
    mfcc = np.array([[[1.0], [2]], [[5], [6]]])  # the crops need not come first
    found = Parts(Encoder(), Temporal(), True).run([mfcc, clips])
    np.testing.assert_allclose(found, clips[:, :, 0, 0, :2].sum(1) + [[15], [55]])


def test_what_each_part_takes(tiny):
    model = tiny("eri_multi_branch", takes=("landmarks", "frames"))
    assert part_names(model, "frames") == ["frames"]
    assert part_names(model, "temporal") == ["vectors", "landmarks", "present"]
    assert part_shapes(model, "frames", None) == [((None, 32, 32, 3), np.uint8)]
    assert part_shapes(model, "frames", 3) == [((12, 32, 32, 3), np.uint8)]  # as many crops as three clips have
    assert part_shapes(model, "temporal", 3) == [((3, 4, 32), np.float32), ((3, 4, 68, 2), np.float32),
                                                 ((3, 2), np.float32)]


@pytest.fixture
def exported(tiny, tmp_path):
    """A file with its two parts and their description, and what that says."""
    file = tmp_path / "eri_dual_branch.onnx"
    names = [part_path(file, kind) for kind in ("frames", "temporal")]
    for path, content in zip((file, *names), (b"whole", b"first", b"second")):
        path.write_bytes(content)
    parts = describe_parts(tiny(), file, names, None, 3e-7)
    path = write_sidecar(file, tiny(), PreprocessConfig(), batch=None, difference=1e-7, tolerance=1e-5,
                         digest=file_hash(file), checkpoint={}, parts=parts)
    return file, names, json.loads(path.read_text())


def test_a_description_names_its_parts(exported):
    file, names, said = exported
    assert [path.name for path in names] == ["eri_dual_branch.frames.onnx", "eri_dual_branch.temporal.onnx"]
    assert said["parts"]["max_difference"] == 3e-7
    assert said["parts"]["frames"] == {
        "file": names[0].name, "sha256": file_hash(names[0]), "output": {
            "name": "vectors", "shape": ["batch", 32], "dtype": "float32"},
        "inputs": [{"name": "frames", "shape": ["batch", 32, 32, 3], "dtype": "uint8"}]}
    assert said["parts"]["temporal"]["inputs"] == [
        {"name": name, "shape": ["batch", *shape], "dtype": "float32"}
        for name, shape in (("vectors", (4, 32)), ("mfcc", (4, 12)), ("present", (2,)))]
    assert said["parts"]["temporal"]["output"]["shape"] == ["batch", 7]
    assert read_sidecar(file).parts == tuple(names)
    with pytest.raises(CheckpointError, match="looks like one part of an exported network: name the whole file"):
        read_sidecar(names[1])


def test_a_whole_file_does_without_parts(exported):
    file, names, said = exported
    for path in names:
        path.unlink()
    assert read_sidecar(file).parts == () and open_parts((), None) is None
    del said["parts"]  # as all files were before there were parts
    file.with_name(f"{file.name}.json").write_text(json.dumps(said))
    assert read_sidecar(file).parts == ()


def test_parts_that_do_not_belong_together_are_refused(exported):
    file, (first, second), said = exported
    second.write_bytes(b"another export's")
    with pytest.raises(CheckpointError, match="temporal.onnx: is not the file that eri_dual_branch.onnx.json"):
        read_sidecar(file)
    second.unlink()
    with pytest.raises(CheckpointError, match="temporal.onnx: is missing, and eri_dual_branch.frames.onnx alone is of "
                                              "no use; copy both, or neither: eri_dual_branch.onnx is whole"):
        read_sidecar(file)
    second.write_bytes(b"first")  # each in the other's place
    first.write_bytes(b"second")
    with pytest.raises(CheckpointError, match="frames.onnx: is not the file"):
        read_sidecar(file)


@pytest.mark.parametrize("change, message", [
    (lambda parts: parts.pop("temporal"), "'temporal'"), (lambda parts: parts["frames"].pop("sha256"), "'sha256'"),
    (lambda parts: parts["frames"].update(file="../x.onnx"), "parts.frames.file is '../x.onnx'"),
    (lambda parts: parts["frames"].update(file=3), ""), (lambda parts: parts.update(frames=None), "NoneType")])
def test_a_description_of_parts_that_says_nothing_usable(change, message, exported):
    file, _, said = exported
    change(said["parts"])
    file.with_name(f"{file.name}.json").write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match=rf"onnx.json: cannot be used \(.*{message}"):
        read_sidecar(file)


@pytest.mark.parametrize("batch", [None, 2])
def test_files_of_parts_are_opened_as_any_other(batch, toy_graph, tiny, tmp_path):
    """The toy's first column is the mean of what stands where the crops did."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("Cast", ["frames"], ["as float"], to=kinds.FLOAT),
             helper.make_node("ReduceMean", ["as float"], ["vectors"], axes=[1, 2], keepdims=0)]
    graph = helper.make_graph(nodes, "toy", [helper.make_tensor_value_info("frames", kinds.UINT8, ["n", 2, 2, 3])],
                              [helper.make_tensor_value_info("vectors", kinds.FLOAT, ["n", 3])])
    first, second = tmp_path / "m.frames.onnx", tmp_path / "m.temporal.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 14)]), first)
    toy_graph(second, tiny("eri_features", frames=3, features=("vectors",), feature_widths=(3,)), batch=batch)
    clips = CROPS[:6].reshape(2, 3, 2, 2, 3)
    found = open_parts((first, second), batch, threads=1).run([clips])
    np.testing.assert_allclose(found[:, 0], clips.mean((1, 2, 3, 4)), rtol=1e-6)
    os.replace(second, first)
    with pytest.raises(CheckpointError, match="m.temporal.onnx: cannot be read as ONNX"):
        open_parts((first, second), batch)
