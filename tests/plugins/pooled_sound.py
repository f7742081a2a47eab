# SPDX-License-Identifier: Apache-2.0
"""What a user's module may hold: a network over the sound's mean."""

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindface_eri import register_model


@register_model("pooled_sound", inputs=("mfcc",))
class PooledSound(nn.Cell):
    """MFCC stacks (B, T, M) -> intensities (B, E)."""

    def __init__(self, config):
        super().__init__()
        self.mfcc_mean = Parameter(Tensor(np.zeros(config.mfcc_features, np.float32)), requires_grad=False)
        self.out = nn.Dense(config.mfcc_features, len(config.emotions))

    def set_mfcc_statistics(self, mean, std):
        """Takes the training clips' mean."""
        self.mfcc_mean.set_data(Tensor(np.asarray(mean, np.float32)))

    def construct(self, mfcc):
        return ops.sigmoid(self.out(ops.reduce_mean(mfcc - self.mfcc_mean, 1)))  # (B, E)
