# SPDX-License-Identifier: Apache-2.0
"""The networks: each branch with a regression head of its own, and branches joined (paper section 3, figure 1).

A branch inside a joined network has the parameter names of the single network behind a prefix, `visual.`, `acoustic.`
or `feature_branches.0.`; the single network's regression head (`head.`) has no counterpart there.
"""

from __future__ import annotations

from typing import Mapping, Tuple

from mindspore import Tensor, nn

from mindface_eri.config import ModelConfig
from mindface_eri.errors import CheckpointError
from mindface_eri.models.branches import AcousticBranch, FeatureBranch, LandmarkBranch, VisualBranch
from mindface_eri.models.explain import Explainable
from mindface_eri.models.fusion import FusionHead
from mindface_eri.models.pooling import RegressionHead


class VisualNetwork(VisualBranch, Explainable):
    """Face crops (B, T, S, S, 3) uint8 RGB -> intensities (B, E) in (0, 1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.head = RegressionHead(config.width, len(config.emotions))

    def explain(self, frames: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Intensities (B, E), temporal weights (B, T) and spatial weights (B, T, h, w)."""
        features, spatial = self.encode(frames)  # (B, T, D), (B, T, h, w)
        intensities, temporal = self.head(features)  # (B, E), (B, T)
        return intensities, temporal, spatial

    def over_time(self, vectors: Tensor) -> Tuple[Tensor, Tensor]:
        """Intensities (B, E) and temporal weights (B, T) of what `encode_frames` made of the crops, (B, T, C)."""
        return self.head(self.temporal(vectors))

    def construct(self, frames: Tensor) -> Tensor:
        intensities, _ = self.head(self.features(frames))
        return intensities  # (B, E)


class AcousticNetwork(AcousticBranch, Explainable):
    """MFCC stacks (B, T, M) float32 -> intensities (B, E) in (0, 1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.head = RegressionHead(config.width, len(config.emotions))

    def explain(self, mfcc: Tensor) -> Tuple[Tensor, Tensor]:
        """Intensities (B, E) and temporal weights (B, T)."""
        return self.head(self.features(mfcc))

    def construct(self, mfcc: Tensor) -> Tensor:
        intensities, _ = self.head(self.features(mfcc))
        return intensities  # (B, E)


class FeatureNetwork(FeatureBranch, Explainable):
    """Features that others computed (B, T, F) float32 -> intensities (B, E) in (0, 1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.feature_widths[0])
        self.head = RegressionHead(config.width, len(config.emotions))

    def explain(self, features: Tensor) -> Tuple[Tensor, Tensor]:
        """Intensities (B, E) and temporal weights (B, T)."""
        return self.head(self.features(features))

    def construct(self, features: Tensor) -> Tensor:
        intensities, _ = self.head(self.features(features))
        return intensities  # (B, E)


class MultiBranchNetwork(nn.Cell, Explainable):
    """Crops (B, T, S, S, 3) uint8, MFCC stacks (B, T, M), landmarks (B, T, 68, 2) where `config.takes` names them, each
    of `config.features` (B, T, F) float32, and `present` (B, N) -> intensities (B, E).

    `present` is 1 where a clip has the modality (visual, acoustic, then the feature sets) and 0 where zeros stand for
    it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.names = config.inputs[:-1]
        for name, attribute, branch in (("frames", "visual", VisualBranch), ("mfcc", "acoustic", AcousticBranch),
                                        ("landmarks", "landmarks", LandmarkBranch)):
            if name in self.names:
                setattr(self, attribute, branch(config))
        if config.features:
            self.feature_branches = nn.CellList([FeatureBranch(config, width) for width in config.feature_widths])
        self.first_set = len(self.names) - len(config.features)
        self.fusion = FusionHead(config)

    def explain(self, *inputs: Tensor) -> Tuple[Tensor, ...]:
        """Intensities (B, E), temporal weights (B, T) and, with crops, spatial weights (B, T, h, w)."""
        found, spatial = self._encode(inputs)
        return self.fusion.explain(*found) + spatial

    def construct(self, *inputs: Tensor) -> Tensor:
        found, _ = self._encode(inputs)
        return self.fusion(*found)  # (B, E)

    def _encode(self, inputs: Tuple[Tensor, ...]) -> Tuple[Tuple[Tensor, ...], Tuple[Tensor, ...]]:
        """Each input encoded to (B, T, D) and `present` behind them; and the spatial weights, if there are any."""
        encoded, spatial = (), ()
        for i, name in enumerate(self.names):
            if name == "frames":
                features, weights = self.visual(inputs[i])  # (B, T, D), (B, T, h, w)
                spatial = (weights,)
            else:
                features = self._encode_other(i, name, inputs[i])
            encoded = encoded + (features,)
        return encoded + (inputs[-1],), spatial

    def _encode_other(self, i: int, name: str, given: Tensor) -> Tensor:
        """Input i, which is not the crops, encoded to (B, T, D)."""
        if name == "mfcc":
            return self.acoustic(given)
        if name == "landmarks":
            return self.landmarks(given)
        return self.feature_branches[i - self.first_set](given)

    def over_time(self, *inputs: Tensor) -> Tuple[Tensor, Tensor]:
        """Intensities (B, E) and temporal weights (B, T) of the same inputs, but that in place of the crops stands what
        `encode_frames` of the visual branch made of them, (B, T, C)."""
        encoded = ()
        for i, name in enumerate(self.names):
            if name == "frames":
                encoded = encoded + (self.visual.temporal(inputs[i]),)  # (B, T, D)
            else:
                encoded = encoded + (self._encode_other(i, name, inputs[i]),)
        return self.fusion.explain(*(encoded + (inputs[-1],)))

    def branch(self, modality: str) -> nn.Cell:
        """The branch "visual", "acoustic" or "landmarks", or that of one of `config.features`."""
        if modality in self.config.features:
            return self.feature_branches[self.config.features.index(modality)]
        return getattr(self, modality)

    def load_branch(self, modality: str, weights: Mapping[str, Tensor]) -> None:
        """Takes the weights of a branch from the single network's, as `mindspore.load_checkpoint` gives them.

        Args:
            modality: "visual", "acoustic" or one of `config.features`.

        Raises:
            CheckpointError: a parameter of the branch is missing or has another shape.
        """
        for name, parameter in self.branch(modality).parameters_and_names():
            source = weights.get(name)
            if source is None or tuple(source.shape) != tuple(parameter.shape):
                found = "is missing" if source is None else f"has shape {tuple(source.shape)}"
                raise CheckpointError(f"the {modality} branch's weights: {name!r} {found}, need "
                                      f"{tuple(parameter.shape)} for {parameter.name}; train that branch with the same "
                                      "model settings")
            parameter.set_data(Tensor(source.asnumpy()))


class DualBranchNetwork(MultiBranchNetwork):
    """The paper's network: crops (B, T, S, S, 3) uint8, MFCC stacks (B, T, M) float32 and `present` (B, 2) of visual
    and acoustic -> intensities (B, E)."""

    def construct(self, frames: Tensor, mfcc: Tensor, present: Tensor) -> Tensor:
        return super().construct(frames, mfcc, present)  # (B, E)
