# SPDX-License-Identifier: Apache-2.0
"""Losses as Cells: `create_loss(name)` gives `loss(predictions (B, E), labels (B, E)) -> scalar`."""

from mindface_eri.loss.regression import (
    CCCLoss,
    MSELoss,
    PearsonLoss,
    check_loss,
    create_loss,
    is_mean_over_clips,
    list_losses,
    register_loss,
)

__all__ = ["CCCLoss", "MSELoss", "PearsonLoss", "check_loss", "create_loss", "is_mean_over_clips",
           "list_losses", "register_loss"]
