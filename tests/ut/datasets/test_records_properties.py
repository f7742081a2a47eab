# SPDX-License-Identifier: Apache-2.0
"""Whatever a corpus holds comes back out of its records, whichever shards wrote it and wherever they were stopped."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.constants import SPLITS
from mindface_eri.datasets.build.plan import make_plan
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.datasets.build.summary import COLUMNS
from mindface_eri.datasets.labels import ClipEntry, Manifest
from mindface_eri.datasets.media import one_name
from mindface_eri.datasets.parts import ARRAYS, Work, save_clip, save_failure
from mindface_eri.datasets.records import open_records

LETTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\:")
NAMES = st.text(LETTERS, min_size=1, max_size=12).map(one_name).filter(
    lambda name: name.strip() == name and name not in (".", ".."))
HOSTILE = ("=1+1", "<b>&amp;", 'a,"b"', "'; DROP TABLE", "-rf", "%s{0}$HOME", "\u202eevil", "名前", "x" * 120)
IDS = NAMES | st.sampled_from(HOSTILE)
VALUES = st.just(float("nan")) | st.floats(0, 1, width=32)


@st.composite
def corpora(draw):
    """(configuration, manifest, what of each clip is present or None where it failed, number of shards)."""
    config = PreprocessConfig(frames=draw(st.integers(1, 5)), storage="raw",
                              face=FaceConfig(size=draw(st.sampled_from((32, 40)))),
                              audio=AudioConfig(coefficients=draw(st.integers(1, 5)), stack=draw(st.integers(1, 3))))
    emotions = tuple(f"emotion {number}" for number in range(draw(st.integers(1, 9))))
    ids = draw(st.lists(IDS, min_size=1, max_size=9, unique=True))
    clips = tuple(ClipEntry(clip_id, draw(st.sampled_from(SPLITS)), tuple(draw(VALUES) for _ in emotions),
                            video=Path("x.mp4"), extra={"Country": draw(IDS)}) for clip_id in ids)
    present = [draw(st.sampled_from(((1, 1), (1, 0), (0, 1), None))) for _ in clips]
    return config, Manifest(emotions, clips, ("Country",)), present, draw(st.integers(1, 3))


def arrays_of(number, config, present):
    """A clip's arrays; those of an absent modality are zeros."""
    rng = np.random.default_rng(number)
    count, size = config.frames, config.face.size
    return {"frames": rng.integers(0, 256, (count, size, size, 3), np.uint8) * np.uint8(present[0]),
            "mfcc": rng.normal(0, 50, (count, config.audio.features)).astype(np.float32) * present[1],
            "present": np.float32(present), "timestamps": rng.random(count, np.float32),
            "boxes": rng.random((count, 4), np.float32), "detected": np.full(count, number % 4, np.uint8),
            "landmarks": rng.normal(90, 20, (count, 68, 2)).astype(np.float32) * present[0]}


def store(out, config, manifest, present, shards):
    """What workers leave in `out`: small files, packed by each shard in its turn. The last shard's summary."""
    plan = make_plan(out, manifest, config, resume=True, num_shards=shards)
    for position, state in enumerate(present):
        work = Work(out, plan.block_of(position))
        work.folder.mkdir(parents=True, exist_ok=True)
        if state is None:
            save_failure(work.failure(position), "media", "no picture, 'no' \"sound\", <b>")
        else:
            row = {**dict.fromkeys(COLUMNS, "0"), "present_acoustic": state[1], "content_hash": f"{position:x}"}
            save_clip(work.clip(position), arrays_of(position, config, state), row)
    for shard in range(shards):
        summary = preprocess_dataset(None, out, config, manifest=manifest, resume=True, num_shards=shards,
                                     shard_index=shard, progress=False)
        assert summary.complete == (shard == shards - 1) or shards > plan.blocks
    return summary


def check_round_trip(corpus):
    """Stores a corpus, reads it, and stores it again as another number of shards."""
    config, manifest, present, shards = corpus
    kept = [number for number, state in enumerate(present) if state is not None]
    with tempfile.TemporaryDirectory() as folder:
        summary = store(Path(folder, "out"), config, manifest, present, shards)
        records = open_records(Path(folder, "out"))
        clips = [manifest.clips[number] for number in kept]
        assert [(row["id"], row["split"], row["Country"]) for row in records.table] == [
            (clip.id, clip.split, clip.extra["Country"]) for clip in clips]
        assert (summary.total, len(records)) == (len(manifest), len(kept)) or shards > 1
        np.testing.assert_array_equal(records.all_labels, manifest.labels()[kept])
        if kept:
            ids = records.ids()[::-1]
            for number, record in zip(kept[::-1], records.read(ids, (*ARRAYS, "labels"))):
                for name, expected in arrays_of(number, config, present[number]).items():
                    np.testing.assert_array_equal(record[name], expected, err_msg=name)
                np.testing.assert_array_equal(record["labels"], manifest.labels()[number])
        heard = [arrays_of(number, config, present[number])["mfcc"] for number in kept
                 if present[number][1] and manifest.clips[number].split == "train"]
        stacks = np.concatenate(heard).astype(np.float64) if heard else np.zeros((1, config.audio.features))
        np.testing.assert_allclose(records.mfcc_mean, stacks.mean(axis=0), rtol=1e-5, atol=1e-5)
        again = store(Path(folder, "again"), config, manifest, present, shards % 3 + 1)
        assert again.hash == summary.hash == records.hash


@settings(max_examples=8, deadline=None, derandomize=True)
@given(corpora())
def test_what_is_stored_comes_back(corpus):
    check_round_trip(corpus)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(corpora())
def test_what_is_stored_comes_back_many_times(corpus):
    check_round_trip(corpus)
