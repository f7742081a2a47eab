# SPDX-License-Identifier: Apache-2.0
"""The networks of the paper and the Cells they are made of."""

from mindface_eri.models.branches import AcousticBranch, FeatureBranch, LandmarkBranch, VisualBranch
from mindface_eri.models.dual_branch import (
    AcousticNetwork,
    DualBranchNetwork,
    FeatureNetwork,
    MultiBranchNetwork,
    VisualNetwork,
)
from mindface_eri.models.explain import Attention, FeatureExtractor
from mindface_eri.models.fusion import FusionHead, ModalityDropout
from mindface_eri.models.landmarks import LandmarkAlignment
from mindface_eri.models.pooling import AttentionPooling, RegressionHead
from mindface_eri.models.precision import set_precision
from mindface_eri.models.registry import build_network, create_model, list_models, load_stem, register_model
from mindface_eri.models.resnet import ResNetStem
from mindface_eri.models.spatial import SpatialEncoder
from mindface_eri.models.statistics import StatisticsNetwork, TimeStatistics
from mindface_eri.models.tcn import CausalConv1d, TemporalConvNet
from mindface_eri.models.temma import ResidualConvNet, TemmaEncoder, WeightNormConv1d
from mindface_eri.models.temporal import TemporalEncoder, temporal_encoder
from mindface_eri.models.transformer import PreNormEncoder, SelfAttention, TransformerEncoder

__all__ = [
    "AcousticBranch", "AcousticNetwork", "Attention", "AttentionPooling", "CausalConv1d", "DualBranchNetwork",
    "FeatureBranch", "FeatureExtractor", "FeatureNetwork", "FusionHead", "LandmarkAlignment", "LandmarkBranch",
    "ModalityDropout", "MultiBranchNetwork", "PreNormEncoder", "RegressionHead", "ResNetStem", "ResidualConvNet",
    "SelfAttention", "SpatialEncoder", "StatisticsNetwork", "TemmaEncoder", "TemporalConvNet", "TemporalEncoder",
    "TimeStatistics", "TransformerEncoder", "VisualBranch", "VisualNetwork", "WeightNormConv1d", "build_network",
    "create_model", "list_models", "load_stem", "register_model", "set_precision", "temporal_encoder",
]
