# SPDX-License-Identifier: Apache-2.0
"""Records whose small columns are read once and held in memory, so that an epoch of some hundred clips is short."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Dict, Generator, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.parts import ARRAYS
from mindface_eri.datasets.records import Records

_MOST = 1 << 28  # bytes of all clips together; beyond, each epoch reads its clips from the disk
_Row = Dict[str, np.ndarray]


@dataclass(frozen=True)
class HeldRecords(Records):
    """Records that remember each clip once it was read."""

    kept: Dict[Tuple[str, ...], Dict[int, _Row]] = field(default_factory=dict, compare=False, repr=False)

    def stream(self, columns: Sequence[str], rows: Sequence[int], workers: int = 1) -> Generator[_Row, None, None]:
        """As `Records.stream`; the arrays are shared, and not to be written to."""
        kept, wanted = self.kept.setdefault(tuple(columns), {}), [int(row) for row in rows]
        new = [row for row in dict.fromkeys(wanted) if row not in kept]
        if new:
            kept.update(zip(new, super().stream(columns, new, workers)))
        for row in wanted:
            yield kept[row]


def hold(records: Records, columns: Sequence[str]) -> Records:
    """The same records, held in memory where these columns are small: no crops, and not too many clips."""
    stored = [name for name in columns if name in ARRAYS]
    config = records.preprocess
    widths = {"mfcc": config.audio.features, "landmarks": 136}
    sounds = int(records.copies.sum()) * ("mfcc" in columns)
    size = 4 * config.frames * (len(records) * sum(widths.get(name, 4) for name in stored)
                                + sounds * config.audio.features)
    if "frames" in stored or size > _MOST:
        return records
    return HeldRecords(**{one.name: getattr(records, one.name) for one in dataclasses.fields(Records)})
