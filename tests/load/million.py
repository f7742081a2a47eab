# SPDX-License-Identifier: Apache-2.0
"""Seconds and memory of planning, finishing, resuming, opening and beginning to read up to a million clips.

    python tests/load/million.py --clips 10000 100000 1000000 --folder /tmp/million

No clip is taken apart: media are empty files, and all parts of the records are one tiny part under many names. Each
step runs in a process of its own; what is printed is its processor time and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig

CONFIG = PreprocessConfig(frames=1, face=FaceConfig(size=32), audio=AudioConfig(coefficients=4, stack=1), storage="raw")
EMOTIONS = ("Joy", "Fear")
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256 of nothing
STEPS = ("plan", "finish", "resume", "open", "batches")


def split_of(number: int) -> str:
    """Of ten clips eight are for training."""
    return ("train", "val", "test")[max(0, number % 10 - 7)]


def write_corpus(root: Path, clips: int) -> None:
    """The table, and an empty file for each clip, a thousand in a folder."""
    root.mkdir(parents=True)
    with open(root / "data_info.csv", "w", encoding="utf-8") as table:
        table.write("File_ID,Split,Joy,Fear,Country\n")
        for number in range(clips):
            folder = root / "media" / f"{number // 1000:04d}"
            if number % 1000 == 0:
                folder.mkdir(parents=True)
            path = folder / f"{number:07d}.mp4"
            os.close(os.open(path, os.O_CREAT))
            os.utime(path, ns=(0, 0))
            table.write(f"[{number:07d}],{split_of(number)},{number % 97 / 97:.4f},{number % 89 / 89:.4f},C\n")


def write_parts(corpus: Path, out: Path) -> None:
    """All parts of the records: the first one is written, the others are links to it with an index of their own."""
    from mindface_eri.datasets.build.plan import make_plan
    from mindface_eri.datasets.build.summary import COLUMNS
    from mindface_eri.datasets.labels import load_manifest
    from mindface_eri.datasets.parts import Work, part_name, save_clip, write_part
    from mindface_eri.files import write_json

    plan = make_plan(out, load_manifest(corpus), CONFIG, resume=True, num_shards=1)
    row = {**dict.fromkeys(COLUMNS, "0"), "present_acoustic": 1, "present_visual": 1, "detector": "dlib",
           "quality": "face in 100% of frames", "source": {"video": [0, 0, EMPTY]}}
    arrays = {"frames": np.zeros(3072, np.uint8), "mfcc": np.ones((1, 4)), "present": np.ones(2),
              "timestamps": np.zeros(1), "boxes": np.zeros((1, 4)), "detected": np.ones(1),
              "landmarks": np.zeros((1, 68, 2))}
    work = Work(out, 0)
    work.folder.mkdir(exist_ok=True)
    for position in plan.positions(0):
        save_clip(work.clip(position), arrays, row)
    entries = plan.manifest.clips
    part = write_part(out, 0, [(p, entries[p].id, entries[p].split, entries[p].labels) for p in plan.positions(0)])
    first = out / "records" / part_name(0)
    for block in range(1, plan.blocks):
        name = out / "records" / part_name(block)
        os.link(first, name)
        shutil.copy(f"{first}.db", f"{name}.db")
        with sqlite3.connect(f"{name}.db") as index:
            index.execute("UPDATE SHARD_NAME SET NAME = ?", (name.name,))
        rows = [{**row, "id": entries[p].id, "split": entries[p].split, "content_hash": f"{p:064x}"}
                for p in plan.positions(block)]
        if len(rows) < plan.block_size:  # the last part has its own number of rows
            name.unlink()
            os.unlink(f"{name}.db")
            work = Work(out, block)
            work.folder.mkdir(exist_ok=True)
            for position in plan.positions(block):
                save_clip(work.clip(position), arrays, row)
            write_part(out, block, [(p, entries[p].id, entries[p].split, entries[p].labels)
                                    for p in plan.positions(block)])
            continue
        write_json(out / "records" / f"part-{block:05d}.json", {**part, "rows": rows})


def step(name: str, corpus: Path, out: Path) -> None:
    """One step, in this process."""
    if name == "plan":
        from mindface_eri.datasets.build.plan import make_plan
        from mindface_eri.datasets.build.preprocessing import _pending
        from mindface_eri.datasets.build.resume import take_back
        from mindface_eri.datasets.labels import load_manifest

        plan = make_plan(out.with_name("planned"), load_manifest(corpus), CONFIG, resume=True, num_shards=1)
        blocks = plan.shard(1, 0)
        take_back(plan, blocks, verify=False)
        assert len(list(_pending(plan, blocks))) == len(plan.manifest)
    elif name in ("finish", "resume"):
        from mindface_eri.datasets.build.preprocessing import preprocess_dataset

        assert preprocess_dataset(corpus, out, CONFIG, resume=True, progress=False).failed == 0
    else:
        from mindface_eri.datasets.pipeline import create_dataset
        from mindface_eri.datasets.records import open_records

        records = open_records(out)
        if name == "open":
            assert len(records.labels("train")) == records.splits["train"]
            return
        dataset = create_dataset(records, "train", batch_size=64, columns=("mfcc", "labels"))
        for number, _ in enumerate(dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)):
            if number == 50:
                break


def measure(name: str, corpus: Path, out: Path) -> dict:
    """Runs a step in a process of its own."""
    began = time.monotonic()
    command = [sys.executable, __file__, "--step", name, "--folder", str(corpus.parent)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {"step": name, "wall": round(time.monotonic() - began, 1), **json.loads(said.splitlines()[-1])}


def main() -> None:
    """Prints a line of JSON for each size and step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--folder", type=Path, required=True, help="is made, and removed again")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--keep", action="store_true", help="leave the folders, and use those that are there")
    arguments = parser.parse_args()
    if arguments.step:
        step(arguments.step, arguments.folder / "data", arguments.folder / "out")
        used = resource.getrusage(resource.RUSAGE_SELF)
        sys.stdout.flush()
        status = Path("/proc/self/status").read_text(encoding="utf-8")  # ru_maxrss begins with that of the parent
        peak = int(status.split("VmHWM:")[1].split()[0]) >> 10
        print(json.dumps({"seconds": round(used.ru_utime + used.ru_stime, 1), "peak_mib": peak}), flush=True)
        os._exit(0)
    for clips in arguments.clips:
        folder = arguments.folder / str(clips)
        corpus, out = folder / "data", folder / "out"
        if not corpus.exists():
            write_corpus(corpus, clips)
        shutil.rmtree(folder / "planned", ignore_errors=True)
        for name in arguments.steps:
            if name == "finish" and not (out / "records" / "part-00000.json").exists():
                write_parts(corpus, out)
            if name == "finish":
                (out / "dataset.json").unlink(missing_ok=True)
            print(json.dumps({"clips": clips, **measure(name, corpus, out)}), flush=True)
        if not arguments.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
