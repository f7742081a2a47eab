# SPDX-License-Identifier: Apache-2.0
"""Label tables of any form -> the normal one: a row a clip, a split, labels in [0, 1]; what was understood is told.

`mindface-eri labels` writes the normal form; where a command is given another table itself, this reads it.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.constants import SPLIT_ALIASES, SPLITS
from mindface_eri.datasets.folds import cut_share
from mindface_eri.datasets.groups import groups_of
from mindface_eri.datasets.label_columns import find_columns
from mindface_eri.datasets.label_ids import ClipName
from mindface_eri.datasets.label_rows import OWN, Ratings
from mindface_eri.datasets.labels import bracketed, ends_labels
from mindface_eri.datasets.ratings import guess_scale
from mindface_eri.datasets.spreadsheets import read_sheet
from mindface_eri.datasets.tables import Table, write_table
from mindface_eri.errors import ConfigError, DataError

PERSON = "Subject"  # the column of people in the normal form
_LIKE = 4  # ends of scales that differ by more are of different things
SHARE = 0.15  # of the people who become validation, and test, where a table has no splits
_ALIASES = {**SPLIT_ALIASES, "training": "train", "tr": "train", "development": "val", "testing": "test",
            "evaluation": "test", "eval": "test"}


@dataclass(frozen=True)
class Options:
    """What somebody says of a table instead of having it guessed.

    Attributes:
        columns: role (`label_columns.SYNONYMS`) -> column.
        labels: columns of labels.
        scale: (low, high) of the ratings.
        sheet: of a workbook.
        seed: of the splits that are made where there are none.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Optional[Sequence[str]] = None
    scale: Optional[Tuple[float, float]] = None
    sheet: Optional[str] = None
    seed: int = 0


@dataclass(frozen=True)
class Imported:
    """A label table in the normal form.

    Attributes:
        labels: (clips, emotions) in [0, 1], NaN where unknown.
        extra: column -> the cell of each clip; the first is `PERSON`.
        understood: (what, how it was understood) in words.
        names: what the table calls each clip.
    """

    path: Path
    ids: Tuple[str, ...]
    splits: Tuple[str, ...]
    emotions: Tuple[str, ...]
    labels: np.ndarray
    extra: Mapping[str, Tuple[str, ...]]
    understood: Tuple[Tuple[str, str], ...]
    names: Tuple[ClipName, ...]

    def table(self) -> Table:
        """The normal form, as `tables.read_table` reads it."""
        return Table(self.path, ["File_ID", "Split", *self.emotions, *self.extra], [
            (row + 2, [bracketed(self.ids[row]), self.splits[row],
                       *("" if math.isnan(value) else f"{value:.6g}" for value in self.labels[row]),
                       *(cells[row] for cells in self.extra.values())]) for row in range(len(self.ids))])

    def write(self, path: Path) -> None:
        """Writes the normal form as CSV."""
        table = self.table()
        write_table(path, table.header, [cells for _, cells in table.rows])


def import_table(path: os.PathLike, options: Options = Options()) -> Imported:  # noqa: B008 - frozen
    """Reads a label table of any form.

    Raises:
        DataError: it cannot be understood, or a cell cannot be used; the message names row and column.
        MissingDependencyError: a workbook without openpyxl.
    """
    sheet = read_sheet(Path(path), options.sheet)
    table, columns = sheet.table, find_columns(sheet.table, options.columns, options.labels)
    ratings = Ratings(table, columns)
    for emotion in ratings.emotions:
        if emotion in OWN or ends_labels(emotion):  # written so, it would be read as something else, or not at all
            raise DataError(f"{path}: a label cannot be called {emotion!r}, which wherever labels are read says who or "
                            "what a clip is of; rename it")
    clips = list(ratings.rows)
    labels, scale = _scaled(ratings, options.scale)
    splits, made = _splits(ratings, labels, options.seed)
    understood = [("table", sheet.how), ("form", ratings.form),
                  ("clips", f"{len(clips)}, named in {columns.roles['id']!r}"),
                  ("labels", ", ".join(ratings.emotions)), ("scale", scale), *ratings.raters(),
                  *_unknown(labels), ("people", _people(ratings, splits)), ("splits", made)]
    if ratings.kept:
        understood.append(("also kept", ", ".join(ratings.kept)))
    understood += _left_out([name for name in columns.other if name not in ratings.kept])
    extra = {PERSON: tuple(ratings.cell(clip, "person") for clip in clips),
             **{name: tuple(ratings.other(clip, name) for clip in clips) for name in ratings.kept}}
    return Imported(Path(path), tuple(clips), splits, tuple(ratings.emotions), labels, extra, tuple(understood),
                    tuple(ratings.names[clip] for clip in clips))


def _left_out(columns: Sequence[str]) -> List[Tuple[str, str]]:
    """Why columns of the table are not kept."""
    several, hidden = ([name for name in columns if (name in OWN) == own] for own in (False, True))
    said = [f"{', '.join(names)}: {why}" for names, why in (
        (several, "not one value a clip"), (hidden, "another column is taken for it")) if names]
    return [("left out", "; ".join(said))] if said else []


def _scaled(ratings: Ratings, scale: Optional[Tuple[float, float]]) -> Tuple[np.ndarray, str]:
    """Labels (clips, emotions) in [0, 1], the mean over raters, and the sentence about their scale."""
    cube, table = ratings.cube(), ratings.table
    known = cube[np.isfinite(cube)]
    found = scale or _guess(ratings, cube)
    low, high = found
    if not low < high:
        raise ConfigError(f"--scale {low:g}:{high:g}: the first has to be below the second")
    for value, number, column in ratings.values.values():
        if math.isinf(value) or value < low or value > high:
            raise DataError(f"{table.where(number, column)}: {value:g} is outside the scale {low:g} to {high:g}")
    counts = np.isfinite(cube).sum(2)
    labels = np.where(counts > 0, np.nansum((cube - low) / (high - low), 2) / np.maximum(counts, 1), np.nan)
    words = f"{low:g} to {high:g}" + (" -> 0 to 1" if found != (0, 1) else "")
    if scale is None and found != (0, 1):
        words += f" (guessed from ratings of {known.min():g} to {known.max():g}; --scale LOW:HIGH says it)"
    return labels, words


def _guess(ratings: Ratings, cube: np.ndarray) -> Tuple[float, float]:
    """The scale of all ratings, where the emotions do not look as if they had several."""
    each = {emotion: guess_scale(cube[:, e]) for e, emotion in enumerate(ratings.emotions)}
    found = guess_scale(cube)
    if found is None:
        odd = next(emotion for emotion, scale in each.items() if scale is None)
        raise DataError(f"{ratings.table.path}: {odd!r} is on no usual scale; say --scale LOW:HIGH, or name the "
                        "columns of labels (--labels)")
    ends = {emotion: scale[1] for emotion, scale in each.items() if scale}
    least, most = min(ends, key=ends.get), max(ends, key=ends.get)
    if ends[most] > _LIKE * ends[least]:
        raise DataError(f"{ratings.table.path}: {least!r} looks like a scale up to {ends[least]:g}, {most!r} like one "
                        f"up to {ends[most]:g}; name the columns of labels (--labels), or say --scale LOW:HIGH")
    return found


def _splits(ratings: Ratings, labels: np.ndarray, seed: int) -> Tuple[Tuple[str, ...], str]:
    """The split of each clip, and how it came about."""
    clips, column = list(ratings.rows), ratings.columns.roles.get("split")
    if column is not None:
        found = []
        for clip in clips:
            text = ratings.cell(clip, "split")
            if text.strip().lower() not in _ALIASES:
                raise DataError(f"{ratings.table.where(ratings.rows[clip][0][0], column)}: split {text!r} is unknown; "
                                f"expected one of {', '.join(SPLITS)}")
            found.append(_ALIASES[text.strip().lower()])
        return tuple(found), f"{_counts(found)}, from {column!r}"
    people = "person" in ratings.columns.roles
    groups = np.array(groups_of(clips, [ratings.cell(clip, "person") for clip in clips] if people else None))
    labelled = set(groups[~np.isnan(labels).all(1)])  # of the others nothing can be learnt
    splits = np.array(["train" if group in labelled else "test" for group in groups], object)
    for name, fewest in (("test", 3), ("val", 2)):
        rows = np.flatnonzero(splits == "train")
        if len(set(groups[rows])) >= fewest:
            share = SHARE if name == "test" else SHARE / (1 - SHARE)
            splits[rows[cut_share(list(groups[rows]), share, seed=(seed, len(name)))]] = name
    how = "made by person, who stands in one only" if people else \
        "made clip by clip, which is too easy where people come back: --column person=NAME names them"
    return tuple(splits), f"{_counts(splits)}; {how}"


def _counts(splits: Sequence[str]) -> str:
    return ", ".join(f"{list(splits).count(name)} {name}" for name in SPLITS if name in splits)


def _unknown(labels: np.ndarray) -> List[Tuple[str, str]]:
    unknown = np.isnan(labels)
    if not unknown.any():
        return []
    whole = int(unknown.all(1).sum())
    clips = f", all of them in {whole} clips" if whole else ""
    return [("unknown", f"{int(unknown.sum())} of {labels.size} labels{clips}; they count neither in loss nor metric")]


def _people(ratings: Ratings, splits: Sequence[str]) -> str:
    """How many people the clips are of, in a sentence, and what of them would flatter a score."""
    column = ratings.columns.roles.get("person")
    if column is None:
        return "no column names them: clips are taken as independent"
    where: Dict[str, set] = {}
    for clip, split in zip(ratings.rows, splits):
        where.setdefault(ratings.cell(clip, "person"), set()).add(split)
    blank = sum(not ratings.cell(clip, "person") for clip in ratings.rows)
    both = [name for name, found in where.items() if name and len(found) > 1]
    words = f"{len([name for name in where if name])}, named in {column!r}"
    words += f"; {blank} clips name nobody (a blank is not who stands above it)" if blank else ""
    return words + (f"; {len(both)} of them stand in several splits, such as {both[0]}: a network that knows a person "
                    "scores too well" if both else "")
