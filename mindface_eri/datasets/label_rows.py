# SPDX-License-Identifier: Apache-2.0
"""The ratings of a label table by clip, emotion and rater, whichever its form; each keeps its row and column."""

from __future__ import annotations

from typing import Dict, List, Tuple

import numpy as np

from mindface_eri.datasets.label_columns import Columns, alike
from mindface_eri.datasets.label_ids import ClipName, name_clips
from mindface_eri.datasets.ratings import agreement
from mindface_eri.datasets.spreadsheets import value_of
from mindface_eri.datasets.tables import Table
from mindface_eri.errors import DataError

OWN = ("Subject", "File_ID", "Split")  # columns of the normal form, which others of the table fill


class Ratings:
    """The ratings of a table by clip, emotion and rater, whichever its form."""

    def __init__(self, table: Table, columns: Columns) -> None:
        table = _one_spelling(table, columns)
        self.table, self.columns = table, columns
        self.place = {name: i for i, name in enumerate(table.header)}
        self.values: Dict[Tuple[str, str, str], Tuple[float, int, str]] = {}  # ... -> value, row, column
        self.rows: Dict[str, List[Tuple[int, List[str]]]] = {}
        self.kept = [name for name in columns.other if name not in OWN]
        self.names: Dict[str, ClipName] = {}
        self.numbers: Dict[int, List[str]] = {}  # number of a row -> its cells
        for name, (number, cells) in zip(name_clips(table, columns.roles["id"]), table.rows):
            clip = name.id
            self.names[clip] = name
            self.rows.setdefault(clip, []).append((number, cells))
            self._add(clip, number, cells)
            self.numbers[number] = cells
        self.emotions = list(dict.fromkeys(emotion for _, emotion, _ in self.values))
        self.who = sorted({rater for *_, rater in self.values})  # "" has no name
        for role in ("split", "person"):
            if role in columns.roles:
                for clip in self.rows:
                    self._agreed(clip, role)
        self.kept = [name for name in self.kept if len(self.rows) == len(table.rows) or self._is_constant(name)]

    @property
    def form(self) -> str:
        """Of the table, in words."""
        roles = self.columns.roles
        return f"long: emotions in {roles['emotion']!r}, ratings in {roles['value']!r}" if self.columns.long else \
            f"wide: {len(self.columns.labels)} columns of ratings"

    def cell(self, clip: str, role: str) -> str:
        """What a clip's first row says in the column of a role."""
        column = self.columns.roles.get(role)
        return "" if column is None else self.other(clip, column)

    def other(self, clip: str, column: str) -> str:
        """What a clip's first row says in a column."""
        return self.rows[clip][0][1][self.place[column]]

    def cube(self) -> np.ndarray:
        """(clips, emotions, raters), NaN where there is no rating."""
        sides = [{name: i for i, name in enumerate(names)} for names in (self.rows, self.emotions, self.who)]
        cube = np.full([len(side) for side in sides], np.nan)
        for key, (value, *_) in self.values.items():
            cube[tuple(side[name] for side, name in zip(sides, key))] = value
        return cube

    def raters(self) -> List[Tuple[str, str]]:
        """Who they are and how far they agree, in words."""
        if len(self.who) < 2:
            return []
        cube = self.cube()
        found = ", ".join(f"{emotion} {agreement(cube[:, e]):.2f}" for e, emotion in enumerate(self.emotions))
        names = ", ".join(who or "one without a name" for who in self.who[:8]) + ", ..." * (len(self.who) > 8)
        return [("raters", f"{len(self.who)} ({names}); their mean counts"),
                ("agreement", f"{found} (Krippendorff's alpha, interval; 1 is agreement, 0 is chance)")]

    def _add(self, clip: str, number: int, cells: List[str]) -> None:
        """Takes a row's ratings of a clip: one in long form, else one for each column of labels."""
        roles = self.columns.roles
        who = cells[self.place[roles["rater"]]] if "rater" in roles else ""
        if self.columns.long:
            pairs = [(roles["value"], cells[self.place[roles["emotion"]]], who)]
            if not pairs[0][1]:
                raise DataError(f"{self.table.where(number, roles['emotion'])}: blank; each row names its emotion")
        else:
            pairs = [(column, emotion, who or rater) for column, (emotion, rater) in self.columns.labels.items()]
        for column, emotion, rater in pairs:
            where = self.table.where(number, column)
            try:
                value = value_of(cells[self.place[column]])
            except ValueError:
                raise DataError(f"{where}: {cells[self.place[column]]!r} is not a number; mend it, or leave it "
                                "blank") from None
            before = self.values.get((clip, emotion, rater))
            if before is not None:
                raise DataError(f"{where}: clip {clip!r} has {emotion} in row {before[1]} already"
                                f"{self._why_twice(cells, before, column, rater)}")
            self.values[clip, emotion, rater] = (value, number, column)

    def _why_twice(self, cells: List[str], before: Tuple[float, int, str], column: str, rater: str) -> str:
        """What to do where a rating stands there twice."""
        _, number, other = before
        if number in self.numbers and self.numbers[number] == cells:
            return "; the rows are alike: take one out"
        if column != other:
            return f" in column {other!r}: take one of the two columns out, or name those of labels (--labels)"
        if "rater" not in self.columns.roles:
            return "; where several people rated it, say which column names them: --column rater=NAME"
        who = f"by rater {rater!r}" if rater else "without the name of a rater"
        return f", {who} too; mend {self.columns.roles['rater']!r}, or take one of the rows out"

    def _agreed(self, clip: str, role: str) -> None:
        """All rows of a clip say the same of it."""
        column = self.columns.roles[role]
        first, said = self.rows[clip][0][0], self.cell(clip, role)
        for number, cells in self.rows[clip][1:]:
            if cells[self.place[column]] != said:
                raise DataError(f"{self.table.where(number, column)}: {cells[self.place[column]]!r}, but clip {clip!r} "
                                f"has {said!r} in row {first}")

    def _is_constant(self, column: str) -> bool:
        return all(len({cells[self.place[column]] for _, cells in rows}) == 1 for rows in self.rows.values())


def _one_spelling(table: Table, columns: Columns) -> Table:
    """The table with people, raters, splits and emotions spelt as where each stands first: `a ` is `A`, `01` is `1`."""
    roles = ["person", "rater", "split", *(["emotion"] if columns.long else [])]
    places = [table.header.index(columns.roles[role]) for role in roles if role in columns.roles]
    first: Dict[Tuple[int, str], str] = {}
    rows = []
    for number, cells in table.rows:
        cells = list(cells)
        for place in places:
            text = " ".join(cells[place].split())
            cells[place] = first.setdefault((place, alike(text)), text)
        rows.append((number, cells))
    return Table(table.path, table.header, rows)
