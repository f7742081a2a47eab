# SPDX-License-Identifier: Apache-2.0
"""The command over real files, with a network that is easy to check: rows, timelines, pages and overlays."""

import json

import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.config import ModelConfig
from mindface_eri.prediction.jobs import find_jobs
from mindface_eri.prediction.predictor import Predictor
from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.video import probe, read_frames
from mindface_eri.preprocess.writer import write_video
from mindface_eri.report.overlay import write_overlay

LOAD = "mindface_eri.prediction.predictor.load_predictor"


@pytest.fixture()
def loaded(monkeypatch, predictor, no_workers):
    """`load_predictor` gives the fake one."""
    monkeypatch.setattr(LOAD, lambda path, **_: predictor)


def test_a_failure_is_a_row_with_its_reason(tmp_path, faceless_video, silent_video, predictor, flat):
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    rows = flat(predictor.predict(find_jobs([silent_video, tmp_path / "bad.mp4", faceless_video])))
    assert [row["File_ID"] for row in rows] == ["silent", "bad", "tone"]
    assert "nothing to work on" in rows[0]["error"]
    assert "bad.mp4" in rows[1]["error"]
    assert rows[2]["Fear"] == 0.5


def test_a_timeline_knows_where_there_is_nothing(faceless_video, predictor):
    (found,) = predictor.predict([faceless_video], window=1.0, hop=0.5)
    assert found.is_timeline
    rows = found.rows()
    assert rows[0]["start"] == 0
    assert rows[-1]["end"] == pytest.approx(3.9, abs=0.01)  # from the first picture to the last
    assert all(a["end"] == b["start"] for a, b in zip(rows, rows[1:]))
    assert rows[0]["Fear"] == 0.5
    assert rows[-1]["error"] == "neither face nor sound here"  # its second half is silent
    np.testing.assert_allclose(found.intensities, 0.5)
    assert found.clip.envelope.seconds == pytest.approx(4.0)


def test_a_timeline_of_sound_alone_ends_with_it(tmp_path, predictor):
    import soundfile

    soundfile.write(tmp_path / "hum.wav", np.r_[np.zeros(17600), 0.1 * np.ones(6400), np.zeros(14400)], 16000)
    (found,) = predictor.predict([tmp_path / "hum.wav"], window=0.6, hop=0.2)  # 13 instants, 4 a window
    rows = found.rows()
    assert [row["start"] for row in rows] == pytest.approx(np.arange(12) / 5, abs=1e-3)
    assert rows[-1]["end"] == 2.4
    assert [k for k, row in enumerate(rows) if "error" not in row] == list(range(3, 10))  # of windows 3 to 7


def test_a_single_picture_with_a_short_sound_is_one_instant(tmp_path, predictor):
    write_video(tmp_path / "still.mp4", [np.full((48, 64, 3), 90, np.uint8)], 10, np.full(8000, 0.1, np.float32))
    (found,) = predictor.predict([tmp_path / "still.mp4"])
    assert found.rows()[0]["Fear"] == 0.5 and not found.is_timeline
    (moving,) = predictor.predict([tmp_path / "still.mp4"], moving=True)
    assert moving.moving is None and moving.rows() == found.rows()
    (found,) = predictor.predict([tmp_path / "still.mp4"], window=5.0)
    assert found.segments.tolist() == [[0.0, 0.0]] and len(found.rows()) == 1


def test_a_single_picture_is_the_cover_of_a_longer_sound(tmp_path, predictor):
    write_video(tmp_path / "song.mp4", [np.full((48, 64, 3), 90, np.uint8)], 10, np.full(31 * 16000, 0.1, np.float32))
    (found,) = predictor.predict([tmp_path / "song.mp4"])
    assert found.is_timeline and found.segments[-1, 1] == pytest.approx(31, abs=0.1)
    assert "a single picture beside the sound" in found.clip.quality


def test_the_command_writes_pages_and_rows(tmp_path, loaded, faceless_video, silent_video, capsys):
    (tmp_path / "run").mkdir()
    arguments = ["predict", str(faceless_video), str(silent_video), "--model", str(tmp_path / "run")]
    assert main([*arguments, "--report", str(tmp_path / "pages"), "--format", "json"]) == 1
    shown = capsys.readouterr()
    assert [row["File_ID"] for row in json.loads(shown.out)] == ["tone", "silent"]
    assert "index.html" in shown.err
    assert sorted(p.name for p in (tmp_path / "pages").iterdir()) == ["index.html", "tone.html"]
    assert main([*arguments, "--report", str(tmp_path / "p.html")]) == 2
    assert "name a folder" in capsys.readouterr().err
    assert main([*arguments[:2], *arguments[3:], "--window", "1", "--out", str(tmp_path / "t.csv")]) == 0
    assert (tmp_path / "t.csv").read_text().startswith("File_ID,start,end,Adoration")
    assert main([*arguments[:2], *arguments[3:], "--figure", str(tmp_path / "f" / "x.svg")]) == 0
    assert sorted(p.name for p in (tmp_path / "f").iterdir()) == ["x.png", "x.svg"]
    assert main([*arguments, "--window", "1", "--whole"]) == 2
    assert main([*arguments, "--workers", "0"]) == 2


def test_overlay_keeps_length_and_sound(tmp_path, faceless_video, predictor):
    (found,) = predictor.predict([faceless_video], moving=True)
    write_overlay(found, tmp_path / "new" / "o.mp4")
    info = probe(tmp_path / "new" / "o.mp4")
    assert info.width > 64
    assert info.height == 48
    frames = list(read_frames(tmp_path / "new" / "o.mp4"))
    assert len(frames) == 40
    sound = load_audio(tmp_path / "new" / "o.mp4", 16000)
    assert np.abs(sound.waveform[:16000]).max() > 0.2
    assert np.abs(sound.waveform[-16000:]).max() < 0.02
    first, last = frames[0][1].rgb()[:, :60].mean(), frames[20][1].rgb()[:, :60].mean()
    assert last - first > 100  # the picture goes on beside the bars


class Shares:
    """A tenth where the feature set is there, plus the set's mean."""

    def run(self, inputs):
        _, _, fau, present = inputs
        return np.tile((0.1 * present[:, 2] + fau.mean((1, 2)))[:, None], (1, 7))

    def attention(self, inputs):
        return None


@pytest.fixture()
def multi(monkeypatch, predictor, no_workers):
    """`load_predictor` gives one of a network with a branch of the feature set `fau`."""
    model = ModelConfig(name="eri_multi_branch", features=("fau",), feature_widths=(1,), frames=4, crop_size=32,
                        mfcc_features=16)
    layout = {"columns": ["AU01"], "time_column": "t", "unit": "s", "method": "linear"}
    found = Predictor(Shares(), model, predictor.preprocess, features={"fau": layout})
    monkeypatch.setattr(LOAD, lambda path, **_: found)


def test_networks_of_feature_sets_answer_and_say_which_they_lack(multi, tmp_path, faceless_video, capsys):
    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        (tmp_path / "clips" / f"{name}.mp4").write_bytes(faceless_video.read_bytes())
    (tmp_path / "fau").mkdir()
    (tmp_path / "fau" / "[a].csv").write_text("t,AU01\n0,0.5\n4,0.5\n")
    words = ["predict", str(tmp_path / "clips"), "--model", "run", "--format", "json"]
    assert main([*words, "--features", f"fau={tmp_path / 'fau'}", "--report", str(tmp_path / "pages")]) == 0
    shown = capsys.readouterr()
    assert [row["Fear"] for row in json.loads(shown.out)] == pytest.approx([0.6, 0.0])
    assert f"{tmp_path / 'fau'} has no file for 1 of 2 clips; they are answered without fau" in shown.err
    assert (tmp_path / "pages" / "a.html").is_file()
    assert main([*words, "--features", f"fau={tmp_path / 'fau'}", "--window", "1"]) == 0
    rows = json.loads(capsys.readouterr().out)
    there = [row["Fear"] for row in rows if row["File_ID"] == "a"]
    assert len(there) > 5 and there == pytest.approx([0.6] * len(there))  # in silence, too


def test_networks_of_feature_sets_refuse_what_they_cannot_answer(multi, tmp_path, faceless_video, capsys):
    words = ["predict", str(faceless_video), "--model", "run"]
    for more, said in ((["--features", f"fau={tmp_path / 'nowhere'}"], "nowhere is no folder"),
                       ([], "takes the feature set 'fau', which other programs compute: name the folder"),
                       (["--features", f"gaze={tmp_path}"], "--features gaze: eri_multi_branch takes fau")):
        assert main([*words, *more]) in (1, 2)
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


@pytest.mark.parametrize("kind, name", [("--out", "tone.mp4"), ("--overlay", "tone.mp4"), ("--overlay", "."),
                                        ("--overlay", "link")])
def test_no_clip_is_overwritten_by_what_is_made_of_it(loaded, tmp_path, faceless_video, capsys, kind, name):
    """Named itself, by its folder, or by a link to that."""
    mine = tmp_path / "mine"
    mine.mkdir()
    clip = mine / "tone.mp4"
    clip.write_bytes(faceless_video.read_bytes())
    (mine / "link").symlink_to(mine)
    assert main(["predict", str(clip), "--model", "m", kind, str(mine / name)]) == 2
    assert "is one of the clips, and would be overwritten" in capsys.readouterr().err
    assert clip.read_bytes() == faceless_video.read_bytes()


def test_a_file_of_another_kind_is_no_folder_for_pages(loaded, tmp_path, faceless_video, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["predict", str(faceless_video), "--model", "m", "--report", str(tmp_path / "notes.txt")]) == 2
    assert "notes.txt: is a file already; name one that ends in .html or .htm, or a folder" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_is_answered_before_a_stop_is_kept(loaded, tmp_path, faceless_video, predictor, monkeypatch, capsys):
    answers = list(predictor.predict([faceless_video]))

    def stopped(*_, **__):
        yield from answers
        raise KeyboardInterrupt

    monkeypatch.setattr(predictor, "predict", stopped)
    assert main(["predict", str(faceless_video), "--model", "m", "--out", str(tmp_path / "rows.json"),
                 "--report", str(tmp_path / "pages")]) == 130
    assert json.loads((tmp_path / "rows.json").read_text()) == answers[0].rows()
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {"tone.html", "index.html"}
    assert "stopped; what is finished is kept" in capsys.readouterr().err
