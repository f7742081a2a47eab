"""Modality dropout and the fusion of both branches (paper section 3.4, eqs. 7 and 8)."""

from __future__ import annotations

from typing import Tuple

import mindspore as ms
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


class ModalityDropout(nn.Cell):
    """In training, hides one modality of some clips (eq. 7); at inference gives `present` (B, 2) back unchanged.

    Each clip keeps both with probability `p_both`; else video alone with `p_visual`, sound alone otherwise. A clip
    that already lacks a modality never loses the other.
    """

    def __init__(self, p_both: float, p_visual: float) -> None:
        super().__init__()
        self.both = Bernoulli(p_both)
        self.visual = Bernoulli(p_visual)
        self.concat = ops.Concat(axis=1)

    def construct(self, present: Tensor) -> Tensor:
        if not self.training:
            return present
        both = self.both(present)  # (B, 1)
        lone = self.visual(present)  # (B, 1): 1 where video would be the one left
        keep = ops.maximum(both, self.concat((lone, 1 - lone)))  # (B, 2)
        complete = (present[:, :1] * present[:, 1:] > 0).astype(present.dtype)  # (B, 1)
        return present * ops.maximum(keep, 1 - complete)  # (B, 2)


class FusionHead(nn.Cell):
    """Features of both branches -> intensities; usable alone for training on cached features.

    Called with visual features (B, T, D), acoustic features (B, T, D) and `present` (B, 2) in the order visual,
    acoustic; zeros stand for what is missing. Gives intensities (B, E) in (0, 1). `explain` gives the temporal
    weights (B, T) too.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.modality_dropout = ModalityDropout(config.p_both, config.p_visual)
        self.concat = ops.Concat(axis=-1)
        self.norm = layer_norm(2 * config.width)
        self.project = Linear(2 * config.width, config.width)
        self.head = RegressionHead(config.width, len(config.emotions))

    def explain(self, visual: Tensor, acoustic: Tensor, present: Tensor) -> Tuple[Tensor, Tensor]:
        """Intensities (B, E) and the temporal weights (B, T) they were pooled with."""
        mask = self.modality_dropout(present.astype(ms.float32)).astype(visual.dtype)  # (B, 2)
        visual = visual * mask[:, :1].reshape((-1, 1, 1))  # (B, T, D)
        acoustic = acoustic * mask[:, 1:].reshape((-1, 1, 1))  # (B, T, D)
        fused = self.project(self.norm(self.concat((acoustic, visual))))  # (B, T, D), eq. 8
        return self.head(fused)  # (B, E), (B, T)

    def construct(self, visual: Tensor, acoustic: Tensor, present: Tensor) -> Tensor:
        intensities, _ = self.explain(visual, acoustic, present)
        return intensities  # (B, E)
