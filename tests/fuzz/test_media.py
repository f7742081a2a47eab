# SPDX-License-Identifier: Apache-2.0
"""Whatever lies in a media file, each clip ends in the records or with a reason, and in a row of `predict`."""

import collections
import csv
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from media_cases import MediaCases
from toy_model import MODEL, write_model

from mindface_eri.datasets.records import open_records

BATCH = 250  # files in one folder
LIMIT = 60  # seconds for one clip; of the processor where those of the clock are over
MEMORY = 1 << 21  # KiB that a process may take

pytestmark = pytest.mark.slow


def command(*words, timeout):
    """Runs `mindface-eri`; its exit status and what it said, which is never a traceback."""
    process = subprocess.Popen([sys.executable, "-m", "mindface_eri.cli", *map(str, words)], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env={**os.environ, "PYTHONIOENCODING": "utf-8:replace"})
    try:
        said = process.communicate(timeout=timeout)[0].decode("utf-8", "replace")
    finally:
        process.kill()
    assert process.returncode in (0, 1), said[-3000:]
    assert "Traceback" not in said, said[-3000:]
    return process.returncode, said


def peak_memory():
    """KiB that the largest process so far has taken."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


@pytest.fixture(scope="module")
def material(tmp_path_factory, seed):
    """The maker of cases, and a model."""
    folder = tmp_path_factory.mktemp("material")
    return MediaCases(folder / "base", seed), write_model(folder)


def processor_seconds():
    """Of all processes so far that ended below this one."""
    spent = os.times()
    return spent.children_user + spent.children_system


def only_starved(path, folder, model):
    """Whether a clip that was given up by the clock is done in LIMIT processor seconds when it has the time."""
    alone = folder / "alone"
    alone.mkdir(parents=True)
    shutil.copy(path, alone)
    begun = processor_seconds()
    found = preprocessed(alone, folder / "records", model, limit=10 * LIMIT)
    spent = processor_seconds() - begun
    return not any(what and what[0] == "timeout" for what in found.values()) and spent < LIMIT


def preprocessed(folder, out, model, limit=LIMIT):
    """{id: None where it is in the records, else (stage, reason)} as preprocessing leaves it."""
    status, said = command("preprocess", folder, out, "--config", model.with_name("recipe.yaml"), "--workers", 2,
                           "--clip-limit", limit, timeout=3600)
    assert (out / "failures.csv").exists(), said
    with open(out / "failures.csv", newline="", encoding="utf-8") as stream:
        found = {row["id"]: (row["stage"], row["reason"]) for row in csv.DictReader(stream)}
    records = open_records(out)
    assert status == (1 if found else 0), said
    count = 0
    for clip_id, record in zip(records.ids(), records.read(records.ids())):
        assert record["present"].any() and all(map(math.isfinite, record["mfcc"].ravel().tolist()))
        assert clip_id not in found
        found[clip_id], count = None, count + 1
    assert count == len(records)
    assert not (out / "work").exists() and not list(out.rglob("*.tmp*")), "temporary files are left"
    return found


def predicted(folder, answers, model):
    """{id: None where it has intensities, else the reason} as `predict` answers."""
    status, said = command("predict", folder, "--model", model, "--whole", "--out", answers, timeout=3600)
    rows = json.loads(answers.read_text(encoding="utf-8"))
    found = {row["File_ID"]: row.get("error") for row in rows}
    assert len(found) == len(rows)
    assert status == (1 if any(found.values()) else 0), said
    for row in rows:
        assert row.get("error") or all(0 <= row[name] <= 1 for name in MODEL.emotions), row
    return found


def judge(case, clip_id, stored, answered):
    """What is wrong with the outcome of a case; "" where nothing is."""
    if clip_id not in stored or clip_id not in answered:
        return "lost"
    stage, reason = stored[clip_id] or ("", "")
    if stage not in ("", "media"):
        return f"{stage}: {reason}"
    if bool(stage) != bool(answered[clip_id]):
        return f"preprocess says {stored[clip_id]}, predict says {answered[clip_id]}"
    if case.whole and stage:
        return f"a whole clip failed: {reason}"
    return ""


def test_damaged_media(material, cases, tmp_path):
    maker, model = material
    outcomes, faults = collections.Counter(), []
    for first in range(0, cases, BATCH):
        folder = tmp_path / f"media{first}"
        folder.mkdir()
        batch = [maker.write(number, folder) for number in range(first, min(first + BATCH, cases))]
        stored = preprocessed(folder, tmp_path / f"records{first}", model)
        answered = predicted(folder, tmp_path / f"answers{first}.json", model)
        assert len(stored) == len(answered) == len(batch)
        ids = {clip_id[-5:]: clip_id for clip_id in stored}
        for case in batch:
            clip_id = ids.get(f"{case.number:05d}")
            late = clip_id and stored[clip_id] and stored[clip_id][0] == "timeout"
            if late and only_starved(case.path, tmp_path / f"late{case.number}", model):
                outcomes["starved, good alone"] += 1
                continue
            fault = judge(case, clip_id, stored, answered)
            outcomes["fault" if fault else "failed with a reason" if stored[clip_id] else "came through"] += 1
            if fault:
                faults.append(f"case {case.number} ({case.kind}, {case.path.name!r}): {fault}")
                if os.environ.get("ERI_FUZZ_KEEP"):
                    shutil.copy(case.path, Path(os.environ["ERI_FUZZ_KEEP"]))
        shutil.rmtree(folder)
    print(f"\n{cases} media files: {dict(outcomes)}, at most {peak_memory() >> 10} MiB in a process")
    assert not faults, "\n".join(faults)
    assert outcomes["came through"] > cases / 5 and outcomes["failed with a reason"] > cases / 20
    assert peak_memory() < MEMORY
