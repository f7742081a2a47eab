# SPDX-License-Identifier: Apache-2.0
"""Metrics over whole splits. The NumPy functions work without MindSpore."""

from mindface_eri.metrics.correlation import METRICS, ccc, mae, mean_pearson, mse, pearson
from mindface_eri.metrics.expected import interval_to_expect, is_small, words_of_expectation
from mindface_eri.metrics.intervals import Jackknife

__all__ = ["METRICS", "Jackknife", "PearsonMetric", "ccc",  # pylint: disable=undefined-all-variable
           "interval_to_expect", "is_small", "mae", "mean_pearson", "mse", "pearson", "words_of_expectation"]


def __getattr__(name: str):
    if name == "PearsonMetric":  # brings MindSpore with it, which scoring two CSV files does not need
        from mindface_eri.metrics.metric import PearsonMetric

        return PearsonMetric
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
