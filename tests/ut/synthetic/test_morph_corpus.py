# SPDX-License-Identifier: Apache-2.0
"""A corpus of morphed portraits: its layout and labels, repeatability, and what is refused."""

import csv
import json

import av
import numpy as np
import pytest

from mindface_eri.datasets.labels import read_labels
from mindface_eri.errors import DataError, ERIError
from mindface_eri.preprocess.detectors import DlibDetector, Landmarks
from mindface_eri.synthetic import folder, morph_corpus
from mindface_eri.synthetic.morph_corpus import synthesize_morphs
from mindface_eri.synthetic.portraits import read_portraits

TINY = {"emotion": "Smile", "clips": 6, "seed": 3, "duration": (0.5, 0.8), "fps": (8, 10), "side": 160, "workers": 1,
        "progress": False}


@pytest.fixture(scope="module")
def corpus(portraits, tmp_path_factory):
    root = tmp_path_factory.mktemp("morphs") / "corpus"
    return root, synthesize_morphs(root, portraits, **TINY)


def rows(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_tables_say_who_and_how_strong(corpus, portraits):
    root, summary = corpus
    table, curves = rows(root / "data_info.csv"), rows(root / "intensities.csv")
    pairs = {pair.person: pair for pair in read_portraits(portraits, 3)[0]}
    assert list(table[0]) == ["File_ID", "Split", "Smile", "Subject", "Age"]
    assert [row["Subject"] for row in table] == ["p0", "p0", "p1", "p3", "p3", "p4"]
    for row in table:
        assert row["Split"] == pairs[row["Subject"]].split and row["Age"] == str(30 + int(row["Subject"][1:]))
        mine = [curve for curve in curves if curve["File_ID"] == row["File_ID"]]
        assert float(row["Smile"]) == max(float(curve["Smile"]) for curve in mine)
        with av.open(str(root / row["Split"].lower() / "mp4" / f"{row['File_ID'].strip('[]')}.mp4")) as film:
            times = [frame.time for frame in film.decode(video=0)]
            assert (film.streams.video[0].width, len(film.streams.audio)) == (160, 0)
        assert np.allclose(times, [float(curve["Seconds"]) for curve in mine], atol=1e-3)
    splits = [row["Split"] for row in table]
    assert summary["splits"] == {name: splits.count(name) for name in ("Train", "Val", "Test")}
    assert (summary["clips"], summary["written"], summary["reused"], summary["people"]) == (6, 6, 0, 4)
    assert "no films of people" in summary["note"] == json.loads((root / "corpus.json").read_text())["note"]


def test_the_rest_of_the_house_reads_it(corpus):
    manifest = read_labels(corpus[0])
    assert manifest.emotions == ("Smile",) and len(manifest.clips) == 6
    assert all(clip.video is not None and clip.audio is None for clip in manifest.clips)
    assert {clip.extra["Subject"] for clip in manifest.clips} == {"p0", "p1", "p3", "p4"}


def test_the_mouth_follows_the_curve(corpus):
    """Seen by the house's own landmarks in the film, of the strongest clip: width of the mouth by that of the eyes."""
    root, _ = corpus
    row = max(rows(root / "data_info.csv"), key=lambda row: float(row["Smile"]))
    curve = [float(c["Smile"]) for c in rows(root / "intensities.csv") if c["File_ID"] == row["File_ID"]]
    width, detector, marks = [], DlibDetector(), Landmarks()
    with av.open(str(root / row["Split"].lower() / "mp4" / f"{row['File_ID'].strip('[]')}.mp4")) as film:
        for frame in film.decode(video=0):
            grey = np.ascontiguousarray(frame.to_ndarray(format="gray"))
            points = marks(grey, detector.find(grey)[0].box)
            width.append(np.linalg.norm(points[54] - points[48]) / np.linalg.norm(points[45] - points[36]))
    assert max(curve) > 0.5 and np.corrcoef(width, curve)[0, 1] > 0.9


def test_a_second_run_reuses_and_draws_what_is_missing_as_it_was(corpus, portraits, tmp_path):
    root, _ = corpus
    files = {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    gone = next(root.rglob("00002.mp4"))
    gone.unlink()
    left = gone.with_name(".00002.7.0.tmp.mp4")
    left.touch()
    again = synthesize_morphs(root, portraits, **TINY)
    assert (again["written"], again["reused"]) == (1, 5) and not left.exists()
    assert {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()} == files
    with pytest.raises(DataError, match=r"other arguments: seed 3 \(now 4\)"):
        synthesize_morphs(root, portraits, **{**TINY, "seed": 4})
    other = tmp_path / "portraits.csv"
    other.write_text((portraits / "portraits.csv").read_text().replace("0_", f"{portraits}/1_").replace(
        ",1_", f",{portraits}/1_").replace(",3_", f",{portraits}/3_").replace(",4_", f",{portraits}/4_"))
    with pytest.raises(DataError, match=r"other arguments: portraits "):
        synthesize_morphs(root, other, **TINY)


class Pool:
    """Stands for a pool of processes."""

    def __init__(self, workers, target, settings):
        assert target == "mindface_eri.synthetic.morph_corpus:draw" and workers == 3
        self.settings = settings

    def map(self, tasks):
        return (morph_corpus.draw(self.settings, task) for task in tasks)

    def close(self):
        pass


def test_processes_draw_the_same(corpus, portraits, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "WorkerPool", Pool)
    root, _ = corpus
    synthesize_morphs(tmp_path / "twice", portraits, **{**TINY, "workers": 3})
    for path in root.rglob("*.*"):
        if path.is_file():
            assert (tmp_path / "twice" / path.relative_to(root)).read_bytes() == path.read_bytes(), path


def test_a_portrait_without_a_face_is_named_with_its_clip(portraits, tmp_path, monkeypatch):
    (tmp_path / "dark.pgm").write_bytes(b"P5 200 200 255\n" + bytes(40000))
    text = (portraits / "portraits.csv").read_text().replace("0_smile.png", str(tmp_path / "dark.pgm"))
    for number in (0, 1, 3, 4):
        text = text.replace(f",{number}_", f",{portraits}/{number}_")
    (tmp_path / "portraits.csv").write_text(text)
    monkeypatch.setattr(folder, "WorkerPool", Pool)
    with pytest.raises(ERIError, match="2 of 6 clips were not drawn .clip 00000: .*dark.pgm: no face is found"):
        synthesize_morphs(tmp_path / "out", tmp_path, **{**TINY, "workers": 3})


@pytest.mark.parametrize("changes, message", [
    ({"emotion": " "}, "the emotion has no name"), ({"emotion": "age"}, "'age' is the name of another column"),
    ({"emotion": "Split"}, "'Split' is the name of another column"),
    ({"emotion": "Actor ID"}, "'Actor ID' is the name of another column"),
    ({"clips": 3}, "clips is 3; 4 people need at least one each"), ({"seed": -1}, "seed is -1"),
    ({"duration": (3.0, 2.0)}, "duration is 3.0 to 2.0 s"), ({"fps": (0, 5)}, "fps is 0 to 5"),
    ({"side": 100}, "side is 100"), ({"workers": 0}, "workers is 0")])
def test_arguments_out_of_range(portraits, tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        synthesize_morphs(tmp_path / "out", portraits, **{**TINY, **changes})
    assert not (tmp_path / "out").exists()


def test_a_portraits_column_must_not_take_the_name_of_ours(portraits, tmp_path):
    text = (portraits / "portraits.csv").read_text().replace("Age", "subject")
    for number in (0, 1, 3, 4):
        text = text.replace(f",{number}_", f",{portraits}/{number}_")
    (tmp_path / "portraits.csv").write_text(text)
    with pytest.raises(DataError, match="column 'subject' has the name of one that is written"):
        synthesize_morphs(tmp_path / "out", tmp_path, **TINY)
