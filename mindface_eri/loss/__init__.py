"""Losses as Cells: `create_loss(name)` gives `loss(predictions (B, E), labels (B, E)) -> scalar`."""

from mindface_eri.loss.regression import CCCLoss, MSELoss, PearsonLoss, create_loss, list_losses

__all__ = ["CCCLoss", "MSELoss", "PearsonLoss", "create_loss", "list_losses"]
