# SPDX-License-Identifier: Apache-2.0
"""The folder of records that preprocessing leaves and training reads.

    dataset.json      format, emotions, clips per split, the preprocessing's configuration, hash, parts, versions
    arrays.npz        labels (N, E), mfcc_mean (M,), mfcc_std (M,)
    clips.csv         one row a clip: id, split, the table's extra columns, what was found in it, how many copies of its
                      sound lie in its record (`preprocess.augment`): only training reads them
    failures.csv      id, split, stage and reason of each clip that could not be used
    records/          part-00000.mindrecord, each with its index .db and its .json
    features/         features that other programs computed, put there later (feature_sets.py)
"""

from __future__ import annotations

import csv
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Generator, Iterator, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from mindface_eri.config import PreprocessConfig, from_dict
from mindface_eri.constants import SPLITS
from mindface_eri.datasets.media import one_name
from mindface_eri.datasets.parts import ARRAYS, COPIES, KINDS, OF_VERSION_0_1, part_sizes
from mindface_eri.datasets.reading import read_rows
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.preprocess.storage import decode_jpeg

FORMAT = 1


class Row(Mapping[str, str]):
    """A row of clips.csv: half of what a dict and its texts take, and there are as many as clips."""

    __slots__ = ("_places", "_cells")

    def __init__(self, places: Mapping[str, int], cells: Tuple[str, ...]) -> None:
        self._places, self._cells = places, cells  # `places` is shared by all rows

    def __getitem__(self, name: str) -> str:
        return self._cells[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True)
class Records:
    """A finished record folder. Clips are numbered in the order of their label table.

    Attributes:
        table: one mapping a clip with the columns of clips.csv, as text.
        mfcc_mean, mfcc_std: (M,) float32 over the stacks of the training clips that have sound; 0 and 1 without any.
        note: what people should know of these data, and of what is trained on them.
    """

    path: Path
    emotions: Tuple[str, ...]
    preprocess: PreprocessConfig
    hash: str
    table: Tuple[Mapping[str, str], ...]
    files: Tuple[str, ...]
    all_labels: np.ndarray  # (N, E) float32
    mfcc_mean: np.ndarray
    mfcc_std: np.ndarray
    extra: Tuple[str, ...] = ()
    fields: Tuple[str, ...] = tuple(ARRAYS)  # what each record holds beside its labels
    note: str = ""
    sizes: Tuple[int, ...] = ()  # clips in each file
    by_person: Any = None  # a `by_person.ByPerson` of a view of which the column `person` can be had

    def __len__(self) -> int:
        return len(self.table)

    @property
    def splits(self) -> Dict[str, int]:
        """Clips in each split that has any."""
        counts = {split: sum(row["split"] == split for row in self.table) for split in SPLITS}
        return {split: count for split, count in counts.items() if count}

    def ids(self, split: Optional[str] = None) -> Tuple[str, ...]:
        """Ids of a split, or of all clips.

        Raises:
            DataError: there is no clip in that split.
        """
        ids = tuple(row["id"] for row in self.table if split in (None, row["split"]))
        if not ids:
            raise DataError(f"{self.path}: no clip in split {split!r}; there are "
                            f"{', '.join(f'{count} in {name!r}' for name, count in self.splits.items())}")
        return ids

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """Numbers of clips, (len(ids),) int64.

        Raises:
            DataError: an id is not in the records.
        """
        place = {row["id"]: number for number, row in enumerate(self.table)}
        missing = [clip_id for clip_id in ids if clip_id not in place]
        if missing:
            raise DataError(f"{self.path}: {len(missing)} of {len(ids)} ids are not in the records, first "
                            f"{missing[0]!r}; see failures.csv there")
        return np.array([place[clip_id] for clip_id in ids], np.int64)

    def labels(self, split: Optional[str] = None, *, ids: Optional[Sequence[str]] = None) -> np.ndarray:
        """Labels of a split or of given ids in their order, (n, E) float32; NaN where unknown."""
        return self.all_labels[self.rows(self.ids(split) if ids is None else ids)]

    def column(self, name: str, *, ids: Optional[Sequence[str]] = None) -> Tuple[str, ...]:
        """A column of clips.csv, such as Subject, for all clips or for given ids.

        Raises:
            DataError: there is no such column.
        """
        if self.table and name not in self.table[0]:
            raise DataError(f"{self.path}: no column {name!r}; there are {', '.join(self.table[0])}")
        rows = range(len(self.table)) if ids is None else self.rows(ids)
        return tuple(self.table[row][name] for row in rows)

    def check_fields(self, columns: Sequence[str]) -> None:
        """Refuses a column that these records were made without.

        Raises:
            DataError: they are of a version that did not store it yet.
        """
        lacking = [name for name in columns if name in KINDS and name not in self.fields]
        if lacking == [COPIES]:
            raise DataError(f"{self.path}: these records hold no copies of sound; preprocess the clips again with "
                            "preprocess.augment.speeds, into another folder")
        if lacking:
            raise DataError(f"{self.path}: these records hold no {lacking[0]}: an earlier version made them, which did "
                            "not store any; preprocess the clips again, into another folder")

    def read(self, ids: Sequence[str], columns: Sequence[str] = ("frames", "mfcc", "present", "labels")
             ) -> Iterator[Dict[str, np.ndarray]]:
        """Reads clips one by one, frames decoded to (T, S, S, 3) uint8."""
        self.check_fields(columns)
        decode = {"frames": self.crops, COPIES: self.sounds}
        for record in self.stream(columns, self.rows(ids)):  # which may be held for the next time
            yield {name: decode[name](value) if name in decode else value for name, value in record.items()}

    def stream(self, columns: Sequence[str], rows: Sequence[int], workers: int = 1
               ) -> Generator[Dict[str, np.ndarray], None, None]:
        """Clips by their numbers, in this order, as they are stored; see `reading.read_rows`."""
        yield from read_rows(self.files, columns, rows, workers, self.sizes)

    @property
    def copies(self) -> np.ndarray:
        """How many copies of its sound each clip's record holds, (N,) int64."""
        if COPIES not in self.fields:
            return np.zeros(len(self), np.int64)
        return np.array([int(row[COPIES]) for row in self.table], np.int64)

    def sounds(self, stored: np.ndarray) -> np.ndarray:
        """(C, T, M) float32: what the column `copies` of a record holds; C is 0 where it has none."""
        shape = (self.preprocess.frames, self.preprocess.audio.features)
        count = len(stored) // (4 * shape[0] * shape[1])
        return stored[:4 * count * shape[0] * shape[1]].view(np.float32).reshape(count, *shape)

    def crops(self, stored: np.ndarray, out: Optional[np.ndarray] = None) -> np.ndarray:
        """(T, S, S, 3) uint8: what the column `frames` of a record holds; written to `out` where that is given.

        Raises:
            DataError: it is no JPEG of that many crops.
        """
        size = self.preprocess.face.size
        out = np.empty((self.preprocess.frames, size, size, 3), np.uint8) if out is None else out
        if self.preprocess.storage == "raw":
            out[...] = stored.reshape(out.shape)
            return out
        try:
            return decode_jpeg(stored, size, out)
        except ImportError:  # training needs no OpenCV: MindSpore's decoder gives the same pixels, a little slower
            from mindspore.dataset import vision

            out[...] = np.asarray(vision.Decode()(stored)).reshape(out.shape)
            return out


def open_records(path: Union[str, os.PathLike]) -> Records:
    """Opens a folder that `mindface-eri preprocess` wrote.

    Raises:
        DataError: it is missing, unfinished, of another format, or a file in it is missing or cut off.
    """
    path = Path(path)
    if not (path / "dataset.json").is_file():
        if (path / "plan.json").is_file():
            raise DataError(f"{path}: preprocessing is not finished; run `mindface-eri preprocess ... --resume` "
                            "(every shard of it)")
        raise DataError(f"{path}: no records there (dataset.json is missing); make them with `mindface-eri preprocess`")
    try:
        head = json.loads((path / "dataset.json").read_text(encoding="utf-8"))
        if head["format"] != FORMAT:
            raise DataError(f"{path}: records of format {head['format']}, this version reads format {FORMAT}; "
                            "preprocess again")
        with np.load(path / "arrays.npz", allow_pickle=False) as arrays:
            labels, mean, std = arrays["labels"], arrays["mfcc_mean"], arrays["mfcc_std"]
        table = tuple(_rows(path / "clips.csv"))
        config = from_dict(PreprocessConfig, head["preprocess"])
        files = tuple(_checked(path / "records", part) for part in head["parts"])
        records = Records(path, tuple(head["emotions"]), config, head["hash"], table, files, labels, mean, std,
                          tuple(head["extra"]), tuple(head.get("fields", OF_VERSION_0_1)), str(head.get("note", "")),
                          tuple(int(part["rows"]) for part in head["parts"]))
        _check_whole(records, sum(part["rows"] for part in head["parts"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, EOFError, zipfile.BadZipFile, csv.Error,
            ConfigError) as error:
        raise DataError(f"{path}: these are not whole records ({type(error).__name__}: {error}); copy them again or "
                        "preprocess again") from error
    return records


def _rows(path: Path) -> Iterator[Row]:
    """The rows of clips.csv; what several say alike is held once."""
    with open(path, encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        names = next(reader, [])
        places, known = {name: place for place, name in enumerate(names)}, {}
        for cells in filter(None, reader):
            if len(cells) != len(names):
                raise ValueError(f"clips.csv: clip {cells[0]!r} has no split, or its row is not whole")
            told = [known.setdefault(cell, cell) if len(cell) < 33 else cell for cell in cells]
            told[places["id"]] = one_name(cells[places["id"]])
            yield Row(places, tuple(told))


def _check_whole(records: Records, rows: int) -> None:
    """Raises an error where the files of a folder do not belong together."""
    table, labels, features = records.table, records.all_labels, (records.preprocess.audio.features,)
    if not len(table) == len(labels) == rows:
        raise DataError(f"{records.path}: clips.csv has {len(table)} rows, arrays.npz {len(labels)}; preprocess again")
    if not all(isinstance(text, str) for text in (*records.emotions, *records.extra, *records.fields, records.hash)):
        raise ValueError("dataset.json: a name or the hash is no text")
    shapes = labels.shape, records.mfcc_mean.shape, records.mfcc_std.shape
    expected = (rows, len(records.emotions)), features, features
    if shapes != expected:
        raise ValueError(f"arrays.npz: labels, mean and deviation are {shapes}, expected {expected}")
    wrong = [row for row in table if row["split"] not in SPLITS or not row["id"]]
    if wrong:
        raise ValueError(f"clips.csv: clip {wrong[0]['id']!r} has no split, or its row is not whole")
    if len({row["id"] for row in table}) < rows:
        raise ValueError("clips.csv: a clip stands there twice")


def _checked(folder: Path, part: Mapping[str, object]) -> str:
    """The path of a part that is there and whole."""
    file = folder / part["name"]
    if file.parent != folder:
        raise ValueError(f"dataset.json: {part['name']!r} is no part's name")
    if not file.is_file() or not Path(f"{file}.db").is_file():
        raise DataError(f"{file}: the part or its index (.db) is missing; copy the folder whole, or run preprocess "
                        "--resume, which makes it again")
    sizes = part_sizes(file)
    if sizes != (part["bytes"], part["index_bytes"]):
        raise DataError(f"{file}: {sizes[0]} bytes and {sizes[1]} of index, expected {part['bytes']} and "
                        f"{part['index_bytes']}; it was cut off: copy it again, or run preprocess --resume")
    return str(file)
