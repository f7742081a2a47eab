# SPDX-License-Identifier: Apache-2.0
"""Modality dropout and the fusion of the branches (paper section 3.5, eqs. 7 and 8)."""

from __future__ import annotations

from typing import Collection, Optional, Sequence, Tuple

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindface_eri.config import ModelConfig
from mindface_eri.models.layers import Linear, layer_norm
from mindface_eri.models.pooling import RegressionHead


class Bernoulli(nn.Cell):
    """Draws (B, 1) values, one with the given probability and zero otherwise.

    Built on dropout, MindSpore's one random primitive that is documented for all three platforms and follows the
    global seed.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.constant = probability in (0.0, 1.0)  # dropout refuses to drop everything
        self.probability = probability
        self.dropout = nn.Dropout(p=0.0 if self.constant else 1.0 - probability).set_train()

    def construct(self, like: Tensor) -> Tensor:
        ones = ops.ones_like(like[:, :1])  # (B, 1)
        if self.constant:
            return ones * self.probability
        return (self.dropout(ones) > 0).astype(ones.dtype)


def chances_alone(config: ModelConfig) -> Tuple[float, ...]:
    """Of each of `config.modalities`, the chance to be the one left where not all are kept."""
    others = len(config.features) + 1
    return config.p_alone or (config.p_visual, *[(1 - config.p_visual) / others] * others)


class ModalityDropout(nn.Cell):
    """In training, hides all modalities but one of some clips; at inference gives `present` (B, N) back unchanged.

    Each clip keeps all with probability `p_all`; else one alone, modality i with probability `p_alone[i]`. With N = 2
    that is eq. 7: p_all = p_m, p_alone = (p_v, 1 - p_v). A clip that lacks the one drawn keeps whatever it has, so that
    none loses its last.

    Args:
        used: modalities that the network takes, by their numbers; None means all. The others' columns stay zero, and
            they are never drawn: their chances go to those used.
    """

    def __init__(self, p_all: float, p_alone: Sequence[float], used: Optional[Collection[int]] = None) -> None:
        super().__init__()
        self.used = None if used is None or len(used) == len(p_alone) else Tensor(
            np.array([[float(i in used) for i in range(len(p_alone))]], np.float32))  # (1, N)
        if self.used is not None:
            p_alone = _among(p_alone, used)
        self.all = Bernoulli(p_all)
        # The one left is drawn modality by modality, each given that none before it was: the last takes the rest.
        left = [max(sum(p_alone[i:]), 1e-12) for i in range(len(p_alone) - 1)]
        self.alone = nn.CellList([Bernoulli(min(p / rest, 1.0)) for p, rest in zip(p_alone, left)])
        self.concat = ops.Concat(axis=1)
        self.sum = ops.ReduceSum(keep_dims=True)

    def construct(self, present: Tensor) -> Tensor:
        """present (B, N) -> what is left of it (B, N)."""
        if self.used is not None:
            present = present * self.used
        if not self.training:
            return present
        undecided = ops.ones_like(present[:, :1])  # (B, 1)
        alone = ()
        for draw in self.alone:
            chosen = undecided * draw(present)
            alone = alone + (chosen,)
            undecided = undecided - chosen
        alone = self.concat(alone + (undecided,))  # (B, N), one of each row is 1
        lacking = (self.sum(alone * present, 1) <= 0).astype(present.dtype)  # (B, 1)
        return present * ops.maximum(ops.maximum(self.all(present), alone), lacking)  # (B, N)


def _among(p_alone: Sequence[float], used: Collection[int]) -> Tuple[float, ...]:
    """The chances of those used, with a sum of 1; alike where theirs are all zero."""
    total = sum(p_alone[i] for i in used)
    return tuple((p / total if total else 1 / len(used)) if i in used else 0.0 for i, p in enumerate(p_alone))


class FusionHead(nn.Cell):
    """Features of all branches -> intensities; usable alone for training on cached features.

    Called with the features (B, T, D) of each of `config.modalities` (visual, acoustic, ...), or, where `config.takes`
    chooses, of each of `config.inputs`, and with `present` (B, N); zeros stand for what is missing. Gives intensities
    (B, E) in (0, 1). `explain` gives the temporal weights (B, T) too.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        taken = [config.column_of(name) for name in config.inputs[:-1]] if config.takes else range(
            len(config.modalities))
        self.columns = tuple(taken)  # of `present`, for each branch
        self.branches = len(self.columns)
        self.modality_dropout = ModalityDropout(config.p_both, chances_alone(config), used=set(self.columns))
        self.concat = ops.Concat(axis=-1)
        self.norm = layer_norm(self.branches * config.width)
        self.project = Linear(self.branches * config.width, config.width)
        self.normed = None
        self.head = RegressionHead(config.width, len(config.emotions))

    def fold_norms(self, normed: nn.Cell) -> None:
        """From now on `normed`, a `row_norm.NormedProjection`, stands for the normalisation and the projection."""
        self.normed = normed

    def explain(self, *inputs: Tensor) -> Tuple[Tensor, Tensor]:
        """Intensities (B, E) and the temporal weights (B, T) they were pooled with."""
        present = self.modality_dropout(inputs[self.branches].astype(ms.float32))  # (B, N)
        kept = ()
        for i in range(self.branches):
            column = self.columns[i]
            mask = present[:, column:column + 1].astype(inputs[i].dtype).reshape((-1, 1, 1))
            kept = kept + (inputs[i] * mask,)  # (B, T, D)
        # Sound comes before video, as the paper writes it; then the others.
        joined = self.concat((kept[1], kept[0]) + kept[2:])  # (B, T, N * D)
        return self.head(self._projected(joined))  # (B, E), (B, T)

    def _projected(self, joined: Tensor) -> Tensor:
        """Normalised and projected to (B, T, D), eq. 8."""
        if self.normed is None:
            return self.project(self.norm(joined))
        fused, _, _ = self.normed(joined, self.norm.gamma, self.norm.beta, self.project.weight, self.project.bias)
        return fused

    def construct(self, *inputs: Tensor) -> Tensor:
        intensities, _ = self.explain(*inputs)
        return intensities  # (B, E)
