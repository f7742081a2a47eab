# SPDX-License-Identifier: Apache-2.0
"""A MindIR's bytes follow from the network alone."""

import types

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindface_eri.deploy import mindir_graph
from mindface_eri.deploy.check_mindir import check_mindir
from mindface_eri.deploy.exporter import _write
from mindface_eri.models import build_network


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The same network written twice by one process, which numbers on, and once as MindSpore leaves it."""
    from mindface_eri.config import ModelConfig

    model = ModelConfig(name="eri_features", features=("fau",), feature_widths=(3,), frames=2, width=4,
                        tcn_dilations=(1,), temporal_depth=1, temporal_heads=1, emotions=("Joy",))
    network = build_network(model)
    rng = np.random.default_rng(0)
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(rng.uniform(0.2, 1, parameter.shape).astype("f")))
    folder = tmp_path_factory.mktemp("written")

    def build():
        copy = build_network(model).set_train(False)
        ms.load_param_into_net(copy, network.parameters_dict())
        return copy
    trained = types.SimpleNamespace(model=model, build=build)
    files = [_write(trained, folder / f"{name}.mindir", "mindir", 2) for name in ("one", "two")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mindface_eri.deploy.exporter.rename", lambda path: None)
        files.append(_write(trained, folder / "theirs.mindir", "mindir", 2))
    return files


def answer(path):
    sequence = ms.Tensor(np.linspace(-2, 3, 12, dtype="f").reshape(2, 2, 3))
    return nn.GraphCell(ms.load(str(path)))(sequence).asnumpy()


def test_the_same_bytes_whatever_was_compiled_before(written):
    one, two, theirs = (path.read_bytes() for path in written)
    assert one == two != theirs


def test_other_names_are_the_same_graph(written):
    one, _, theirs = written
    check_mindir(one)
    np.testing.assert_array_equal(answer(one), answer(theirs))
    assert np.ptp(answer(one)) > 1e-4


def test_nothing_is_left_of_mindspores_numbers(written):
    from mindspore.train.mind_ir_pb2 import ModelProto

    model = ModelProto()
    model.ParseFromString(written[0].read_bytes())
    assert model.graph.name == "network" and model.graph.input[0].name == "network:features"
    assert "network:head.regression.weight" in [parameter.name for parameter in model.graph.parameter]
    made = [node.output[0] for node in model.graph.node]
    assert made == [node.name for node in model.graph.node] == [str(number) for number in range(len(made))]
    known = {*made, *(value.name for value in (*model.graph.input, *model.graph.parameter))}
    assert all(name in known for node in model.graph.node for name in node.input)
    assert model.graph.output[0].name == made[-1]
    phases = {attribute.name: attribute.s for attribute in model.graph.attribute}
    assert phases["compile_phase"] == phases["phase"] == b"export"


def test_a_name_without_a_graph():
    assert [mindir_graph._own(name) for name in ("12_construct_3:head.bias", "bias")] == [
        "network:head.bias", "network:bias"]
