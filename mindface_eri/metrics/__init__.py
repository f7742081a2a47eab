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
"""Metrics over whole splits. The NumPy functions work without MindSpore."""

from mindface_eri.metrics.correlation import (
    METRICS,
    bootstrap,
    ccc,
    intervals,
    mae,
    mean_pearson,
    mse,
    pearson,
    resample,
)

__all__ = ["METRICS", "PearsonMetric", "bootstrap", "ccc", "intervals",  # pylint: disable=undefined-all-variable
           "mae", "mean_pearson", "mse", "pearson", "resample"]


def __getattr__(name: str):
    if name == "PearsonMetric":  # brings MindSpore with it, which scoring two CSV files does not need
        from mindface_eri.metrics.metric import PearsonMetric

        return PearsonMetric
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
