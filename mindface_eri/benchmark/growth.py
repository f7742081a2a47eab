# SPDX-License-Identifier: Apache-2.0
"""Cost per clip and memory as a corpus grows: both must stay flat. Every size runs in processes of its own.

A note gives what the whole command took, start and compilation included, over all its processes.

Run as `python -m mindface_eri.benchmark.growth RECORDS` this file reads two epochs and prints the second one's seconds.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Optional, Sequence

from mindface_eri.benchmark.harness import Row, Timing
from mindface_eri.benchmark.processes import Finished, run_module
from mindface_eri.config import Config, FaceConfig, ModelConfig, PreprocessConfig, TrainConfig, save_config
from mindface_eri.errors import DataError
from mindface_eri.threads import cores

# As cheap a clip and network as there can be: what grows is the number of clips.
TINY = Config(
    preprocess=PreprocessConfig(frames=4, face=FaceConfig(size=32)),
    model=ModelConfig(name="eri_visual", temporal="plain", frames=4, crop_size=32, stem_width=8, spatial_depth=1,
                      width=16, temporal_depth=1),
    train=TrainConfig(epochs=3, batch_size=16))


def benchmark_growth(sizes: Sequence[int] = (50, 500, 2000), corpus: Optional[os.PathLike] = None, *,
                     workers: int = cores(), config: Config = TINY) -> List[Row]:
    """Rows for preprocess, data and train at each size, seconds a clip; the note gives the peak memory.

    Args:
        sizes: numbers of clips.
        corpus: generated corpus with at least the largest number of clips; None draws one of clips of half a second.

    Raises:
        DataError: `corpus` has too few clips.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        corpus = Path(corpus) if corpus is not None else _drawn(root / "corpus", max(sizes), workers)
        rows: List[Row] = []
        for size in sizes:
            rows += _at_size(subset(corpus, root / f"corpus-{size}", size), root / str(size), size, workers, config)
    return sorted(rows, key=lambda one: one.what.split(",")[0] != "preprocess")


def _at_size(corpus: Path, out: Path, size: int, workers: int, config: Config) -> List[Row]:
    out.mkdir()
    save_config(config, out / "recipe.yaml")
    recipe = ("--config", out / "recipe.yaml")
    taken = run_module("mindface_eri.cli", "preprocess", corpus, out / "records", *recipe, "--workers", workers)
    read = run_module("mindface_eri.benchmark.growth", out / "records")
    trained = run_module("mindface_eri.cli", "train", *recipe, "--data", out / "records", "--out", out / "run")
    epochs = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    rate = max(epoch["samples_per_second"] for epoch in epochs[1:])
    return [_row("preprocess", size, taken.seconds / size, taken),
            _row("data, one epoch", size, float(read.output.split()[-1]) / size, read),
            _row("train, one epoch", size, 1 / rate, trained)]


def _row(what: str, size: int, seconds: float, process: Finished) -> Row:
    return Row(f"{what}, a clip of {size:,}", Timing((seconds,)),
               note=f"the command: {process.processor:.1f} s of processor, peak {process.peak / 2**20:,.0f} MiB")


def _drawn(folder: Path, clips: int, workers: int) -> Path:
    from mindface_eri.synthetic.corpus import synthesize

    synthesize(folder, clips=clips, duration=(0.5, 0.6), fps=(10, 10), size=(160, 120), workers=workers, progress=False)
    return folder


def subset(corpus: Path, out: Path, size: int) -> Path:
    """A corpus of `size` clips spread evenly over another one's; media are linked, not copied."""
    with open(corpus / "data_info.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    if len(rows) < size:
        raise DataError(f"{corpus} has {len(rows)} clips, need {size}; generate more (mindface-eri synthesize)")
    out.mkdir()
    for split in ("train", "val", "test"):
        (out / split).symlink_to((corpus / split).resolve(), target_is_directory=True)
    with open(out / "data_info.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *(rows[number * len(rows) // size] for number in range(size))])
    return out


def read_epochs(records: Path, epochs: int = 2) -> float:
    """Seconds of the last of `epochs` passes over all clips; the first ones fill the caches."""
    from mindface_eri.datasets.pipeline import create_dataset
    from mindface_eri.datasets.records import open_records

    opened, seconds = open_records(records), 0.0
    for _ in range(epochs):
        start = time.perf_counter()
        dataset = create_dataset(opened, ids=opened.ids(), batch_size=16, shuffle=True)
        for _ in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True):
            pass
        seconds = time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    print(read_epochs(Path(sys.argv[1])))
