# SPDX-License-Identifier: Apache-2.0
"""Who is heard in each clip, for networks that normalise by person: they are asked about many clips of one at once."""

from __future__ import annotations

import collections
import os
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence

import numpy as np

from mindface_eri.config import ModelConfig
from mindface_eri.datasets.by_person import LEAST, check_given, person_statistics
from mindface_eri.datasets.groups import find_group
from mindface_eri.datasets.label_columns import alike
from mindface_eri.datasets.labels import ID_COLUMNS, bare_id
from mindface_eri.datasets.media import without_suffix
from mindface_eri.datasets.tables import read_table
from mindface_eri.errors import DataError
from mindface_eri.prediction.extraction import Taken
from mindface_eri.prediction.jobs import Job

FOLDER = "folder"  # in place of a table: the clips of a folder are of one person, whose name it bears


def people_of(source: str, jobs: Sequence[Job], notify: Callable[[str], None] = lambda text: None) -> Dict[str, str]:
    """Name of each clip -> person, by a CSV table (File_ID and a column such as Subject) or the clips' folders.

    Args:
        notify: receives how many people there are, and by what.

    Raises:
        DataError: the table cannot be read, has no such columns, or two people for one clip.
    """
    if source == FOLDER:
        found = {job.name: os.path.abspath(job.source.parent) for job in jobs if job.source is not None}
        notify(f"people: {len({*found.values()})}, by the clips' folders")
        return found
    table = read_table(Path(source))
    columns = {name: [row[place] for _, row in table.rows] for place, name in enumerate(table.header)}
    column, clips = find_group(columns), next((name for name in columns if name.lower() in ID_COLUMNS), None)
    if clips is None or column is None:
        raise DataError(f"{source}: has the columns {', '.join(table.header)}; need File_ID and one that names people, "
                        "such as Subject")
    found, spellings = {}, {}
    for (number, _), clip, cell in zip(table.rows, columns[clips], columns[column]):
        name, who = without_suffix(bare_id(clip)), spellings.setdefault(alike(cell), cell.strip())
        if found.setdefault(name, who) != who:
            raise DataError(f"{table.where(number, column)}: {who!r}, but clip {name} has {found[name]!r} in an "
                            "earlier row; a clip is one person's")
    notify(f"people: {len(spellings)}, by the column {column!r} of {source}")
    return found


def check_people(model: ModelConfig, jobs: Sequence[Job], people: Optional[Mapping[str, str]]) -> None:
    """Refuses, before any clip is taken apart, people that cannot be enough.

    Raises:
        ConfigError: the network asks for none, or does and there are none.
        DataError: nobody is named for a clip, or too few clips are of one person.
    """
    check_given(model, people is not None)
    if people is None:
        return
    unknown = [job.name for job in jobs if not people.get(job.name)]
    if unknown:
        raise DataError(f"{len(unknown)} of {len(jobs)} clips have no person, first {unknown[0]}; name whoever is "
                        "heard in each")
    counts = collections.Counter(people[job.name] for job in jobs)
    few = [(who, count) for who, count in counts.items() if count < LEAST]
    if few:
        raise DataError(f"{len(few)} of {len(counts)} people have too few clips here, first {few[0][0]} with "
                        f"{few[0][1]}: this network compares each clip with the others of its person and needs "
                        f"{LEAST}, with a mixture of reactions like that in training; give more of them together")


def with_people(jobs: Sequence[Job], taken: Sequence[Taken], people: Mapping[str, str], coefficients: int
                ) -> Iterator[Taken]:
    """Each clip with the statistics of its person; where too few could be heard, with that as its error."""
    heard: Dict[str, List[np.ndarray]] = collections.defaultdict(list)
    for job, one in zip(jobs, taken):
        if one.clip is not None and one.clip.present[1]:
            heard[people[job.name]].append(one.clip.mfcc)
    found: Dict[str, Taken] = {}
    for who, clips in heard.items():
        try:
            found[who] = Taken(None, person=person_statistics(clips, coefficients))
        except DataError as error:
            found[who] = Taken(None, error=f"{who}: {error}")
    for job, one in zip(jobs, taken):
        theirs = found.get(people[job.name], Taken(None))
        silent = one.clip is None or not one.clip.present[1]
        yield one if silent else one._replace(error=one.error or theirs.error, person=theirs.person)
