# SPDX-License-Identifier: Apache-2.0
"""Rows of many clips: their order, batches, timelines, failures, and who is told of each."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.constants import EMOTIONS
from mindface_eri.errors import DataError, ERIError, MediaError
from mindface_eri.prediction import analysis
from mindface_eri.prediction import jobs as predicting
from mindface_eri.prediction.jobs import Job, find_jobs, predict_jobs


@pytest.fixture()
def files(tmp_path):
    """a.mp4 to d.mp4, and a folder with e.mp4 below it."""
    for name in ("a", "b", "c", "d", "sub/e"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.mp4").write_bytes(b"x")
    return tmp_path


def names(*paths):
    return [job.name for job in find_jobs(paths)]


def test_a_job_has_a_source_and_perhaps_a_sound_of_its_own():
    picture, sound = Path("v.mp4"), Path("a.wav")
    assert (Job("x", picture, sound).source, Job("x", picture, sound).separate_sound) == (picture, sound)
    assert (Job("x", None, sound).source, Job("x", None, sound).separate_sound) == (sound, None)
    assert (Job("x", picture, None).source, Job("x", picture, None).separate_sound) == (picture, None)


def test_a_sound_file_beside_a_picture_belongs_to_it(files):
    (files / "b.wav").write_bytes(b"x")
    assert find_jobs([files / "b.mp4", files / "b.wav", files / "a.mp4"]) == [
        Job("b", files / "b.mp4", files / "b.wav"), Job("a", files / "a.mp4", None)]


def test_globs_are_sorted_and_reach_into_folders(files):
    assert names(files / "[b-d].mp4", str(files / "a.mp4")) == ["b", "c", "d", "a"]
    assert names(files / "**" / "*.mp4") == ["a", "b", "c", "d", "e"]
    (files / "x[1].mp4").write_bytes(b"x")  # a file that there is, is no pattern
    assert [job.video for job in find_jobs([files / "x[1].mp4"])] == [files / "x[1].mp4"]
    with pytest.raises(DataError, match=r"\?\?\.mp4: matches no file"):
        find_jobs([files / "??.mp4"])


@pytest.mark.parametrize("text, found", [
    ("id,Path\n1,b.mp4\n2,a.mp4\n", ["b", "a"]), ("file_id,video\nc,b.mp4\n", ["b"]), ("id,FILE\n1,c.mp4\n", ["c"]),
    ("id, filename \n1, c.mp4 \n", ["c"]), ("id,file_id\n1,d.mp4\n", ["d"]), ("\ufeffpath,x\nb.mp4,1\n", ["b"]),
    ("video,path\nx,b.mp4\n", ["b"]), ("b.mp4,1\n\n ,\nsub/e.mp4,2\n", ["b", "e"])])
def test_a_table_of_paths(files, text, found):
    (files / "list.CSV").write_text(text, encoding="utf-8")
    assert names(files / "list.CSV") == found


def test_tables_that_name_no_file(files, short_cells):
    table = files / "list.csv"
    for text, cell in (("id,path\n1\n", "''"), ("path\nsub\n", "'sub'"), ("path\n" + "n" * 400, "'" + "n" * 400 + "'"),
                       ("id,clip\n1,a.mp4\n", "'id'")):
        table.write_text(text)
        with pytest.raises(DataError) as error:
            find_jobs([table])
        assert f"{table}: {cell}" in str(error.value)
        assert f" is no file in {files}; the table needs a column `path`, or a path first in each" in str(error.value)
    table.write_bytes(b"path\n\xff\xfe.mp4\n")
    with pytest.raises(DataError, match=r"list\.csv: cannot be read as CSV \(.*utf-8"):
        find_jobs([table])
    with pytest.raises(DataError, match=r"no\.csv: cannot be read as CSV"):
        find_jobs([files / "no.csv"])
    table.write_text(f'path\n"{"x" * 1100}"\n')
    with pytest.raises(DataError, match=r"list\.csv: cannot be read as CSV \(field larger"):
        find_jobs([table])


class Counting:
    """Says how bright each clip is; keeps the size of each batch."""

    def __init__(self, predictor):
        self.emotions, self.preprocess, self.model, self.sizes = EMOTIONS, predictor.preprocess, predictor.model, []

    def predict_arrays(self, frames, mfcc, present):
        self.sizes.append(len(frames))
        assert mfcc.shape[1:] == (4, 16) and present.tolist() == [[1, 1]] * len(frames)
        return frames[:, 0, 0, 0, :1] / 255 + np.arange(7) / 100


@pytest.fixture()
def clips(monkeypatch, make_clip, predictor):
    """Files whose name says their brightness; `bad` cannot be read, `blind` has neither face nor sound."""
    def extract(path, config, audio_path=None):
        if Path(path).stem == "bad":
            raise MediaError("bad.mp4: broken")
        clip = make_clip(config.frames, sound=Path(path).stem != "blind", face=Path(path).stem != "blind")
        return clip if Path(path).stem in ("blind", "long") else type(clip)(
            **{**vars(clip), "frames": np.full_like(clip.frames, int(Path(path).stem))})

    def length(path):
        if Path(path).stem == "bad":
            raise MediaError("no time")
        return 48.0 if Path(path).stem == "long" else 30.0

    for place in (analysis, predicting):
        monkeypatch.setattr(place, "extract_clip", extract)
        monkeypatch.setattr(place, "duration_of", length)
    monkeypatch.setattr(analysis, "waveform_of", lambda *arguments, **more: np.ones(16000, np.float32))
    return Counting(predictor)


def jobs_of(*stems):
    return [Job(f"clip-{stem}", Path(f"{stem}.mp4"), None) for stem in stems]


@pytest.mark.parametrize("batch_size, sizes", [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (9, [5])])
def test_rows_stand_in_the_order_of_the_jobs_whatever_the_batches(clips, batch_size, sizes):
    told = []
    rows = predict_jobs(jobs_of(51, "bad", 102, 153, "blind", 204, 0), clips, batch_size=batch_size,
                        notify=lambda job, error: told.append((job.name, error or None)))
    assert clips.sizes == sizes
    assert [row["File_ID"] for row in rows] == [f"clip-{stem}" for stem in (51, "bad", 102, 153, "blind", 204, 0)]
    assert rows[0] == {"File_ID": "clip-51", **{name: pytest.approx(0.2 + e / 100) for e, name in enumerate(EMOTIONS)}}
    assert [row.get("Adoration") for row in rows] == [pytest.approx(x) if x is not None else None
                                                      for x in (0.2, None, 0.4, 0.6, None, 0.8, 0.0)]
    assert rows[1] == {"File_ID": "clip-bad", "error": "bad.mp4: broken"}
    assert rows[4]["error"].startswith("eri_dual_branch needs a face or")
    assert told == [(row["File_ID"], row.get("error")) for row in rows]


def test_long_videos_give_a_row_a_segment_among_the_others(clips):
    told = []
    rows = predict_jobs(jobs_of(51, "long", 0, "bad"), clips,
                        notify=lambda job, error: told.append((job.name, error or None)))
    assert [row["File_ID"] for row in rows] == ["clip-51", *["clip-long"] * (len(rows) - 3), "clip-0", "clip-bad"]
    assert rows[1]["start"] == 0.0 and len(rows) > 8
    assert all(row["end"] == after["start"] for row, after in zip(rows[1:-3], rows[2:-2]))
    assert sorted(told, key=str) == [("clip-0", None), ("clip-51", None), ("clip-bad", "bad.mp4: broken"),
                                     ("clip-long", None)]
    assert len(predict_jobs(jobs_of(51, "long"), clips, whole=True)) == 2
    for more in ({"window": 15.0}, {"hop": 6.0}):
        assert all("start" in row for row in predict_jobs(jobs_of(51), clips, **more))


def test_whoever_looks_on_gets_each_analysis_or_the_reason_for_none(clips, monkeypatch):
    seen, told, asked = [], [], []
    real = predicting.analyse
    monkeypatch.setattr(predicting, "analyse", lambda *args, **more: asked.append((args, more)) or real(*args, **more))

    def look(job, found):
        seen.append((job.name, found if isinstance(found, str) else (found.name, found.is_timeline)))

    jobs = [Job("one", Path("51.mp4"), Path("s.wav")), *jobs_of("bad", "blind")]
    rows = predict_jobs(jobs, clips, look=look, notify=lambda job, error: told.append((job.name, error or None)))
    assert seen[:2] == [("one", ("one", False)), ("clip-bad", "no time")]
    assert seen[2][1].startswith("blind.mp4: eri_dual_branch needs")
    assert told == [("one", None), ("clip-bad", "no time"), ("clip-blind", seen[2][1])]
    assert [row.get("error") for row in rows] == [None, "no time", seen[2][1]]
    assert rows[0]["Fear"] == pytest.approx(0.25)
    assert asked[0] == ((Path("51.mp4"), clips), {"name": "one", "audio_path": Path("s.wav"), "window": 0.0, "hop": 0.0,
                                                  "whole": False, "batch_size": 1, "attention": True})
    look.attention = False
    predict_jobs(jobs[:1], clips, look=look, window=12.0, hop=4.0, batch_size=3)
    assert asked[-1][1] == {"name": "one", "audio_path": Path("s.wav"), "window": 12.0, "hop": 4.0, "whole": False,
                            "batch_size": 3, "attention": False}
    predict_jobs(jobs[:1], clips, window=12.0)  # nobody looks: no attention is worked out
    assert asked[-1][1]["attention"] is False


@pytest.fixture()
def pools(monkeypatch):
    """Pools of threads in the place of those of processes, which take seconds to start."""
    made = []

    def pool(count, mp_context):
        made.append((count, mp_context.get_start_method()))
        return ThreadPoolExecutor(count)

    monkeypatch.setattr(predicting, "ProcessPoolExecutor", pool)
    return made


def test_workers_give_the_same_rows(clips, pools):
    jobs = jobs_of(51, "bad", 102, 153, "blind", 204, 0, 25, 76, 127)
    assert predict_jobs(jobs, clips, workers=2) == predict_jobs(jobs, clips)
    assert pools == [(2, "spawn")]
    predict_jobs(jobs[:2], clips, workers=8)
    assert pools[1:] == [(2, "spawn")]
    predict_jobs(jobs[:1], clips, workers=8)  # a lone clip needs no pool
    assert len(pools) == 2


def test_a_worker_that_died_is_said(clips, pools, monkeypatch):
    def die(path, config, audio_path=None):
        raise BrokenProcessPool

    monkeypatch.setattr(predicting, "extract_clip", die)
    with pytest.raises(ERIError, match=r"a worker process died \(out of memory\?\); run again with --workers 1"):
        predict_jobs(jobs_of(51, 102), clips, workers=2)


def test_only_a_few_clips_wait_in_memory(clips, monkeypatch):
    """Two workers have four clips on their way, and one more for each that is taken."""
    begun, told = [], []

    class Pool(ThreadPoolExecutor):
        def submit(self, function, job, config):
            begun.append(job.name)
            return super().submit(function, job, config)

    monkeypatch.setattr(predicting, "ProcessPoolExecutor", lambda count, mp_context: Pool(count))
    predict_jobs(jobs_of(*range(0, 140, 20)), clips, workers=2, notify=lambda job, error: told.append(len(begun)))
    assert told == [4, 5, 6, 7, 7, 7, 7]
    assert begun == [f"clip-{stem}" for stem in range(0, 140, 20)]
