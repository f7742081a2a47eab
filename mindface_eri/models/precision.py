# SPDX-License-Identifier: Apache-2.0
"""Half precision where it saves time and memory, float32 where it would lose the answer."""

from __future__ import annotations

import mindspore as ms
from mindspore import nn

from mindface_eri.errors import ConfigError
from mindface_eri.models.resnet import ResNetStem
from mindface_eri.models.tcn import TemporalConvNet
from mindface_eri.models.temma import InverseNorms, ResidualConvNet
from mindface_eri.models.transformer import TransformerEncoder

_PRODUCTS = (nn.Dense, nn.Conv2d)
_KEPT = (nn.BatchNorm2d, nn.LayerNorm, nn.Sigmoid, InverseNorms)
_BODIES = (ResNetStem, TransformerEncoder, TemporalConvNet, ResidualConvNet)


def set_precision(network: nn.Cell, amp_level: str) -> nn.Cell:
    """Sets the precision a network computes in; parameters stay float32, and so do their updates.

    O0 is float32 throughout. O2 computes convolutions and matrix products in float16 and sums residuals in float32.
    O3 keeps the sums and activations inside the stem, the transformers and the TCN in float16 too. Softmax,
    normalisation (of inputs, batches, layers and weights) and the final sigmoid stay float32 at each level, and
    intensities come out as float32, so that the loss is float32 too.

    Returns:
        The same network.

    Raises:
        ConfigError: an unknown level.
    """
    if amp_level not in ("O0", "O2", "O3"):
        raise ConfigError(f"amp_level {amp_level!r} is not one of O0, O2, O3")
    if amp_level == "O0":
        return network
    if amp_level == "O3":
        for _, cell in network.cells_and_names():
            if isinstance(cell, _BODIES):
                cell.to_float(ms.float16)
    for _, cell in network.cells_and_names():
        if isinstance(cell, _KEPT):
            cell.to_float(ms.float32)
        elif isinstance(cell, _PRODUCTS):
            cell.to_float(ms.float16)
    return network
