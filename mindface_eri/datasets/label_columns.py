# SPDX-License-Identifier: Apache-2.0
"""What the columns of somebody's label table are for, by their names in any case and with the usual synonyms."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional, Sequence, Tuple

from mindface_eri.datasets.groups import names_people
from mindface_eri.datasets.labels import EXTRA_COLUMNS
from mindface_eri.datasets.spreadsheets import filled, value_of
from mindface_eri.datasets.tables import Table
from mindface_eri.errors import DataError

# Role -> what its column is called, without case, blanks and marks; those that go first are taken first.
SYNONYMS: Dict[str, Tuple[str, ...]] = {
    "id": ("fileid", "filename", "file", "clipid", "clipname", "clip", "videoid", "videoname", "videofile", "video",
           "stimulusid", "stimulusname", "stimulus", "mediafile", "media", "path", "filepath", "recording", "datei",
           "dateiname", "id"),
    "split": ("split", "partition", "subset", "set", "fold"),
    "person": ("subj", "sub", "ppt", "pid", "vp", "vpn", "vpcode", "proband", "versuchsperson", "sujet", "child",
               "client", "userid", "user"),
    "rater": ("rater", "raterid", "ratername", "annotator", "annotatorid", "coder", "coderid", "judge", "judgeid",
              "observer", "evaluator", "labeler", "labeller", "workerid", "worker"),
    "emotion": ("emotion", "emotionname", "affect", "category", "dimension", "variable", "item", "label"),
    "value": ("rating", "value", "score", "intensity", "response", "answer", "wert"),
}
# Numbers that are no labels.
_NEVER = {*(re.sub(r"\W|_", "", name) for name in EXTRA_COLUMNS), *SYNONYMS["split"], "comment", "comments", "note",
          "notes", "remark", "date", "time", "duration", "fps", "language", "ethnicity", "race", "condition", "session",
          "trial", "order", "index", "nr", "no", "number", "num", "row", "rowno", "rownumber", "lfd", "counter", "",
          "year", "yearofbirth", "alter", "geschlecht", "datum"}
_OF_IDS = re.compile(r"(^|[\W_])(id|nr|idx|index)s?$|[a-z](ID|Id|Nr|Idx|Index)s?$")
_SHORT = 10  # numbers from 1 to as many may be ratings in the order of their size
_OF_A_RATER = (re.compile(r"(?P<name>.*?)[\s_.(-]+(?:rater|coder|annotator|judge|r)[\s_.-]?(?P<who>\d+)\)?", re.I),
               re.compile(r"(?:rater|coder|annotator|judge|r)[\s_.-]?(?P<who>\d+)[\s_.:-]+(?P<name>.+)", re.I))


@dataclass(frozen=True)
class Columns:
    """The columns of a table: those with a role, those of labels, and the others.

    Attributes:
        roles: role of `SYNONYMS` -> column.
        labels: column -> (emotion, rater), the rater "" where the name has none; empty in the long form.
        other: kept as they are.
    """

    roles: Mapping[str, str]
    labels: Mapping[str, Tuple[str, str]] = field(default_factory=dict)
    other: Tuple[str, ...] = ()

    @property
    def long(self) -> bool:
        """Whether each row is one rating of one emotion."""
        return "emotion" in self.roles and "value" in self.roles


def find_columns(table: Table, named: Mapping[str, str], labels: Optional[Sequence[str]] = None) -> Columns:
    """Sorts the columns.

    Args:
        named: role -> column, where somebody says it.
        labels: columns of labels; without them, every other column of numbers.

    Raises:
        DataError: a column that is named is not there, or there is none of ids or of labels.
    """
    for name in (*named.values(), *(labels or ())):
        if name not in table.header:
            raise DataError(f"{table.path}: no column {name!r}; there are {', '.join(table.header)}")
    roles = dict(named)
    for role in SYNONYMS:
        if role not in roles:
            column = _of_role(table, role, {*roles.values(), *(labels or ())})
            if column is not None:
                roles[role] = column
    if "id" not in roles:
        raise DataError(f"{table.path}: which column names the clips? There are {', '.join(table.header)}; say "
                        "--column id=NAME")
    long = "emotion" in roles and "value" in roles and labels is None and _words(table, roles["emotion"])
    if not long:
        roles = {role: column for role, column in roles.items() if role in named or role not in ("emotion", "value")}
    if "emotion" in roles and "value" in roles:
        return Columns(roles, {}, tuple(name for name in table.header if name not in roles.values()))
    rest = [name for name in table.header if name not in roles.values()]
    chosen = list(labels) if labels else [name for name in rest if _is_label(table, name)]
    if not chosen:
        raise DataError(f"{table.path}: no column of numbers to be a label; there are {', '.join(rest) or 'none'}; "
                        "say --labels NAME ...")
    if not labels:  # a running number is none, unless there is nothing else
        chosen = [name for name in chosen if not _numbers_rows(table, name)] or chosen
    return Columns(roles, _raters(chosen), tuple(name for name in rest if name not in chosen))


def alike(text: str) -> str:
    """What a name shares with its other spellings: without case and outer blanks, whole numbers without zeros."""
    text = " ".join(text.split()).casefold()
    return str(int(text.partition(".")[0])) if re.fullmatch(r"[0-9]+(\.0*)?", text) else text


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _of_role(table: Table, role: str, taken: set) -> Optional[str]:
    free = [name for name in table.header if name not in taken]
    if role == "person":
        people = [name for name in free if names_people(name) not in (None, "session")]
        if people:
            return people[0]
    plain = {_plain(name): name for name in reversed(free)}
    return next((plain[name] for name in SYNONYMS[role] if name in plain), None)


def _words(table: Table, column: str) -> bool:
    """Whether a column holds words rather than numbers."""
    return bool(filled(table, column)) and not any(_number(cell) for _, cell in filled(table, column))


def _is_label(table: Table, column: str) -> bool:
    """A column of numbers, most of it at least: a slip among them is refused later, and not passed over."""
    cells = filled(table, column)
    return (_plain(column) not in _NEVER and names_people(column) is None and not _names_rows(column) and bool(cells)
            and 2 * sum(_number(cell) for _, cell in cells) > len(cells))


def _names_rows(column: str) -> bool:
    """Whether a column is called as ids and numbers of rows are: `id`, `row_id`, `rowID`, `Lfd. Nr.`"""
    column = column.strip(" .:")
    return bool(_OF_IDS.search(column) or _OF_IDS.search(column.lower()))


def _numbers_rows(table: Table, column: str) -> bool:
    """Whether a column counts the rows: 0, 1, 2, ... or 1, 2, 3, ..."""
    cells = filled(table, column)
    values = [value_of(cell) if _number(cell) else None for _, cell in cells]
    return len(cells) == len(table.rows) > _SHORT and values[0] in (0, 1) and \
        values == [values[0] + i for i in range(len(values))]


def _number(cell: str) -> bool:
    try:
        value_of(cell)
    except ValueError:
        return False
    return True


def _raters(columns: Sequence[str]) -> Dict[str, Tuple[str, str]]:
    """Columns such as `Joy_R1` and `Joy_R2` are one emotion of two raters; a name that stands alone is left whole."""
    found = {}
    for column in columns:
        match = next((m for m in (pattern.fullmatch(column) for pattern in _OF_A_RATER) if m and m["name"]), None)
        found[column] = (match["name"].strip(), match["who"]) if match else (column, "")
    first: Dict[str, str] = {}
    found = {column: (first.setdefault(name.casefold(), name), who) if who else (name, who)
             for column, (name, who) in found.items()}
    names = [name for name, who in found.values() if who]
    return {column: (name, who) if who and names.count(name) > 1 else (column, "")
            for column, (name, who) in found.items()}
