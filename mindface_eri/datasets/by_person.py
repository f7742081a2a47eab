# SPDX-License-Identifier: Apache-2.0
"""Statistics of sound by person: mean and deviation of each over all clips of the one who speaks.

Taken off before the network sees a clip (`model.normalise_by_person`), they leave how this clip differs from the
others of its person. That is transductive: no label is needed, but many clips of each person are, at prediction too.
"""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import ModelConfig
from mindface_eri.datasets.folds import people_column
from mindface_eri.datasets.label_columns import alike
from mindface_eri.datasets.parts import COPIES
from mindface_eri.datasets.records import Records
from mindface_eri.datasets.statistics import thirds
from mindface_eri.errors import ConfigError, DataError

# Clips with sound that a person needs. On inner folds of acted speech a network's stand-in, kernel ridge, got 0.429
# without, and by lots of 3, 5, 10, 20 and 60 clips of a person 0.380, 0.437, 0.479, 0.504 and 0.518.
LEAST = 10
WARNING = ("statistics of sound are normalised by person ({}): scores and predictions hold only where many clips of "
           "each person come together, with a mixture of reactions like that in training")


@dataclasses.dataclass(frozen=True)
class ByPerson:
    """Of each clip of some records, mean and deviation of the statistics of its person's sound.

    Attributes:
        column: the one that names people.
        person: (N,) the person's number, from 0; -1 of a clip without sound.
        values: (people, 1 + C, 2, 6, F) float32; behind those of the clips as they are, of the copies of each number.
    """

    column: str
    person: np.ndarray
    values: np.ndarray

    def of(self, rows: np.ndarray, sounds: np.ndarray) -> np.ndarray:
        """(n, 2, 6, F) for clips by their numbers and copies (0: as it is); zeros without sound."""
        people = self.person[rows]
        return np.where((people >= 0)[:, None, None, None], self.values[people, sounds], np.float32(0))


def clip_statistics(mfcc: np.ndarray, coefficients: int) -> np.ndarray:
    """Statistics over time (6 * F,) of one clip's MFCC stacks (T, M), whose frames count one by one."""
    return thirds(mfcc.reshape(-1, coefficients))


def person_statistics(clips: Sequence[np.ndarray], coefficients: int) -> np.ndarray:
    """What a network with `model.normalise_by_person` takes as `person`, (2, 6, F) float32.

    Args:
        clips: MFCC stacks (T, M) of all of one person's clips that have sound.

    Raises:
        DataError: there are fewer than `LEAST`.
    """
    if len(clips) < LEAST:
        raise DataError(f"{len(clips)} clips with sound of one person, and normalising by person needs {LEAST}; give "
                        "more of them together, or use a network without model.normalise_by_person")
    return _moments([clip_statistics(clip, coefficients) for clip in clips])


def with_person_statistics(records: Records, model: ModelConfig, group: Optional[str] = None) -> Records:
    """The records with the column `person` where the network takes it, over all clips of each person in them.

    Args:
        group: column that names people; None: the one that `people_column` finds.

    Raises:
        DataError: no column names people, a clip with sound has a blank there, or a person has too few of them.
    """
    if not model.normalise_by_person or records.by_person is not None:
        return records
    column = people_column(records, group)
    if column is None:
        raise DataError(f"{records.path}: model.normalise_by_person needs a column that names people, such as Subject; "
                        "add it to the label table and preprocess again, or name it (data.group)")
    spellings: Dict[str, str] = {}  # a person's name in another spelling is the same person's
    names = [spellings.setdefault(alike(cell), cell.strip()) if row.get("present_acoustic") != "0" else None
             for cell, row in zip(records.column(column), records.table)]
    order = {name: place for place, name in enumerate(dict.fromkeys(name for name in names if name is not None))}
    _check_people(records, column, [name for name in names if name is not None])
    person = np.array([-1 if name is None else order[name] for name in names], np.int64)
    return dataclasses.replace(records, by_person=ByPerson(column, person, _values(records, person, len(order))))


def _check_people(records: Records, column: str, names: Sequence[str]) -> None:
    if "" in names:
        raise DataError(f"{records.path}: {names.count('')} clips with sound have a blank {column}, and "
                        "model.normalise_by_person has to know whose they are; fill the column in")
    few = {name: names.count(name) for name in dict.fromkeys(names) if names.count(name) < LEAST}
    if few:
        told = ", ".join(f"{name} ({count})" for name, count in list(few.items())[:5])
        raise DataError(f"{records.path}: model.normalise_by_person needs {LEAST} clips with sound of each person, and "
                        f"{len(few)} in the column {column} have fewer: {told}; leave it out")


def _values(records: Records, person: np.ndarray, people: int) -> np.ndarray:
    """`ByPerson.values`, from one pass over the clips."""
    coefficients, copies = records.preprocess.audio.coefficients, int(records.copies.max(initial=0))
    heard = np.flatnonzero(person >= 0)
    fields = ["mfcc", *([COPIES] if copies else [])]
    found: Dict[Tuple[int, int], List[np.ndarray]] = {}
    for row, record in zip(heard, records.read([records.table[row]["id"] for row in heard], fields)):
        for number, sound in enumerate([record["mfcc"], *record.get(COPIES, ())]):
            found.setdefault((person[row], number), []).append(clip_statistics(sound, coefficients))
    values = np.zeros((people, 1 + copies, 2, 6, coefficients), np.float32)
    for who in range(people):
        for number in range(1 + copies):  # where too few clips have a copy, the clips' own stand in
            own = found.get((who, number), [])
            values[who, number] = _moments(own) if len(own) >= LEAST else values[who, 0]
    return values


def _moments(statistics: Sequence[np.ndarray]) -> np.ndarray:
    """Mean and deviation of statistics (6 * F,) over clips, (2, 6, F); what never differs has deviation 1."""
    mean, deviation = np.mean(statistics, axis=0), np.std(statistics, axis=0)
    deviation = np.where(deviation > 1e-5 * (1 + np.abs(mean)), deviation, 1.0)
    return np.stack([mean, deviation]).reshape(2, 6, -1).astype(np.float32)


def check_given(model: ModelConfig, given: bool) -> None:
    """Refuses people that a network does not ask for, and their lack where it does (a `ConfigError`)."""
    if given and not model.normalise_by_person:
        raise ConfigError(f"{model.name} was trained without model.normalise_by_person: it asks for no people; leave "
                          "them out (--people)")
    if model.normalise_by_person and not given:
        raise ConfigError("this network was trained with model.normalise_by_person: it needs to know who is heard in "
                          f"each clip, and {LEAST} clips or more of each person at once; name them with people (in "
                          "the command --people TABLE.csv, or --people folder)")
