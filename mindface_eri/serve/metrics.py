# SPDX-License-Identifier: Apache-2.0
"""Counts and times of one server, in the text form that Prometheus reads."""

from __future__ import annotations

from typing import Tuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, exposition

_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class Metrics:
    """What is counted."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.clips = Counter("mindface_eri_clips", "clips that were taken in, by what came of them", ["outcome"],
                             registry=self.registry)
        self.refused = Counter("mindface_eri_refused", "uploads that were told to come again", registry=self.registry)
        self.deaths = Counter("mindface_eri_worker_deaths", "clips that ended their worker process",
                              registry=self.registry)
        self.places = Gauge("mindface_eri_places", "clips being received, waiting or in work", registry=self.registry)
        self.live = Gauge("mindface_eri_live", "cameras", registry=self.registry)
        self.seconds = Histogram("mindface_eri_seconds", "to take a clip apart, and to answer it", ["part"],
                                 buckets=_BUCKETS, registry=self.registry)

    def text(self) -> Tuple[bytes, str]:
        """What /metrics answers, and its type."""
        return exposition.generate_latest(self.registry), exposition.CONTENT_TYPE_LATEST
