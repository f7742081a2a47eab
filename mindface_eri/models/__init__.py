# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""The networks of the paper and the Cells they are made of."""

from mindface_eri.models.branches import AcousticBranch, FeatureBranch, VisualBranch
from mindface_eri.models.dual_branch import (
    AcousticNetwork,
    DualBranchNetwork,
    FeatureNetwork,
    MultiBranchNetwork,
    VisualNetwork,
)
from mindface_eri.models.explain import Attention, FeatureExtractor
from mindface_eri.models.fusion import FusionHead, ModalityDropout
from mindface_eri.models.pooling import AttentionPooling, RegressionHead
from mindface_eri.models.precision import set_precision
from mindface_eri.models.registry import build_network, create_model, list_models, load_stem
from mindface_eri.models.resnet import ResNetStem
from mindface_eri.models.spatial import SpatialEncoder
from mindface_eri.models.tcn import CausalConv1d, TemporalConvNet
from mindface_eri.models.temporal import TemporalEncoder
from mindface_eri.models.transformer import SelfAttention, TransformerEncoder

__all__ = [
    "AcousticBranch", "AcousticNetwork", "Attention", "AttentionPooling", "CausalConv1d", "DualBranchNetwork",
    "FeatureBranch", "FeatureExtractor", "FeatureNetwork", "FusionHead", "ModalityDropout", "MultiBranchNetwork",
    "RegressionHead", "ResNetStem", "SelfAttention", "SpatialEncoder", "TemporalConvNet", "TemporalEncoder",
    "TransformerEncoder", "VisualBranch", "VisualNetwork", "build_network", "create_model", "list_models", "load_stem",
    "set_precision",
]
