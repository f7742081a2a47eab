# SPDX-License-Identifier: Apache-2.0
"""Views of a network as Cells of their own: its features, and what it looked at."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from mindspore import Tensor, nn


class Attention(NamedTuple):
    """Intensities (B, E) with the weights behind them.

    `temporal` (B, T) sums to one over each clip's instants; `spatial` (B, T, h, w) sums to one over each frame's
    positions and is None without a visual branch.
    """

    intensities: Tensor
    temporal: Tensor
    spatial: Optional[Tensor]


class FeatureExtractor(nn.Cell):
    """A branch's input -> its features (B, T, D), compiled as one graph in graph mode.

    The parameters stay the network's own and keep their names.
    """

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x: Tensor) -> Tensor:
        return self.network.features(x)  # (B, T, D)


class StemExtractor(nn.Cell):
    """Face crops (B, T, S, S, 3) uint8 -> the feature maps that a visual network's stem makes of them, (B, T, C, h, w).
    """

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.shape = (-1, network.frames, network.channels, network.grid, network.grid)

    def construct(self, frames: Tensor) -> Tensor:
        return self.network.maps(frames).reshape(self.shape)


class AfterStem(nn.Cell):
    """What of a visual network stands behind its stem: feature maps (B, T, C, h, w) -> intensities (B, E)."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.spatial, self.temporal, self.head = network.spatial, network.temporal, network.head
        self.maps = (-1, network.channels, network.grid, network.grid)
        self.vectors = (-1, network.frames, network.channels)

    def construct(self, maps: Tensor) -> Tensor:
        vectors, _ = self.spatial(maps.reshape(self.maps))  # (B*T, C)
        intensities, _ = self.head(self.temporal(vectors.reshape(self.vectors)))
        return intensities


class Reader(nn.Cell):
    """Runs a network's `explain` as a graph of its own."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, *inputs: Tensor) -> Tuple[Tensor, ...]:
        return self.network.explain(*inputs)


class Explainable:
    """Gives `attention` to a network whose `explain` returns (intensities, temporal[, spatial])."""

    def attention(self, *inputs: Tensor) -> Attention:
        """The intensities for `inputs` (those of a call) and the weights behind them.

        Compiled on first use in graph mode; training or inference is as the network stands.
        """
        # Kept in a list so that MindSpore does not take the reader for a child of the network it reads.
        readers = self.__dict__.setdefault("_readers", [])
        if not readers:
            readers.append(Reader(self))
        readers[0].set_train(self.training)
        intensities, temporal, *spatial = readers[0](*inputs)
        return Attention(intensities, temporal, spatial[0] if spatial else None)
