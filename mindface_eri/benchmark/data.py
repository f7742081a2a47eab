# SPDX-License-Identifier: Apache-2.0
"""Stored clips to batches in memory: our MindData pipeline beside torch's DataLoader, workers alike."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from mindface_eri.benchmark.harness import Row, Timing, find_torch, in_turns, row
from mindface_eri.config import PreprocessConfig, RuntimeConfig
from mindface_eri.datasets.reading import read_rows
from mindface_eri.datasets.records import Records, open_records
from mindface_eri.errors import DataError
from mindface_eri.threads import cores

COLUMNS = ("frames", "mfcc", "present", "labels")


def benchmark_data(records: Sequence[Any] = (), *, clips: int = 256, batch_size: int = 16, workers: int = cores(),
                   repeats: int = 3, config: Optional[PreprocessConfig] = None) -> List[Row]:
    """One epoch in which every batch is made and thrown away; a row for each reader of the yardstick.

    Args:
        records: folders of records; without any, `clips` clips are drawn and preprocessed, with JPEG and with raw
            storage.
        clips: of an epoch; where fewer are stored they repeat.
    """
    from mindface_eri.device.context import setup

    setup(RuntimeConfig())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, source in enumerate(records or _drawn_records(root, config or PreprocessConfig(), clips, workers)):
            stored = open_records(source)
            rows += _beside_torch(stored, root / f"files-{number}", clips, batch_size, workers, repeats)
    return rows


def _beside_torch(stored: Records, files: Path, clips: int, batch_size: int, workers: int, repeats: int) -> List[Row]:
    calls: Dict[str, Callable] = {"ours": lambda: _epoch(stored, clips, batch_size, workers)}
    loaders = _torch_epochs(stored, files, clips, batch_size, workers)
    calls.update(loaders)
    calls["limit"] = lambda: _copy(stored.preprocess, clips, batch_size)
    times, seen = in_turns(calls, repeats)
    if any(count != clips for count in seen.values()):
        raise DataError(f"{stored.path}: an epoch of {clips} clips gave {seen}")
    what = f"{stored.preprocess.storage} records, epoch of {clips} clips, batch {batch_size}, {workers} workers"
    return [_row(what, name, times, clips) for name in loaders or ("",)]


def _row(what: str, name: str, times: Dict[str, Timing], clips: int) -> Row:
    chosen = {"ours": times["ours"], "limit": times["limit"], **({"theirs": times[name]} if name else {})}
    rates = f"{clips / times['ours'].median:.0f} clips/s" + (
        f" against {clips / times[name].median:.0f}" if name else "")
    return row(what, chosen, yardstick=f"torch's DataLoader, {name}", limit="memory copy", note=rates)


def _epoch(records: Records, clips: int, batch_size: int, workers: int) -> int:
    from mindface_eri.datasets.pipeline import create_dataset

    ids = np.resize(np.array(records.ids()), clips).tolist()
    dataset = create_dataset(records, ids=ids, batch_size=batch_size, columns=COLUMNS, shuffle=False, workers=workers)
    return sum(len(batch[0]) for batch in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True))


def _torch_epochs(records: Records, folder: Path, clips: int, batch_size: int, workers: int) -> Dict[str, Callable]:
    """For each reader a call that reads the clips once through torch's DataLoader."""
    if find_torch() is None:
        return {}
    from mindface_eri.benchmark.torch_data import READERS, ClipFiles, make_loader

    folder.mkdir()
    storage, shape = records.preprocess.storage, (records.preprocess.frames, *[records.preprocess.face.size] * 2, 3)
    for number, stored in enumerate(read_rows(records.files, COLUMNS, range(len(records)))):
        frames = stored.pop("frames")
        if storage == "raw":
            np.save(folder / f"{number}.npy", frames.reshape(shape))
        else:
            (folder / f"{number}.jpg").write_bytes(frames.tobytes())
        np.savez(folder / f"{number}.npz", **stored)
    loaders = {reader: make_loader(ClipFiles(folder, len(records), clips, records.preprocess.frames, reader),
                                   batch_size, workers) for reader in READERS[storage]}
    return {reader: (lambda loader=loader: sum(len(batch[0]) for batch in loader))
            for reader, loader in loaders.items()}


def _copy(preprocess: PreprocessConfig, clips: int, batch_size: int) -> int:
    """Copies as many bytes as the epoch's crops have, batch by batch."""
    size = preprocess.face.size
    batch = np.ones((batch_size, preprocess.frames, size, size, 3), np.uint8)
    target = np.empty_like(batch)
    for start in range(0, clips, batch_size):
        count = min(batch_size, clips - start)
        target[:count] = batch[:count]
    return clips


def _drawn_records(folder: Path, config: PreprocessConfig, clips: int, workers: int) -> List[Path]:
    from mindface_eri.datasets.build.preprocessing import preprocess_dataset
    from mindface_eri.synthetic.corpus import synthesize

    synthesize(folder / "corpus", clips=clips, duration=(1.0, 1.0), fps=(10, 10), workers=workers, progress=False)
    for storage in ("jpeg", "raw"):
        preprocess_dataset(folder / "corpus", folder / storage, replace(config, storage=storage), workers=workers,
                           progress=False)
    return [folder / "jpeg", folder / "raw"]
