# SPDX-License-Identifier: Apache-2.0
"""The challenge's metric in the form that `mindspore.train.Model` and hand-written loops take."""

from __future__ import annotations

from typing import List

import numpy as np
from mindspore.train import Metric

from mindface_eri.errors import DataError
from mindface_eri.metrics.correlation import pearson


class PearsonMetric(Metric):
    """Mean over emotions of Pearson's correlation over everything seen since `clear` (paper eqs. 10, 11).

    Batches are collected, and the correlation is computed once over all of them.

    Examples:
        >>> metric = PearsonMetric()
        >>> metric.update(np.array([[0.1], [0.4], [0.9]]), np.array([[0.0], [0.5], [1.0]]))
        >>> round(metric.eval(), 3)
        0.99
    """

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """Forgets all batches."""
        self._predictions: List[np.ndarray] = []
        self._labels: List[np.ndarray] = []

    def update(self, *inputs) -> None:
        """Adds a batch: predictions (B, E) and labels (B, E), tensors or arrays."""
        if len(inputs) != 2:
            raise DataError(f"PearsonMetric takes predictions and labels, got {len(inputs)} inputs")
        predictions, labels = (self._convert_data(x) for x in inputs)
        if predictions.shape != labels.shape:
            raise DataError(f"PearsonMetric: predictions {predictions.shape} and labels {labels.shape} differ")
        self._predictions.append(np.array(predictions))
        self._labels.append(np.array(labels))

    def per_emotion(self) -> np.ndarray:
        """Correlation of each emotion, (E,)."""
        if not self._predictions:
            raise DataError("PearsonMetric: no batch has been added since clear()")
        return pearson(np.concatenate(self._predictions), np.concatenate(self._labels))

    def eval(self) -> float:
        """The mean over emotions."""
        return float(np.mean(self.per_emotion()))
