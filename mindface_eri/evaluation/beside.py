# SPDX-License-Identifier: Apache-2.0
"""A trained network beside the baseline: fitted on that network's training clips, scored on the same ones as it."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import Config
from mindface_eri.datasets.by_person import with_person_statistics
from mindface_eri.datasets.folds import fold_splits
from mindface_eri.datasets.presence import usable
from mindface_eri.datasets.records import Records, open_records
from mindface_eri.errors import DataError, ERIError, readable
from mindface_eri.evaluation.baseline import KERNEL, SOFTMAX, Baseline, holds_landmarks, modalities_of
from mindface_eri.evaluation.compare import Comparison, compare
from mindface_eri.evaluation.runs import Scored
from mindface_eri.evaluation.scores import score
from mindface_eri.evaluation.tables import format_table

WORDS = {"mfcc": "sound", "landmarks": "landmarks"}
EXCLUSIVE = "In no training clip is more than one emotion acted: rows with softmax make use of that."


@dataclass(frozen=True)
class Beside:
    """A network's scored clips and the baseline's predictions of them, the one to be compared with first."""

    network: Scored
    baselines: Tuple[Scored, ...] = ()
    fitted_on: int = 0  # training clips
    modalities: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()  # sentences; where there are no baselines, why

    @property
    def said(self) -> List[str]:
        """Whether the network is better, and what else there is to say."""
        return [readable(line) for line in
                (*([verdict(self._compared())] if self.baselines else []), *self.notes)]

    def tables(self) -> List[str]:
        """A heading and the rows of the baselines and of the network; nothing where there are none."""
        if not self.baselines:
            return []
        result = self._compared()
        heading = (f"\nBeside statistics over time of {told(self.modalities)}, fitted on the network's "
                   f"{self.fitted_on:,} training clips")
        return [readable(heading), format_table(result.headers(), result.rows())]

    def rows(self) -> List[dict]:
        """Rows of `scores.score` of each baseline, whose name stands in `group`."""
        return [{**row, "group": f"baseline: {run.name}"} for run in self.baselines for row in score(run)]

    def _compared(self) -> Comparison:
        return compare([*self.baselines, self.network])


def told(modalities: Sequence[str]) -> str:
    """Modalities in words."""
    return " and ".join(WORDS.get(name, name) for name in modalities)


def verdict(result: Comparison) -> str:
    """Whether the last run is better than the first by more than chance allows."""
    first, last = result.names[0], result.names[-1]
    gap = result.values[-1, -1] - result.values[0, -1]
    low, high = result.difference_low[-1, -1], result.difference_high[-1, -1]
    said = f"{gap:+.4f}, {low:+.4f} to {high:+.4f} at {result.confidence:.0%} over {result.over}"
    if np.isnan([low, high]).any():
        return f"Whether {last} is better than {first} ({gap:+.4f}) cannot be told from {result.over}."
    if low > 0:
        return f"{last} is better than {first}: {said}."
    if high < 0:
        return f"{last} is WORSE than {first}: {said}. Statistics that take a second do better."
    return f"{last} is NOT better than {first} by more than chance allows: {said}."


def baseline_beside(run: os.PathLike, scored: Scored, records: Optional[os.PathLike] = None) -> Beside:
    """The baseline of a run, for the clips of `scored`.

    It is fitted on exactly the clips that the run was trained on, and sees of them what the network sees: the
    landmarks where that takes crops. Where that cannot be, `notes` say why, and nothing fails.

    Args:
        run: run folder, or a `.ckpt` file in one.
        records: folder that the scored clips are in; None: that of the run's recipe.
    """
    try:
        return _beside(Path(run), scored, records)
    except (ERIError, OSError) as error:
        return Beside(scored, notes=(f"no baseline beside it: {error}",))


def _beside(run: Path, scored: Scored, place: Optional[os.PathLike]) -> Beside:
    """The baseline fitted on the clips that the run learned from, scored on those of `scored`."""
    config = _config_of(run)
    training = with_person_statistics(_opened(config.data.records), config.model, config.data.group)
    fitted_on = training_clips(training, config)
    records = training if place is None else \
        with_person_statistics(open_records(place), config.model, config.data.group)
    same = os.path.realpath(records.path) == os.path.realpath(training.path)
    if same and set(fitted_on) & set(scored.ids):
        raise DataError("it would be scored on the clips that it is fitted on, as the network here is")
    modalities = modalities_of(training, config.model.inputs)
    modalities = tuple(name for name in modalities if name in modalities_of(records, config.model.inputs))
    if not modalities:
        raise DataError(f"{config.model.name} takes {', '.join(config.model.inputs)}, of which {records.path} holds no "
                        "statistics" + ("" if holds_landmarks(training) else " (records of this version hold landmarks "
                                        "beside crops; preprocess again)"))
    predicted = Baseline(modalities).predict(training, fitted_on, records, scored.ids)
    runs = tuple(dataclasses.replace(scored, name=name, predictions=values) for name, values in predicted.items())
    return Beside(scored, runs, len(fitted_on), modalities, _notes(training, records, config, runs))


def training_clips(records: Records, config: Config) -> List[str]:
    """Ids of the clips that a training with this recipe learns from: of its fold, labelled, with what it needs."""
    table = tuple({**row, "split": split} for row, split in zip(records.table, fold_splits(records, config.data)))
    view, _ = usable(dataclasses.replace(records, table=table), config.model.inputs, ("train",))
    labelled = ~np.isnan(records.all_labels).all(axis=1)
    return [row["id"] for row, known in zip(view.table, labelled) if row["split"] == "train" and known]


def _notes(training: Records, records: Records, config: Config, runs: Sequence[Scored]) -> Tuple[str, ...]:
    said = []
    if "frames" in config.model.inputs and not (holds_landmarks(training) and holds_landmarks(records)):
        said.append("The baseline sees nothing of the faces: these records hold no landmarks, an earlier version made "
                    "them.")
    if not any(run.name == KERNEL for run in runs):
        said.append("Kernel ridge is left out: its kernel over so many clips does not fit into memory.")
    if any(run.name.endswith(SOFTMAX) for run in runs):
        said.append(EXCLUSIVE)
    return tuple(said)


def _config_of(run: Path) -> Config:
    from mindface_eri.runner.run_folder import find_checkpoint, run_config  # brings MindSpore with it

    folder = find_checkpoint(run)[1]
    if folder is None:
        raise DataError(f"{run} lies in no run folder, which would say what it was trained on")
    return run_config(folder.path)


def _opened(place: Optional[str]) -> Records:
    if place is None or not Path(place).is_dir():
        raise DataError(f"the records that it was trained on ({place}) are not there")
    return open_records(place)
