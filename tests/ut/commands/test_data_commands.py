# SPDX-License-Identifier: Apache-2.0
"""What the commands around data hand over, print and end with: add-features, preprocess, samples, submission."""

from pathlib import Path
from types import SimpleNamespace

import pytest

IMPORT = "mindface_eri.datasets.feature_import.add_features"
OPEN = "mindface_eri.datasets.records.open_records"
PREPROCESS = "mindface_eri.datasets.build.preprocessing.preprocess_dataset"


def imported(time_column="t", **counts):
    return SimpleNamespace(layout=SimpleNamespace(columns=("AU01", "AU02", "AU04"), unit="ms", time_column=time_column),
                           folder=Path("r/features/fau"), **{"present": 8, "missing": 0, "failed": 0, "strangers": 1,
                                                             **counts})


def test_feature_sets_are_added_to_the_opened_records(stand_in, status):
    opened, calls = stand_in(OPEN, "opened"), stand_in(IMPORT, imported())
    code, out, _ = status("add-features", "fau", "r")
    assert (code, opened[0]["path"]) == (0, Path("r"))
    assert {**calls[0], "progress": True} == {
        "source": Path("fau"), "records": "opened", "name": None, "unit": "auto", "method": "linear", "columns": [],
        "progress": True}
    assert out == ("3 columns (time in ms from 't') for 8 clips in r/features/fau; 0 have no file, 0 failed, 1 files "
                   "belong to no clip\n")
    status("add-features", "fau", "r", "--name", "n", "--columns", "AU*_r", "x", "--unit", "s", "--method", "nearest")
    told = {name: calls[1][name] for name in ("name", "unit", "method", "columns")}
    assert told == {"name": "n", "unit": "s", "method": "nearest", "columns": ["AU*_r", "x"]}


@pytest.mark.parametrize("counts, code, told", [({"missing": 2}, 0, "2 have no file, 0 failed"),
                                                ({"failed": 3}, 1, "0 have no file, 3 failed")])
def test_clips_without_features_are_counted_and_their_reasons_named(stand_in, status, counts, code, told):
    stand_in(OPEN), stand_in(IMPORT, imported(None, **counts))
    found, out, _ = status("add-features", "fau", "r")
    assert found == code and told in out and "3 columns (rows evenly over the clip)" in out
    assert out.endswith("\nreasons: r/features/fau/failures.csv\n")


def test_preprocessing_says_what_it_did_and_fails_with_a_clip(stand_in, status):
    stand_in(PREPROCESS, SimpleNamespace(done=5, reused=2, failed=0, seconds=61.26))
    assert status("preprocess", "d", "o")[:2] == (0, "5 clips in o (2 were there), 0 failed, 61.3 s\n")
    stand_in(PREPROCESS, SimpleNamespace(done=5, reused=2, failed=1, seconds=1))
    assert status("preprocess", "d", "o")[:2] == (
        1, "5 clips in o (2 were there), 1 failed, 1.0 s\nreasons: o/failures.csv\n")


def test_samples_are_named_with_their_attribution(stand_in, status, tmp_path):
    (tmp_path / "ATTRIBUTION.txt").write_text("\nCREMA-D, ODbL\n\n")
    calls = stand_in("mindface_eri.datasets.samples.fetch_samples", [Path("a.mp4"), Path("b.mp4")])
    assert status("samples", tmp_path)[:2] == (0, "a.mp4\nb.mp4\nCREMA-D, ODbL\n")
    assert (calls[0]["dest"], calls[0]["archive"]) == (tmp_path, None)
    status("samples", tmp_path, "--archive", "e.tar.gz")
    assert calls[1]["archive"] == Path("e.tar.gz")


def test_a_corpus_is_announced_as_drawn(stand_in, status):
    stand_in("mindface_eri.synthetic.corpus.synthesize")
    assert status("synthesize", "o", "--clips", "7")[1].startswith("7 clips of drawn people in o; ")


def test_a_corpus_of_portraits_is_announced_as_morphed(stand_in, status):
    stand_in("mindface_eri.synthetic.morph_corpus.synthesize_morphs", {"clips": 8, "people": 3, "note": "No films."})
    words = ("synthesize", "o", "--portraits", "p", "--emotion", "Smile")
    assert status(*words)[1] == "8 clips of 3 people in o. No films.\n"
    for words in (["--portraits", "p"], ["--emotion", "Smile"]):
        code, out, shown = status("synthesize", "o", *words)
        assert code == 2 and not out and "--portraits and --emotion belong together" in shown


def test_cached_features_and_figures_are_listed(stand_in, status):
    stand_in("mindface_eri.runner.features.extract_features", [Path("a.npy"), Path("b.npy")])
    assert status("extract-features", "r")[:2] == (0, "a.npy\nb.npy\n")
    stand_in("mindface_eri.report.run_figures.write_run_figures", ([Path("a.png")], ["no labels"]))
    assert status("figures", "r")[:2] == (0, "a.png\nleft out: no labels\n")
    stand_in("mindface_eri.report.run_figures.write_run_figures", ([], ["no labels", "no history"]))
    assert status("figures", "r")[:2] == (1, "left out: no labels\nleft out: no history\n")  # nothing was drawn


@pytest.fixture
def challenge(tmp_path):
    """A data set of three test clips, and predictions of two of them in two files."""
    (tmp_path / "data_info.csv").write_text(
        "File_ID,Split,Joy,Fear\n[00001],Test,,\n[00002],Test,,\n[00003],Test,,\n[00004],Val,1,0.5\n[00005],Train,0.5,1\n")
    for name, joy in (("a", 0.2), ("b", 0.6)):
        (tmp_path / f"{name}.csv").write_text(f"File_ID,Joy,Fear\n[00001],{joy},0.5\n[00003],0.1,0.3\n")
    return tmp_path


def test_a_submission_averages_files_and_fills_what_is_missing(challenge, status, monkeypatch):
    words = ["submission", challenge / "a.csv", challenge / "b.csv", "--labels", challenge]
    monkeypatch.chdir(challenge)
    code, _, shown = status(*words)
    assert code == 1 and "00002" in shown and not (challenge / "predictions.csv").exists()  # --missing fail
    code, out, _ = status(*words, "--missing", "mean")
    assert code == 0
    assert out.splitlines()[0] == "predictions.csv: 3 test clips from 2 files, checked"
    assert out.splitlines()[1].startswith("1 clips had no prediction and got ")
    assert "00002" in out.splitlines()[1].rpartition("first ")[2]
    rows = (challenge / "predictions.csv").read_text().splitlines()
    assert rows[0] == "File_ID,Joy,Fear" and rows[1].startswith("[00001],0.4") and len(rows) == 4
    code, out, _ = status(*words[:2], *words[3:], "--missing", "zero", "--out", challenge / "z.csv")
    assert code == 0 and "3 test clips from 1 file, checked" in out
    assert [float(cell) for cell in (challenge / "z.csv").read_text().splitlines()[2].split(",")[1:]] == [0, 0]


def test_a_submission_is_checked_against_the_test_clips(challenge, status):
    words = ["submission", "--labels", challenge, "--check"]
    code, out, _ = status(*words, challenge / "a.csv")
    assert code == 1 and all(line.startswith(f"{challenge / 'a.csv'}: ") for line in out.splitlines())
    (challenge / "whole.csv").write_text("File_ID,Joy,Fear\n[00001],0.2,0.5\n[00002],0.1,0.3\n[00003],0.3,0.4\n")
    assert status(*words, challenge / "whole.csv")[:2] == (
        0, f"{challenge / 'whole.csv'}: 3 test clips, all in order\n")


def test_a_submission_is_either_written_or_checked_and_needs_test_clips(challenge, status):
    code, _, shown = status("submission", challenge / "a.csv", "--labels", challenge, "--check", challenge / "a.csv")
    assert code == 2 and "or --check FILE, and not both" in shown
    assert status("submission", "--labels", challenge)[0] == 2
    table = challenge / "data_info.csv"
    table.write_text(table.read_text().replace("Test,,", "Val,1,1"))
    code, _, shown = status("submission", challenge / "a.csv", "--labels", challenge)
    assert code == 1 and "has no clip in its test split" in shown
