# SPDX-License-Identifier: Apache-2.0
"""A run of preprocessing taken up again: what is repeated, what is not, what is cleared away, what the summary says."""

import csv
import json
import logging
import multiprocessing
import os
import shutil
import time

import numpy as np
import pytest

from mindface_eri.config import PreprocessConfig
from mindface_eri.datasets.build import preprocessing
from mindface_eri.datasets.build.preprocessing import PreprocessResult, preprocess_dataset
from mindface_eri.datasets.labels import load_manifest
from mindface_eri.datasets.parts import Work, read_part
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import DataError
from mindface_eri.threads import cores


class Pool:
    """Stands for the worker processes: extracts here, in the order asked, and notes what it was asked."""

    elsewhere = False

    def __init__(self, workers, target, settings, limit):
        self.made, self.tasks, self.closed = (workers, *settings, limit), [], 0
        assert target == "mindface_eri.datasets.build.extraction:run_task"
        Pool.last = self

    def __call__(self, task):
        from fake_extractor import extract

        from mindface_eri.datasets.build.extraction import extract_to_file

        self.tasks.append(task)
        return extract_to_file(extract, self.made[2], {**task, "preview": None})

    def close(self):
        self.closed += 1


@pytest.fixture
def run(tmp_path, tiny, extractor, monkeypatch):
    """Preprocesses tmp_path/data into tmp_path/out; (summary, ids of the clips that were extracted)."""
    monkeypatch.setattr(preprocessing, "WorkerPool", Pool)

    def preprocess(**options):
        Pool.last = None
        summary = preprocess_dataset(tmp_path / "data", options.pop("out", tmp_path / "out"), tiny, extractor=extractor,
                                     **{"progress": False, "workers": 1, "resume": True, **options})
        assert Pool.last.closed == (1 if summary else 0)
        return summary, [task["id"] for task in Pool.last.tasks]
    return preprocess


def failures(out):
    with open(out / "failures.csv", newline="") as stream:
        return [tuple(row.values()) for row in csv.DictReader(stream)]


def test_a_summary_counts_what_was_done(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", [0, "media", None, 3, 4])
    first, extracted = run()
    assert extracted == ["00000", "00001", "00003", "00004"], "there is nothing to extract of one"
    assert first == PreprocessResult(tmp_path / "out", 5, 3, 2, 0, first.seconds, True,
                                      open_records(tmp_path / "out").hash)
    assert 0 < first.seconds < 60
    again, extracted = run()
    assert (again.total, again.done, again.failed, again.reused, extracted) == (5, 3, 2, 5, [])
    assert failures(tmp_path / "out") == [
        ("00001", "train", "media", f"{tmp_path}/data/train/mp4/00001.mp4: no picture, no sound"),
        ("00002", "train", "missing", "no media file of this id was found below the label table")]


def test_failures_stay_failures_until_their_files_change(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", ["media", 1, "odd", "dependency", 4])
    with pytest.raises(DataError, match="preprocessing stopped: faces need dlib.*; after mending that, go on with"):
        run()
    assert Pool.last.closed == 1 and not (tmp_path / "out/dataset.json").exists()
    corpus_writer(tmp_path / "data", ["media", 1, "odd", 3, 4])
    os.utime(tmp_path / "data/train/mp4/00000.mp4", (1, 1))  # as a copy would
    summary, extracted = run()
    assert extracted in (["00003", "00004"], ["00003"]), "clips in flight are finished"
    assert (summary.done, summary.failed, summary.reused) == (3, 2, 5 - len(extracted))
    assert [row[0] for row in failures(tmp_path / "out")] == ["00000", "00002"]
    corpus_writer(tmp_path / "data", ["media", 1, 2, 3, 4])  # mended meanwhile
    summary, extracted = run()
    assert extracted == ["00002"] and (summary.done, summary.failed) == (4, 1)


@pytest.mark.parametrize("packed", [True, False])
def test_clips_that_have_changed_are_read_again_and_nothing_else(run, tmp_path, corpus_writer, packed, caplog):
    seeds = ["media", 11, None, 13, 14, 15, 16, 17]
    corpus_writer(tmp_path / "data", seeds)
    if packed:
        run()
    else:
        corpus_writer(tmp_path / "data", [*seeds[:7], "dependency"])
        with pytest.raises(DataError, match="stopped"):
            run()
    seeds[0], seeds[1], seeds[2], seeds[3], seeds[7] = 10, 21, 12, 130, 17
    corpus_writer(tmp_path / "data", seeds)  # mended, another of the same size, come, another size
    gone, heard = (next((tmp_path / "data").glob(f"*/mp4/{name}.mp4")) for name in ("00004", "00006"))
    gone.unlink()
    sound = heard.parents[1] / "wav/00006.wav"
    sound.parent.mkdir(exist_ok=True)
    sound.write_text("16")
    with caplog.at_level(logging.WARNING):
        summary, extracted = run()
    assert set(extracted) - {"00007"} == {"00000", "00001", "00002", "00003", "00006"}
    assert "5 clips have changed since they were read and are read again (first 00000)" in caplog.text
    gone.write_text("14")
    anew, _ = run(out=tmp_path / "anew")
    assert summary.hash == anew.hash and (summary.done, summary.failed) == (8, 0)
    for name in ("labels", "mfcc_mean", "mfcc_std"):
        np.testing.assert_array_equal(*(np.load(tmp_path / out / "arrays.npz")[name] for out in ("out", "anew")))
    records = [open_records(tmp_path / name) for name in ("out", "anew")]
    for one, other in zip(*(found.read(found.ids()) for found in records)):
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key])


def test_the_same_size_and_time_hide_a_change_from_all_but_verify(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", range(5))
    path = tmp_path / "data/train/mp4/00001.mp4"
    before = path.stat()
    first, _ = run()
    path.write_text("7")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run()[1] == [] and run(verify=True)[1] == ["00001"] and run(verify=True)[1] == []
    assert open_records(tmp_path / "out").hash != first.hash


def test_records_of_before_marks_were_taken_stand(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", range(3))
    run()
    path = tmp_path / "out/records/part-00000.json"
    part = json.loads(path.read_text())
    for row in part["rows"]:
        del row["source"]
    path.write_text(json.dumps(part))
    corpus_writer(tmp_path / "data", [5, 6, 7])
    assert run()[1] == []


def test_a_clip_that_is_written_to_while_it_is_read_is_read_once_more(run, tmp_path, corpus_writer, monkeypatch):
    import fake_extractor

    media = tmp_path / "data/train/mp4/00001.mp4"
    extract = fake_extractor.extract

    def slowly(path, *words, **more):
        if path == str(media):
            media.write_text("8" if media.read_text() == "1" else "9")
        return extract(path, *words, **more)

    corpus_writer(tmp_path / "data", range(3))
    monkeypatch.setattr(fake_extractor, "extract", slowly)
    assert run()[0].failed == 1
    assert failures(tmp_path / "out")[0][2:] == (
        "changed", f"{media}: was written to while it was read; --resume reads it once more")
    monkeypatch.setattr(fake_extractor, "extract", extract)
    summary, extracted = run()
    assert extracted == ["00001"] and summary.failed == 0


def test_a_clip_whose_worker_was_killed_has_one_more_chance(run, tmp_path, corpus_writer, monkeypatch, caplog):
    corpus_writer(tmp_path / "data", range(4))
    extract = Pool.__call__
    replies = {"00000": ("failed", "killed", "by signal 9"), "00001": ("failed", "crash", "status 3"),
               "00002": ("failed", "killed", "by signal 15")}

    def without_files(self, task):
        return replies[task["id"]] if task["id"] in replies else extract(self, task)

    monkeypatch.setattr(Pool, "__call__", without_files)
    assert run()[0].failed == 3
    del replies["00002"]
    with caplog.at_level(logging.WARNING):
        summary, _ = run()
    assert "2 clips failed by what was done to their process, and are tried once more (first 00000)" in caplog.text
    assert [row[0] for row in failures(tmp_path / "out")] == ["00000", "00001"]
    replies.clear()
    again, extracted = run()
    assert extracted == [] and again.hash == summary.hash, "it was its own fault, then"


def test_a_folder_that_is_removed_meanwhile_is_not_made_anew(run, tmp_path, corpus_writer, monkeypatch):
    corpus_writer(tmp_path / "data", range(5))
    extract = Pool.__call__

    def removing(self, task):
        if task["id"] == "00002":
            shutil.rmtree(tmp_path / "out")
        return extract(self, task)

    monkeypatch.setattr(Pool, "__call__", removing)
    with pytest.raises(DataError, match="out: was removed, or emptied, while clips were read into it; begin anew"):
        run()
    assert not (tmp_path / "out").exists()


def test_each_clip_is_asked_for_with_its_files_and_its_place(run, tmp_path, corpus_writer, tiny):
    corpus_writer(tmp_path / "data", range(5))
    sound = tmp_path / "data/train/wav/00001.wav"
    sound.parent.mkdir()
    sound.touch()
    alone = tmp_path / "data/val/wav/00003.wav"
    alone.parent.mkdir()
    (tmp_path / "data/val/mp4/00003.mp4").rename(alone)
    (tmp_path / "out/preview").mkdir(parents=True)  # of an earlier run
    run(workers=2, preview=2, clip_limit=7.5)
    assert Pool.last.made == (2, "fake_extractor:extract", tiny, 7.5)
    out, media = tmp_path / "out", tmp_path / "data"
    tasks = {task["id"]: task for task in Pool.last.tasks}
    assert {name: (task["video"], task["audio"]) for name, task in tasks.items()} == {
        "00000": (f"{media}/train/mp4/00000.mp4", None), "00001": (f"{media}/train/mp4/00001.mp4", str(sound)),
        "00002": (f"{media}/train/mp4/00002.mp4", None), "00003": (None, str(alone)),
        "00004": (f"{media}/test/mp4/00004.mp4", None)}
    assert [task["preview"] for task in map(tasks.get, sorted(tasks))] == [
        f"{out}/preview/00000_00000.png", f"{out}/preview/00001_00001.png", None, None, None]
    assert tasks["00004"]["target"] == f"{out}/work/block-00000/000004.npz" and (out / "preview").is_dir()


def test_without_previews_there_is_no_folder_for_them(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", range(3))
    run()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "plan.json", "dataset.json", "arrays.npz", "clips.csv", "failures.csv", "records"}


def test_what_a_worker_says_of_a_clip_that_is_sound_is_a_warning(run, tmp_path, corpus_writer, monkeypatch, caplog):
    corpus_writer(tmp_path / "data", range(3))
    extract = Pool.__call__
    monkeypatch.setattr(Pool, "__call__", lambda self, task: (*extract(self, task)[:2], f"no sheet of {task['id']}"))
    with caplog.at_level(logging.WARNING):
        summary, _ = run()
    assert summary.done == 3 and "no sheet of 00002" in caplog.text


def test_an_error_of_ours_is_told_and_ends_the_run(run, tmp_path, corpus_writer, monkeypatch):
    corpus_writer(tmp_path / "data", range(3))
    monkeypatch.setattr(Pool, "__call__", lambda self, task: 1 / 0)
    with pytest.raises(DataError, match="preprocessing stopped: ZeroDivisionError: division by zero; after mending"):
        run()


def test_a_block_whose_clips_are_all_there_is_packed_without_extracting(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", range(40))  # blocks of 32 and 8
    first, _ = run()
    part = tmp_path / "out/records/part-00001.json"
    part.unlink()
    again, extracted = run()
    assert extracted == [f"{i:05d}" for i in range(32, 40)] and (again.reused, again.hash) == (32, first.hash)
    part.unlink()
    work, pool = Work(tmp_path / "out", 1), Pool.last
    work.folder.mkdir(parents=True)
    for position, task in zip(range(32, 40), pool.tasks):
        pool({**task, "target": str(work.clip(position))})
    again, extracted = run()
    assert extracted == [] and (again.reused, again.done, again.hash) == (40, 40, first.hash) and part.exists()


def test_the_mark_of_being_whole_goes_before_a_part_is_made_again(run, tmp_path, corpus_writer, monkeypatch):
    corpus_writer(tmp_path / "data", range(3))
    run()
    (tmp_path / "out/records/part-00000.json").unlink()
    whole = []
    extract = Pool.__call__
    monkeypatch.setattr(Pool, "__call__", lambda self, task: (
        whole.append((tmp_path / "out/dataset.json").exists()), extract(self, task))[1])
    run()
    assert whole == [False] * 3 and (tmp_path / "out/dataset.json").exists()


@pytest.mark.parametrize("shards, gone", [(1, True), (2, False)])
def test_what_killed_runs_left_is_cleared_by_who_is_alone(run, tmp_path, corpus_writer, shards, gone):
    corpus_writer(tmp_path / "data", range(3))
    run(num_shards=shards)
    left = [tmp_path / "out/.dataset.99999.0.tmp.json", tmp_path / "out/records/.part-00000.99999.1.tmp.json"]
    for path in left:
        path.touch()
    run(num_shards=shards)
    assert [path.exists() for path in left] == [not gone] * 2


def test_shares_of_three_runs_are_disjoint_and_complete(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", range(25))  # blocks of three clips
    done, states = {}, []
    for index in (1, 0, 2):
        summary, done[index] = run(num_shards=3, shard_index=index)
        states.append((summary.total, summary.done, summary.reused, summary.complete, summary.hash is None))
    assert states == [(9, 9, 0, False, True), (9, 9, 0, False, True), (7, 7, 0, True, False)]
    assert sorted(sum(done.values(), [])) == [f"{i:05d}" for i in range(25)]
    assert done[1] == [f"{i:05d}" for first in (3, 12, 21) for i in range(first, first + 3)]
    again, extracted = run(num_shards=3, shard_index=0, resume=False)
    assert extracted == [] and (again.reused, again.complete) == (9, True)
    with pytest.raises(DataError, match="shard index -1 is outside 0 to 2"):
        run(num_shards=3, shard_index=-1)


def test_a_manifest_may_be_given_instead_of_a_folder(run, tmp_path, corpus_writer, tiny):
    manifest = load_manifest(corpus_writer(tmp_path / "data", range(3)))
    summary = preprocess_dataset(None, tmp_path / "out", tiny, manifest=manifest, progress=False)
    assert summary.done == 3 and Pool.last.made[1] == preprocessing.DEFAULT_EXTRACTOR
    assert Pool.last.made[0] == cores() and Pool.last.made[3] == 3600.0
    summary = preprocess_dataset(tmp_path / "data", tmp_path / "defaults", extractor="fake_extractor:extract")
    assert summary.done == 3
    assert Pool.last.made[2] == open_records(tmp_path / "defaults").preprocess == PreprocessConfig()


@pytest.mark.parametrize("workers, cores, threads", [(1, 4, 1), (3, 2, 2), (2, 4, 2), (0, 4, 1)])
def test_as_many_clips_at_once_as_workers_and_cores(run, tmp_path, corpus_writer, monkeypatch, workers, cores, threads):
    if threads > os.cpu_count():
        pytest.skip("MindData refuses more threads than there are cores")
    corpus_writer(tmp_path / "data", range(6))
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: cores)
    extract, busy, most = Pool.__call__, [], []

    def slowly(self, task):
        busy.append(task)
        most.append(len(busy))
        time.sleep(0.03)
        busy.pop()
        return extract(self, task)

    monkeypatch.setattr(Pool, "__call__", slowly)
    assert run(workers=workers)[0].done == 6 and max(most) == threads


def test_progress_is_shown_where_asked_and_begins_where_the_last_run_ended(run, tmp_path, corpus_writer, capfd):
    corpus_writer(tmp_path / "data", ["media", "odd", 2])
    run(progress=True)
    shown = capfd.readouterr().err
    assert "preprocess: 100%" in shown and "3/3" in shown and "2 failed" in shown
    run(progress=True)
    shown = capfd.readouterr().err
    assert "3/3" in shown and "failed" not in shown
    run(progress=False)
    assert "preprocess" not in capfd.readouterr().err
    (tmp_path / "data" / "data_info.csv").write_text("File_ID,Split,Joy\n0,Train,1\n")
    with pytest.raises(DataError, match=r"another label table \(3 clips, now 1"):
        run()


def test_parts_are_packed_as_soon_as_their_last_clip_is_there(run, tmp_path, corpus_writer, monkeypatch):
    corpus_writer(tmp_path / "data", [*range(39), "dependency"])
    with pytest.raises(DataError, match="stopped"):
        run()
    assert len(read_part(tmp_path / "out", 0)["rows"]) == 32 and read_part(tmp_path / "out", 1) is None
    assert sorted(os.listdir(tmp_path / "out/work")) == ["block-00001"]
    assert json.loads((tmp_path / "out/plan.json").read_text())["block_size"] == 32
