# SPDX-License-Identifier: Apache-2.0
"""Label tables: which clip belongs to which split, how intense each emotion is, and where its media lie.

Two packagings of Hume-Reaction are read, `data_info.csv` (ABAW) and `labels.csv` beside `partition.csv` (MuSe-2022),
and anybody's own table of the same form with any emotions. Ids lose their brackets here (`[00000]` is `00000`) and get
them back on output.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import logging
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from mindface_eri.constants import EMOTIONS, SPLIT_ALIASES, SPLITS
from mindface_eri.datasets import tables
from mindface_eri.datasets.groups import names_people
from mindface_eri.datasets.media import (
    MediaIndex,
    clips_of_paths,
    first_files,
    one_name,
    several_folders,
    without_suffix,
)
from mindface_eri.datasets.tables import Table, read_table
from mindface_eri.errors import DataError

if TYPE_CHECKING:
    from mindface_eri.datasets.label_import import Imported

# Columns that are never labels, and the spellings of the two that a table must have.
EXTRA_COLUMNS = ("age", "country", "subject", "source_file", "gender", "sex", "speaker", "group")
ID_COLUMNS = ("file_id", "fileid", "id", "clip", "clip_id", "filename", "file", "video")
SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".xlsx", ".xlsm")  # of tables
TABLES = ("data_info.csv", "labels.csv")  # what a data set's folder may have
SPLIT_COLUMNS = ("split", "partition", "set", "subset", "fold")
LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipEntry:
    """One clip of a manifest; `video` and `audio` are None where no such file was found."""

    id: str
    split: str
    labels: Tuple[float, ...]  # (E,), NaN where unknown
    video: Optional[Path] = None
    audio: Optional[Path] = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Clips in the order of their table, with the names of their labels and of the extra columns kept."""

    emotions: Tuple[str, ...]
    clips: Tuple[ClipEntry, ...]
    extra: Tuple[str, ...] = ()
    source: str = ""
    note: str = ""  # what people should know of these data, and of what is trained on them

    def __len__(self) -> int:
        return len(self.clips)

    def labels(self) -> np.ndarray:
        """Labels of all clips, (N, E) float32."""
        return np.array([clip.labels for clip in self.clips], np.float32).reshape(len(self.clips), len(self.emotions))

    def fingerprint(self) -> str:
        """Changes with any id, split, label or extra value, not with the place of the files."""
        digest = hashlib.sha256(repr((self.emotions, self.extra)).encode())
        for clip in self.clips:
            values = np.asarray(clip.labels, np.float32).tolist()
            digest.update(repr((clip.id, clip.split, values, sorted(clip.extra.items()))).encode())
        return digest.hexdigest()


def bracketed(clip_id: str) -> str:
    """An id as the data set's tables write it: `00000` becomes `[00000]`."""
    return f"[{clip_id}]"


def bare_id(text: str) -> str:
    """The reverse of `bracketed`; an id without brackets is left as it is, in Unicode's composed form."""
    text = one_name(text.strip())
    return text[1:-1].strip() if text.startswith("[") and text.endswith("]") else text


def normalise_id(text: str) -> str:
    """An id without its brackets.

    Raises:
        ValueError: it is empty, or would name a place outside its folder.
    """
    clip_id = bare_id(text)
    if not clip_id:
        raise ValueError("the id is empty")
    if clip_id in (".", "..") or any(c in "/\\:" or ord(c) < 32 for c in clip_id):
        raise ValueError(f"id {text!r} is not a plain file name (no '/', '\\', ':' or '..' allowed)")
    return clip_id


def read_labels(root: Union[str, os.PathLike], *, label_columns: Optional[Sequence[str]] = None) -> Manifest:
    """Reads a label table and finds each clip's media.

    Args:
        root: folder with `data_info.csv`, with `labels.csv` and `partition.csv`, or with one other CSV table; or the
            path of a table, whose media then lie somewhere below its folder. A table of another form than these is
            read by `label_import`, and what it understood is logged.
        label_columns: names of the labels; without them, every column between the split and the known extra ones.

    Returns:
        the manifest. A clip without any media file stays in it (with neither `video` nor `audio`).

    Raises:
        DataError: the table is missing, empty or broken, or an id, split or label in it cannot be used; the message
            names file, row and column.
    """
    root = Path(root)
    table_path = root if root.is_file() else _table_of(root)
    folder = table_path.parent
    media = MediaIndex(folder)
    partition = folder / "partition.csv"
    if table_path.name == "labels.csv" and partition.is_file():
        table, splits = _muse(table_path, partition)
    elif _is_normal(table_path):
        table, splits = read_table(table_path), None
    else:
        found = _imported(table_path, label_columns, media)
        table, splits, label_columns = found.table(), None, found.emotions
    manifest = _manifest(table, media, splits, label_columns)
    return dataclasses.replace(manifest, note=_note_beside(table_path))


def _note_beside(table_path: Path) -> str:
    """What a generated corpus says of itself in the description beside its table."""
    try:
        found = json.loads((table_path.parent / "corpus.json").read_text(encoding="utf-8"))
        return found["note"] if isinstance(found["note"], str) else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _is_normal(path: Path) -> bool:
    """Whether a table begins as ours do: names separated by commas, among them one of ids and one of splits."""
    try:
        with open(path, encoding="utf-8-sig") as stream:
            first = next((line for line in stream if line.strip()), "")
        cells = next(csv.reader([first]), []) if path.suffix.lower() == ".csv" else []
    except (UnicodeDecodeError, csv.Error):
        return False
    except OSError:
        return True  # which says why
    names = {name.strip().lower() for name in cells}
    muse = path.name == "labels.csv"  # lacks its partition.csv then, and no other splits will do
    return not first or muse or all(names & set(wanted) for wanted in (ID_COLUMNS, SPLIT_COLUMNS))


def _imported(path: Path, label_columns: Optional[Sequence[str]], media: MediaIndex) -> Imported:
    from mindface_eri.datasets.label_import import Options, import_table
    from mindface_eri.datasets.label_media import spelt_as_files  # pylint: disable=cyclic-import

    found = import_table(path, Options(labels=label_columns))
    LOGGER.warning("%s: read as %s; `mindface-eri labels` can be told otherwise", path,
                   "; ".join(f"{what}: {how}" for what, how in found.understood))
    return spelt_as_files(found, media, path.parent)[0]


def manifest_from_paths(paths: Iterable[Union[str, os.PathLike]], *,
                        emotions: Sequence[str] = EMOTIONS) -> Manifest:
    """A manifest of unlabelled media: every file, and every media file below a folder, is a clip of split "test".

    Raises:
        DataError: a path does not exist, or there is no media file.
    """
    paths = [Path(path) for path in paths]
    unknown = (math.nan,) * len(emotions)
    clips = [ClipEntry(clip_id, "test", unknown, video, audio) for clip_id, video, audio in clips_of_paths(paths)]
    return Manifest(tuple(emotions), tuple(clips), (), ", ".join(map(str, paths)))


def load_manifest(root: Union[str, os.PathLike], *, label_columns: Optional[Sequence[str]] = None) -> Manifest:
    """`read_labels` where `root` is a table or a folder with a known one, else `manifest_from_paths`, and says so."""
    root = Path(root)
    labelled = root.suffix.lower() in SUFFIXES or any((root / name).is_file() for name in TABLES)
    if labelled:
        return read_labels(root, label_columns=label_columns)
    manifest = manifest_from_paths([root])
    if root.is_dir():
        others = sorted(path.name for path in root.iterdir() if path.suffix.lower() in (".csv", ".xlsx"))
        LOGGER.warning("%s: no label table (looked for %s there): its %d clips have no labels and are of split test%s",
                       root, " and ".join(TABLES), len(manifest),
                       f"; {others[0]} would be read were it named itself" if others else "")
    return manifest


def _table_of(root: Path) -> Path:
    """The label table of a folder."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder or table")
    if (root / "data_info.csv").is_file():
        return root / "data_info.csv"
    if (root / "labels.csv").is_file():
        return root / "labels.csv"
    found = sorted(root.glob("*.csv"))
    if len(found) != 1:
        raise DataError(f"{root}: expected data_info.csv, or labels.csv and partition.csv, found "
                        f"{', '.join(t.name for t in found) or 'no table'}; name the table itself")
    return found[0]


def _muse(labels_path: Path, partition_path: Path) -> Tuple[Table, Dict[str, str]]:
    """The label table, one row for each clip of the partition (blank where unlabelled), and each clip's split."""
    partition, labels = read_table(partition_path), read_table(labels_path)
    column = _find(labels, ID_COLUMNS, "id", labels.header[0])
    splits: Dict[str, str] = {}
    seen = set()
    for number, row in partition.rows:
        clip_id = _id(partition, number, partition.header[0], row[0])
        if without_suffix(clip_id) in seen:
            raise DataError(f"{partition.where(number, partition.header[0])}: id {clip_id!r} stands there twice")
        seen.add(without_suffix(clip_id))
        splits[clip_id] = _split(partition, number, partition.header[-1], row[-1])
    position = labels.header.index(column)
    known = set()
    for number, row in labels.rows:
        clip_id = _id(labels, number, column, row[position])
        if clip_id not in splits:
            raise DataError(f"{labels.where(number, column)}: id {clip_id!r} is not in {partition_path.name}; add it "
                            "there with its split")
        known.add(clip_id)
    blank = [""] * len(labels.header)
    missing = [(0, [*blank[:position], clip_id, *blank[position + 1:]]) for clip_id in splits if clip_id not in known]
    return Table(labels.path, labels.header, labels.rows + missing), splits


def _manifest(table: Table, media: MediaIndex, splits: Optional[Mapping[str, str]],
              label_columns: Optional[Sequence[str]]) -> Manifest:
    """The table's rows as clips, each with its media."""
    id_column = _find(table, ID_COLUMNS, "id", table.header[0] if splits is not None else None)
    split_column = None if splits is not None else _find(table, SPLIT_COLUMNS, "split", None)
    emotions = _label_columns(table, split_column or id_column, id_column, label_columns)
    extra = tuple(c for c in table.header if c not in (*emotions, id_column, split_column))
    place = {name: i for i, name in enumerate(table.header)}
    seen: Dict[str, int] = {}
    clips: List[ClipEntry] = []
    several: List[Tuple[int, str, str]] = []
    for number, row in table.rows:
        clip_id = _id(table, number, id_column, row[place[id_column]])
        same = without_suffix(clip_id)
        if same in seen:
            raise DataError(f"{table.where(number, id_column)}: id {clip_id!r} stands already in row {seen[same]}; "
                            "each clip may appear once, with its file's ending or without it")
        seen[same] = number
        split = splits[clip_id] if split_column is None else _split(table, number, split_column,
                                                                     row[place[split_column]])
        labels = _labels(table, number, emotions, [row[place[name]] for name in emotions])
        files = media.paths(clip_id, split)
        video, audio = first_files(files)
        if several_folders(files):
            several.append((number, clip_id, split))
        kept = {name: row[place[name]].strip() for name in extra}
        clips.append(ClipEntry(clip_id, split, labels, video, audio, kept))
    if several:
        number, clip_id, split = several[0]
        files = media.several(clip_id, split)
        LOGGER.warning("%s: id %r fits several files (%s); the first is taken; %s would mean that one; %d ids are so",
                       table.where(number, id_column), clip_id, ", ".join(map(str, files[:4])),
                       f"{files[0].parent.name}_{without_suffix(clip_id)}", len(several))
    return Manifest(emotions, tuple(clips), extra, str(table.path))


def _find(table: Table, names: Sequence[str], what: str, fallback: Optional[str]) -> str:
    lower = {column.lower(): column for column in reversed(table.header)}
    for name in names:
        if name in lower:
            return lower[name]
    if fallback is not None:
        return fallback
    raise DataError(f"{table.path}, row 1: no column for the {what}; name one {names[0].title()!r} "
                    f"(found: {', '.join(table.header)}; MuSe's labels.csv needs its partition.csv beside it)")


def _label_columns(table: Table, after: str, id_column: str, named: Optional[Sequence[str]]) -> Tuple[str, ...]:
    """The columns that hold intensities."""
    if named:
        for name in named:
            if name not in table.header:
                raise DataError(f"{table.path}, row 1: no label column {name!r}; found: {', '.join(table.header)}")
        return tuple(named)
    start = table.header.index(after) + 1
    columns = []
    for name in table.header[start:]:
        if ends_labels(name):
            break
        if name != id_column:
            columns.append(name)
    if not columns:
        raise DataError(f"{table.path}, row 1: no label column between {after!r} and the extra columns "
                        f"({', '.join(table.header)}); put the labels there, or name them")
    return tuple(columns)


def ends_labels(name: str) -> bool:
    """Whether a column is no label, nor what stands behind it, unless labels are named."""
    return name.lower() in EXTRA_COLUMNS or bool(names_people(name))


def _id(table: Table, number: int, column: str, text: str) -> str:
    try:
        return normalise_id(text)
    except ValueError as error:
        raise DataError(f"{table.where(number, column)}: {error}") from None


def _split(table: Table, number: int, column: str, text: str) -> str:
    try:
        return SPLIT_ALIASES[text.strip().lower()]
    except KeyError:
        raise DataError(f"{table.where(number, column)}: split {text!r} is unknown; expected one of "
                        f"{', '.join(SPLITS)}") from None


def _labels(table: Table, number: int, emotions: Sequence[str], texts: Sequence[str]) -> Tuple[float, ...]:
    """One row's intensities; NaN where all are blank."""
    blank = [not text.strip() or text.strip().lower() == "nan" for text in texts]
    values = []
    for name, text, empty in zip(emotions, texts, blank):
        where = table.where(number, name)
        if empty:
            values.append(math.nan)
            continue
        try:
            value = tables.number(text)
        except ValueError:
            raise DataError(f"{where}: label {text!r} is not a number between 0 and 1") from None
        if not 0.0 <= value <= 1.0:
            raise DataError(f"{where}: label {text.strip()} is outside [0, 1]; scale the labels to that range, "
                            "as `mindface-eri labels --scale` does")
        values.append(value)
    return tuple(values)
