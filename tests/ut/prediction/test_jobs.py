# SPDX-License-Identifier: Apache-2.0
"""From paths of every kind, pairs and clips to jobs."""

from pathlib import Path

import pytest

from mindface_eri.errors import DataError
from mindface_eri.prediction.jobs import Job, as_jobs, find_jobs


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
    assert (Job("x").source, Job("x").separate_sound) == (None, None)


def test_jobs_of_paths_pairs_and_clips(make_clip):
    clip, job = make_clip(), Job("mine", Path("x"))
    found = as_jobs(iter(["a/v.mp4", Path("w.mov"), ("v.mp4", "s.wav"), (Path("u.mp4"), None), (None, "s.wav"), clip,
                          job]))
    assert found[:5] == [Job("v", Path("a/v.mp4")), Job("w", Path("w.mov")), Job("v", Path("v.mp4"), Path("s.wav")),
                         Job("u", Path("u.mp4")), Job("s", None, Path("s.wav"))]
    assert found[5].name == "clip-00005" and found[5].clip is clip and found[5].source is None
    assert found[6] is job and as_jobs([]) == []


def test_one_clip_is_no_list(make_clip):
    for one, said in (("clip.mp4", "clip.mp4: one clip"), (Path("clip.mp4"), "clip.mp4: one clip"),
                      (make_clip(), "Clip: one clip"), (Job("x"), "Job: one clip")):
        with pytest.raises(DataError, match=f"^{said}, where several are expected; put it into a list"):
            as_jobs(one)


def test_paths_of_every_kind(tmp_path):
    for name in ("a.mp4", "b.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "list.csv").write_text("id,path\n1,b.mp4\n")
    (tmp_path / "plain.csv").write_text("a.mp4\nb.mp4\n")
    assert names(tmp_path) == names(tmp_path / "?.mp4") == names(tmp_path / "plain.csv", tmp_path / "a.mp4") == [
        "a", "b"]
    assert names(tmp_path / "list.csv") == ["b"]
    with pytest.raises(DataError, match="matches no file"):
        find_jobs([tmp_path / "*.mkv"])
    (tmp_path / "list.csv").write_text("path\nc.mp4\n")
    with pytest.raises(DataError, match="'c.mp4' is no file"):
        find_jobs([tmp_path / "list.csv"])


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


def test_globs_into_loops_of_links_end(files):
    for folder in (files, files / "sub"):
        (folder / "again").symlink_to(files, target_is_directory=True)
        (folder / "and again").symlink_to(files / "sub", target_is_directory=True)
    assert sorted(names(f"{files}/**/*.mp4")) == ["a", "b", "c", "d", "e"]
    assert sorted(names(f"{files}/s*/**")) == ["a", "b", "c", "d", "e"] and names(f"{files}/**/e.*") == ["e"]
    assert sorted(names(files)) == ["a", "b", "c", "d", "e"]


def test_names_are_composed(tmp_path):
    (tmp_path / "e\u0301.mp4").touch()
    assert names(tmp_path) == [as_jobs([tmp_path / "e\u0301.mp4"])[0].name] == ["\u00e9"]
