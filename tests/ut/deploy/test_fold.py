# SPDX-License-Identifier: Apache-2.0
"""What becomes of batch normalisation and of the Cells that ONNX takes differently, by numbers worked out by hand."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindface_eri.deploy.fold import fold_normalisation, spell_for_onnx
from mindface_eri.models import build_network
from mindface_eri.models.resnet import BasicBlock, ResNetStem
from mindface_eri.models.stem_pooling import StemPooling
from mindface_eri.models.tcn import CausalConv1d, Delay
from mindface_eri.models.temma import ResidualLevel

pytestmark = pytest.mark.usefixtures("pynative")


def statistics(norm, channels):
    """Values of their own for each channel, and small variances, in which epsilon shows."""
    at = np.arange(channels, dtype="f")
    norm.gamma.set_data(Tensor(1.5 - 0.25 * at))
    norm.beta.set_data(Tensor(0.5 * at - 1))
    norm.moving_mean.set_data(Tensor(3 - at))
    norm.moving_variance.set_data(Tensor(1e-5 * (1 + at) ** 2))


def merged(weight, channels):
    """The weight and bias of a convolution and the normalisation above after it."""
    at = np.arange(channels, dtype="d")
    scale = (1.5 - 0.25 * at) / np.sqrt(1e-5 * (1 + at) ** 2 + 1e-5)
    return weight * scale[:, None, None, None], 0.5 * at - 1 - (3 - at) * scale


def test_each_convolution_of_a_block_takes_in_its_own_normalisation():
    block = BasicBlock(2, 4, 2)
    for norm in (block.bn1, block.bn2, block.downsample[1]):
        statistics(norm, 4)
    before = [cell.weight.asnumpy().astype("d") for cell in (block.conv1, block.conv2, block.downsample[0])]
    x = Tensor(np.random.default_rng(0).normal(size=(1, 2, 6, 6)).astype("f"))
    expected = block.set_train(False)(x).asnumpy()
    assert fold_normalisation(block) is block and not block.training
    for cell, weight, stride in zip((block.conv1, block.conv2, block.downsample[0]), before, (2, 1, 2)):
        wanted, bias = merged(weight, 4)
        np.testing.assert_allclose(cell.weight.asnumpy(), wanted, rtol=1e-5)
        np.testing.assert_allclose(cell.bias.asnumpy(), bias, rtol=1e-5)
        assert cell.stride == (stride, stride)
    assert isinstance(block.bn1, nn.Identity) and isinstance(block.bn2, nn.Identity) and len(block.downsample) == 1
    np.testing.assert_allclose(block(x).asnumpy(), expected, rtol=1e-4, atol=1e-2)  # of values up to some hundred
    assert block.conv2.bias.name == "conv2.bias" and block.downsample[0].weight.name == "downsample.0.weight"


def test_the_first_convolution_too_and_no_normalisation_is_left():
    stem = ResNetStem(4)
    weight = stem.conv1.weight.asnumpy().astype("d")
    statistics(stem.bn1, 4)
    plain = BasicBlock(4, 4, 1)
    assert fold_normalisation(plain).downsample is None
    fold_normalisation(stem)
    wanted, bias = merged(weight, 4)
    np.testing.assert_allclose(stem.conv1.weight.asnumpy(), wanted, rtol=1e-5)
    np.testing.assert_allclose(stem.conv1.bias.asnumpy(), bias, rtol=1e-5)
    assert (stem.conv1.kernel_size, stem.conv1.stride, stem.conv1.padding) == ((7, 7), (2, 2), 3)
    assert not any(isinstance(cell, nn.BatchNorm2d) for _, cell in stem.cells_and_names())
    names = [parameter.name for parameter in stem.get_parameters()]
    assert len(set(names)) == len(names) and "layer2.0.conv1.weight" in names


class Holder(nn.Cell):
    """One of each Cell that is spelled otherwise, as attribute and in a list."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm((3,), epsilon=1e-2)
        self.norm.gamma.set_data(Tensor([1.0, 2.0, -3.0], ms.float32))
        self.norm.beta.set_data(Tensor([0.5, 0.0, 1.0], ms.float32))
        self.delays = nn.CellList([Delay(1), nn.ReLU(), Delay(2)])
        self.pooling = StemPooling()


def test_cells_are_spelled_with_the_same_numbers():
    holder = spell_for_onnx(Holder())
    assert not any(isinstance(cell, (nn.LayerNorm, Delay, StemPooling)) for _, cell in holder.cells_and_names())
    x = np.array([[[1.0, 2.0, 6.0], [0.0, 0.1, 0.2]]], "f")
    centred = np.array([[[-2.0, -1.0, 3.0], [-0.1, 0.0, 0.1]]])
    variance = np.array([[[14 / 3], [0.02 / 3]]])
    expected = centred / np.sqrt(variance + 1e-2) * [1, 2, -3] + [0.5, 0, 1]
    np.testing.assert_allclose(holder.norm(Tensor(x)).asnumpy(), expected, rtol=1e-5)
    sequence = np.arange(1, 9, dtype="f").reshape(1, 4, 2)
    for at, steps in ((0, 1), (2, 2)):
        late = np.concatenate([np.zeros((1, steps, 2)), sequence[:, :-steps]], axis=1)
        assert holder.delays[at](Tensor(sequence)).asnumpy().tolist() == late.tolist()
    assert isinstance(holder.delays[1], nn.ReLU)
    maps = Tensor(np.array([[[[1, 2, 3, 7], [4, 5, 6, 0]]]], "f"))
    assert holder.pooling(maps).asnumpy().tolist() == StemPooling()(maps).asnumpy().tolist() == [[[[5, 7]]]]
    names = [name for name, _ in holder.parameters_and_names()]
    assert names == ["norm.gamma", "norm.beta"] == [parameter.name for parameter in holder.get_parameters()]


def test_a_weight_takes_in_its_magnitude():
    """Two outputs of one input and two taps: (3, 4) has the norm 5, (5, 12) the norm 13."""
    level = ResidualLevel(1, 2, 2, 3, 0.1)
    level.conv1.product.weight.set_data(Tensor([[3.0], [5.0], [4.0], [12.0]], ms.float32))
    level.conv1.magnitude.set_data(Tensor([10.0, -26.0], ms.float32))
    level.conv1.bias.set_data(Tensor([7.0, 8.0], ms.float32))
    fold_normalisation(level)
    np.testing.assert_allclose(level.conv1.product.weight.asnumpy(), [[6], [-10], [8], [-24]], rtol=1e-6)
    assert level.conv1.bias.asnumpy().tolist() == [7, 8] and type(level.conv1) is type(level.conv2) is CausalConv1d
    answer = level.conv1(Tensor([[[1.0], [2.0], [3.0], [5.0]]], ms.float32)).asnumpy()[0, 3]
    np.testing.assert_allclose(answer, [5 * 8 + 1 * 6 + 7, -5 * 24 - 1 * 10 + 8], rtol=1e-6)  # three instants apart
    names = [parameter.name for parameter in level.get_parameters()]
    assert len(set(names)) == len(names) and "conv2.product.weight" in names and "conv2.magnitude" not in names


@pytest.mark.parametrize("temporal", ["plain", "temma"])
def test_a_whole_network_keeps_its_answers(temporal, tiny):
    network = build_network(tiny("eri_acoustic", temporal=temporal)).set_train(False)
    rng = np.random.default_rng(0)
    for name, parameter in network.parameters_and_names():
        if not name.endswith("mfcc_std"):
            parameter.set_data(Tensor(rng.normal(size=parameter.shape).astype("f")))
    x = Tensor(rng.normal(size=(2, 4, 12)).astype("f"))
    expected = network(x).asnumpy()
    np.testing.assert_allclose(spell_for_onnx(fold_normalisation(network))(x).asnumpy(), expected, atol=1e-5)
    assert np.median(np.ptp(expected, axis=0)) > 5e-4
