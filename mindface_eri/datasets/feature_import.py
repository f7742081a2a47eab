# SPDX-License-Identifier: Apache-2.0
"""Features that other programs computed, one CSV a clip, aligned to the records' instants and stored beside them.

Read as MuSe and ABAW ship them, and as OpenFace and openSMILE write them: a row an instant, with its time in seconds or
milliseconds in one column, then the features. A clip whose file cannot be used counts as one without features, with the
reason in a table; it stops nothing.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.feature_files import Layout, read_csv
from mindface_eri.datasets.feature_sets import FORMAT, features_folder, stored_hash
from mindface_eri.datasets.labels import normalise_id
from mindface_eri.datasets.pipeline import COLUMNS
from mindface_eri.datasets.records import Records
from mindface_eri.datasets.tables import read_table, write_table
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.files import write_json
from mindface_eri.progress import progress_bar

METHODS = ("linear", "nearest")
UNITS = ("auto", "s", "ms")
TIME_COLUMNS = ("timestamp", "frametime", "time", "start")
# Columns that are neither time nor features, in any case: what the tools write beside them.
OTHER_COLUMNS = ("subject_id", "segment_id", "file_id", "id", "name", "file", "input", "frame", "frame_id", "face_id",
                 "confidence", "success", "end")
_LOOKED_AT = 25  # files that settle the columns and the unit of time


@dataclass(frozen=True)
class ImportResult:
    """What `add_features` did: clips with features, without a file, with an unusable file; files of no known clip."""

    folder: Path
    layout: Layout
    present: int
    missing: int
    failed: int
    strangers: int


def add_features(source: os.PathLike, records: Records, name: Optional[str] = None, *, unit: str = "auto",
                 method: str = "linear", columns: Sequence[str] = (), progress: bool = True) -> ImportResult:
    """Aligns a folder of CSV files to the records and stores them beside them.

    Args:
        source: folder with `<id>.csv` or `[<id>].csv` of each clip, at any depth.
        name: of the feature set; None takes the folder's.
        unit: of the time column; "auto" compares the last times with the clips' lengths.
        method: "linear" interpolation over time, or the "nearest" row; before the first and after the last row, that
            row.
        columns: patterns such as "AU*_r" of the columns to take; without them, all that are neither time nor ids.

    Raises:
        ConfigError: a name, unit or method that cannot be used.
        DataError: there is such a set already, no file belongs to a clip, or no file can be read.
    """
    source = Path(source)
    name = source.resolve().name if name is None else name
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name in (*COLUMNS, "visual", "acoustic"):
        raise ConfigError(f"feature set {name!r}: a name is made of letters, digits, _ and -, and is none of "
                          f"{', '.join(COLUMNS)}, visual, acoustic; choose one with --name")
    if unit not in UNITS or method not in METHODS:
        raise ConfigError(f"unit {unit!r}, method {method!r}: expected one of {', '.join(UNITS)} and one of "
                          f"{', '.join(METHODS)}")
    folder = features_folder(records) / name
    if folder.exists():
        raise DataError(f"{folder}: is there already; choose another --name, or remove that folder")
    files, strangers = _find(source, records)
    layout = _settle(files, records, unit, method, columns)
    temporary = folder.with_name(f".{name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        problems = _write(temporary, files, records, layout, progress)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    missing = sum(stage == "missing" for _, _, stage, _ in problems)
    return ImportResult(folder, layout, len(records) - len(problems), missing, len(problems) - missing, strangers)


def _find(source: Path, records: Records) -> Tuple[Dict[str, Path], int]:
    """The file of each clip that has one, and how many files belong to no clip."""
    if not source.is_dir():
        raise DataError(f"{source}: no such folder of features")
    known, files, strangers = set(records.ids()), {}, 0
    for path in sorted(source.rglob("*.csv")):
        try:
            clip_id = normalise_id(path.stem)
        except ValueError:
            clip_id = ""
        if clip_id not in known:
            strangers += 1
        elif clip_id in files:
            raise DataError(f"{source}: {files[clip_id]} and {path} both belong to clip {clip_id}; name the folder of "
                            "one feature set")
        else:
            files[clip_id] = path
    if not files:
        raise DataError(f"{source}: none of {strangers} CSV files is named after a clip of the records, such as "
                        f"{records.ids()[0]}.csv")
    return files, strangers


def _settle(files: Mapping[str, Path], records: Records, unit: str, method: str, patterns: Sequence[str]) -> Layout:
    """Columns and unit that most of the first files agree on."""
    headers, reasons = [], []
    for path in list(files.values())[:_LOOKED_AT]:
        try:
            headers.append(tuple(read_table(path).header))
        except DataError as error:
            reasons.append(str(error))
    if not headers:
        raise DataError(f"none of the first {len(reasons)} files can be read; the first: {reasons[0]}")
    header = Counter(headers).most_common(1)[0][0]
    time_column = next((column for wanted in TIME_COLUMNS for column in header if column.lower() == wanted), None)
    columns = [column for column in header if column != time_column and column.lower() not in OTHER_COLUMNS]
    if patterns:
        columns = [column for column in header if any(fnmatch.fnmatchcase(column, pattern) for pattern in patterns)]
    if not columns:
        raise DataError(f"{next(iter(files.values()))}: no column of features among {', '.join(header)}"
                        + (f" that fits {', '.join(patterns)}" if patterns else ""))
    layout = Layout(tuple(columns), time_column, "s" if unit == "auto" else unit, method)
    if unit == "auto" and time_column is not None:
        layout = Layout(layout.columns, time_column, _guess_unit(files, records, time_column), method)
    return layout


def _guess_unit(files: Mapping[str, Path], records: Records, time_column: str) -> str:
    """"ms" where times reach far beyond the clips' lengths in seconds."""
    ids = list(files)[:_LOOKED_AT]
    ratios = []
    for clip_id, timestamps in zip(ids, _timestamps(records, records.rows(ids))):
        try:
            times, _ = read_csv(files[clip_id], (), time_column)
        except DataError:
            continue
        if timestamps[-1] > 0 and times[-1] > 0:
            ratios.append(float(times[-1] / timestamps[-1]))
    return "ms" if ratios and np.median(ratios) > 1000**0.5 else "s"


def _timestamps(records: Records, rows: Sequence[int]) -> Iterator[np.ndarray]:
    return (record["timestamps"] for record in records.stream(["timestamps"], rows))


def _write(folder: Path, files: Mapping[str, Path], records: Records, layout: Layout, progress: bool
           ) -> List[Tuple[str, str, str, str]]:
    """Fills a folder, one clip in memory at a time; returns the table of clips without features."""
    shape = (len(records), records.preprocess.frames, len(layout.columns))
    values = np.lib.format.open_memmap(folder / "values.npy", mode="w+", dtype=np.float32, shape=shape)
    present, problems, digest = np.zeros(len(records), bool), [], hashlib.sha256()
    with progress_bar(len(records), "features", show=progress) as bar:
        for row, timestamps in enumerate(_timestamps(records, range(len(records)))):
            clip_id, split = records.table[row]["id"], records.table[row]["split"]
            try:
                if clip_id in files:
                    values[row] = layout.read(files[clip_id], timestamps)
                    present[row] = True
                    digest.update(f"{row}:".encode() + values[row].tobytes())
                else:
                    problems.append((clip_id, split, "missing", "no file of this id"))
            except DataError as error:
                problems.append((clip_id, split, "features", str(error)))
            bar.update()
    if not present.any():
        raise DataError(f"none of {len(files)} files can be used; the first: {problems[0][3]}")
    values.flush()
    np.save(folder / "present.npy", present)
    write_table(folder / "failures.csv", ("id", "split", "stage", "reason"), problems)
    about = {"format": FORMAT, "columns": list(layout.columns), "time_column": layout.time_column, "unit": layout.unit,
             "method": layout.method, "clips": int(present.sum()), "hash": digest.hexdigest(),
             "records": stored_hash(records)}
    write_json(folder / "about.json", about)
    return problems
