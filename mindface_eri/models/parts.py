# SPDX-License-Identifier: Apache-2.0
"""A network in two parts, so that windows over one film can share the first: each frame alone, and frames over time."""

from __future__ import annotations

from typing import Optional, Tuple

from mindspore import Tensor, nn

from mindface_eri.models.dual_branch import DualBranchNetwork, MultiBranchNetwork, VisualNetwork


class FrameEncoder(nn.Cell):
    """Crops (N, S, S, 3) uint8 RGB -> one vector a frame (N, C): nearly all of a network's arithmetic.

    The parameters stay the network's own and keep their names, as in `TemporalModel`.
    """

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.branch = network if isinstance(network, VisualNetwork) else network.visual

    def explain(self, frames: Tensor) -> Tuple[Tensor, Tensor]:
        """Vectors (N, C) and spatial weights (N, h, w)."""
        vectors, weights = self.branch.encode_frames(frames)
        return vectors, weights.reshape((-1, self.branch.grid, self.branch.grid))

    def construct(self, frames: Tensor) -> Tensor:
        vectors, _ = self.branch.encode_frames(frames)
        return vectors  # (N, C)


class TemporalModel(nn.Cell):
    """A network's inputs, with the vectors of the frames (B, T, C) in place of the crops -> intensities (B, E)."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def explain(self, *inputs: Tensor) -> Tuple[Tensor, Tensor]:
        """Intensities (B, E) and temporal weights (B, T)."""
        return self.network.over_time(*inputs)

    def construct(self, *inputs: Tensor) -> Tensor:
        intensities, _ = self.network.over_time(*inputs)
        return intensities  # (B, E)


def parts_of(network: nn.Cell) -> Optional[Tuple[FrameEncoder, TemporalModel]]:
    """The two parts of a network that sees crops; None of another, and of a registered one, which may do otherwise."""
    ours = type(network) in (VisualNetwork, DualBranchNetwork, MultiBranchNetwork)
    if not ours or "frames" not in network.config.inputs:
        return None
    return FrameEncoder(network), TemporalModel(network)
