# SPDX-License-Identifier: Apache-2.0
"""Parts of a data set: finished clips as small files, packed block by block into MindRecord files.

MindRecord's writer loses everything when its process is killed, so a finished clip is first a file of its own,
`work/block-00003/000042.npz` (or `.json`, the reason why it failed). When each clip of a block is there, the block is
packed into `records/part-00003.mindrecord` in a temporary folder and moved into place; `part-00003.json`, moved last,
is the mark that the part is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Collection, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from mindface_eri.datasets.reading import first_line, read_rows
from mindface_eri.errors import DataError
from mindface_eri.files import json_text, replacing, write_json

# Fields of one record, as MindRecord's schema names their types; `frames` holds a JPEG of all crops, or raw bytes.
ARRAYS = {"frames": np.uint8, "mfcc": np.float32, "present": np.float32, "timestamps": np.float32,
          "boxes": np.float32, "detected": np.uint8, "landmarks": np.float32}
COPIES = "copies"  # a field that only records with copies of sound have: float32 (C, T, M) as bytes, one byte without
KINDS = {**ARRAYS, COPIES: np.uint8}
OF_VERSION_0_1 = tuple(name for name in ARRAYS if name != "landmarks")  # fields of records that do not name theirs


class Work:
    """Small files of one block's finished clips."""

    def __init__(self, out: Path, block: int) -> None:
        self.folder = Path(out) / "work" / f"block-{block:05d}"

    def clip(self, position: int) -> Path:
        """File of a clip that was extracted; `position` counts in the manifest."""
        return self.folder / f"{position:06d}.npz"

    def failure(self, position: int) -> Path:
        """File of a clip that failed."""
        return self.folder / f"{position:06d}.json"

    def dealt_with(self) -> Set[int]:
        """Positions of all clips that were dealt with, by one look into the folder."""
        found = (name.partition(".") for name in (os.listdir(self.folder) if self.folder.is_dir() else ()))
        return {int(stem) for stem, _, suffix in found if suffix in ("npz", "json") and stem.isdecimal()}

    def told(self, position: int) -> Optional[dict]:
        """What is known of a clip that was dealt with, None of others: its row, or why it failed."""
        try:
            if self.clip(position).exists():
                with np.load(self.clip(position), allow_pickle=False) as stored:
                    return json.loads(stored["row"].tobytes())
            return json.loads(self.failure(position).read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def forget(self, position: int) -> None:
        """Takes a clip's files away, so that it is dealt with again."""
        self.clip(position).unlink(missing_ok=True)
        self.failure(position).unlink(missing_ok=True)


def save_clip(path: Path, arrays: Mapping[str, np.ndarray], row: Mapping[str, object]) -> None:
    """Writes a finished clip; the file appears whole or not at all."""
    with replacing(path) as temporary:
        np.savez(temporary, row=np.frombuffer(json_text(row).encode(), np.uint8),
                 **{name: np.asarray(arrays[name], kind) for name, kind in KINDS.items() if name in arrays})


def save_failure(path: Path, stage: str, reason: str, **more: object) -> None:
    """Writes why a clip failed, and what else is to be remembered of it."""
    write_json(path, {"stage": stage, "reason": reason, **more})


def part_name(block: int) -> str:
    """File name of a block's part."""
    return f"part-{block:05d}.mindrecord"


def read_part(out: Path, block: int) -> Optional[dict]:
    """What a finished part says of itself: `rows`, `failures`, `bytes`, `index_bytes`; None while it is not whole."""
    folder = Path(out) / "records"
    try:
        part = json.loads((folder / f"part-{block:05d}.json").read_text(encoding="utf-8"))
        if part["rows"] and part_sizes(folder / part_name(block)) != (part["bytes"], part["index_bytes"]):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return part


def part_sizes(path: Path) -> Tuple[int, int]:
    """Bytes of a MindRecord file and of its index."""
    return os.path.getsize(path), os.path.getsize(f"{path}.db")


def write_part(out: Path, block: int, clips: Sequence[Tuple[int, str, str, Sequence[float]]],
               fields: Sequence[str] = tuple(ARRAYS)) -> dict:
    """Packs the finished clips of a block, (position, id, split, labels) each, and removes their small files.

    Args:
        fields: of `ARRAYS`, those that the records hold.

    Raises:
        DataError: the part cannot be written.
    """
    out, work = Path(out), Work(out, block)
    folder, name = out / "records", part_name(block)
    temporary = out / "work" / f"pack-{block:05d}-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    rows, failures, done = [], [], []
    for position, clip_id, split, labels in clips:
        if work.clip(position).exists():
            done.append((position, clip_id, split, labels))
        else:
            reason = json.loads(work.failure(position).read_text(encoding="utf-8"))
            failures.append({"id": clip_id, "split": split, **reason})
    part: Dict[str, object] = {"rows": rows, "failures": failures}
    if done:
        try:
            rows += _write_mindrecord(temporary / name, work, done, fields)
        except (RuntimeError, OSError) as error:
            raise DataError(f"{folder / name}: cannot be written ({first_line(error)}); "
                            f"{shutil.disk_usage(out).free >> 20} MB are free there") from error
        part["bytes"], part["index_bytes"] = part_sizes(temporary / name)
        for suffix in (".db", ""):
            shutil.copymode(out / "plan.json", f"{temporary / name}{suffix}")  # MindRecord lets only its owner read
            os.replace(f"{temporary / name}{suffix}", f"{folder / name}{suffix}")
    write_json(folder / f"part-{block:05d}.json", part)
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(work.folder, ignore_errors=True)
    return part


def unpack_part(out: Path, block: int, positions: Mapping[str, int], again: Collection[int],
                fields: Sequence[str] = tuple(ARRAYS)) -> None:
    """Makes a block's part into small files again, but for the clips at the positions `again`.

    Of a part that cannot be read nothing is left: all its clips are dealt with again.

    Args:
        positions: of each clip's id.
        fields: of `ARRAYS`, those that the records hold.
    """
    part, work = read_part(out, block), Work(out, block)
    work.folder.mkdir(parents=True, exist_ok=True)
    file = Path(out) / "records" / part_name(block)
    try:
        rows = read_rows([str(file)], fields, range(len(part["rows"]))) if part["rows"] else []
        for row, record in zip(part["rows"], rows):
            position = positions[row["id"]]
            if position not in again:
                save_clip(work.clip(position), record, {k: v for k, v in row.items() if k not in ("id", "split")})
    except DataError:
        shutil.rmtree(work.folder)
    for failure in part["failures"]:
        position = positions[failure["id"]]
        if position not in again:
            save_failure(work.failure(position), **{k: v for k, v in failure.items() if k not in ("id", "split")})
    (Path(out) / "records" / f"part-{block:05d}.json").unlink()


def _write_mindrecord(path: Path, work: Work, clips: Sequence[Tuple[int, str, str, Sequence[float]]],
                      fields: Sequence[str]) -> List[dict]:
    """Writes a part of the records; a row of clips.csv for each of its clips."""
    from mindspore.mindrecord import FileWriter

    largest = max(work.clip(position).stat().st_size for position, *_ in clips)
    page = 1 << max(22, (2 * largest - 1).bit_length())  # a page must hold a whole record
    if page > 1 << 28:
        raise DataError(f"one clip takes {largest >> 20} MB, a record may take 128 MB; store crops as jpeg or sample "
                        "fewer frames")
    writer, rows, ready = FileWriter(str(path), 1, overwrite=True), [], False
    writer.set_header_size(1 << 20)
    writer.set_page_size(page)
    for position, clip_id, split, labels in clips:
        with np.load(work.clip(position), allow_pickle=False) as stored:
            rows.append({"id": clip_id, "split": split, **json.loads(stored["row"].tobytes())})
            record = {name: stored[name] for name in fields}
        record["labels"] = np.asarray(labels, np.float32)
        if not ready:
            writer.add_schema({"id": {"type": "string"}, "split": {"type": "string"},
                               **{name: _field(value) for name, value in record.items()}}, "clips")
            writer.add_index(["id"])
            ready = True
        record = {name: value.tobytes() if value.dtype == np.uint8 else value for name, value in record.items()}
        writer.write_raw_data([{"id": clip_id, "split": split, **record}])
    writer.commit()
    return rows


def _field(value: np.ndarray) -> dict:
    if value.dtype == np.uint8:  # MindRecord has no array of bytes
        return {"type": "bytes"}
    return {"type": "float32", "shape": list(value.shape)}
