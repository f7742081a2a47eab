# SPDX-License-Identifier: Apache-2.0
"""From paths to rows, timelines, pages and overlays; real files, a network that is easy to check."""

import json

import numpy as np
import pytest
from mindface_eri.prediction.analysis import analyse, duration_of

from mindface_eri.cli import main
from mindface_eri.errors import DataError, MediaError
from mindface_eri.prediction.jobs import find_jobs, predict_jobs
from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.video import probe, read_frames
from mindface_eri.report.overlay import write_overlay


@pytest.fixture()
def loaded(monkeypatch, predictor):
    """`load_predictor` gives the fake one."""
    import mindface_eri.prediction.predictor as runtime

    monkeypatch.setattr(runtime, "load_predictor", lambda path: predictor)


def test_paths_of_every_kind(tmp_path, faceless_video):
    for name in ("a.mp4", "b.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(faceless_video.read_bytes())
    (tmp_path / "list.csv").write_text("id,path\n1,b.mp4\n")
    (tmp_path / "plain.csv").write_text("a.mp4\nb.mp4\n")
    assert [job.name for job in find_jobs([tmp_path])] == ["a", "b"]
    assert [job.name for job in find_jobs([tmp_path / "?.mp4"])] == ["a", "b"]
    assert [job.name for job in find_jobs([tmp_path / "list.csv"])] == ["b"]
    assert [job.name for job in find_jobs([tmp_path / "plain.csv", tmp_path / "a.mp4"])] == ["a", "b"]
    with pytest.raises(DataError, match="matches no file"):
        find_jobs([tmp_path / "*.mkv"])
    (tmp_path / "list.csv").write_text("path\nc.mp4\n")
    with pytest.raises(DataError, match="'c.mp4' is no file"):
        find_jobs([tmp_path / "list.csv"])


def test_a_failure_is_a_row_with_its_reason(tmp_path, faceless_video, silent_video, predictor):
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    jobs = find_jobs([silent_video, tmp_path / "bad.mp4", faceless_video])
    seen = []
    rows = predict_jobs(jobs, predictor, notify=lambda job, error: seen.append((job.name, bool(error))))
    assert [row["File_ID"] for row in rows] == ["silent", "bad", "tone"]
    assert "nothing to work on" in rows[0]["error"]
    assert "bad.mp4" in rows[1]["error"]
    assert rows[2]["Fear"] == 0.5
    assert seen == [("silent", True), ("bad", True), ("tone", False)]


@pytest.mark.slow  # each process imports librosa
def test_workers_and_batches_change_nothing(tmp_path, faceless_video, predictor):
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_bytes(faceless_video.read_bytes())
    jobs = find_jobs([tmp_path])
    assert predict_jobs(jobs, predictor, workers=2, batch_size=2) == predict_jobs(jobs, predictor, batch_size=1)


def test_a_single_branch_needs_its_modality(faceless_video, predictor):
    predictor.model = type(predictor.model)(name="eri_visual")
    row, = predict_jobs(find_jobs([faceless_video]), predictor)
    assert "needs a face" in row["error"]
    with pytest.raises(MediaError, match="needs a face"):
        analyse(faceless_video, predictor)


def test_a_timeline_knows_where_there_is_nothing(faceless_video, predictor):
    assert duration_of(faceless_video) == pytest.approx(3.9)
    found = analyse(faceless_video, predictor, window=1.0, hop=0.5)
    assert found.is_timeline
    rows = found.rows()
    assert rows[0]["start"] == 0
    assert rows[-1]["end"] == pytest.approx(3.9, abs=0.01)
    assert all(a["end"] == b["start"] for a, b in zip(rows, rows[1:]))
    assert rows[0]["Fear"] == 0.5
    assert rows[-1]["error"] == "neither face nor sound here"  # its second half is silent
    np.testing.assert_allclose(found.intensities, 0.5)
    assert len(found.waveform) == 4 * 16000


def test_one_decode_gives_what_each_window_alone_gives(monkeypatch, make_clip, seeing_predictor):
    """Windows are cut from one clip; the fake's answer, the mean brightness of the crops, follows each window."""
    import mindface_eri.prediction.analysis as module

    taken = []

    def extract(path, config, audio_path=None):
        taken.append(config.frames)
        return make_clip(config.frames, sound=False, seconds=6.0)

    monkeypatch.setattr(module, "extract_clip", extract)
    monkeypatch.setattr(module, "duration_of", lambda path: 6.0)
    found = module.analyse("x.mp4", seeing_predictor, window=3.0, hop=1.0)
    assert taken == [7]
    brightness = found.clip.frames[:, 0, 0, 0] / 255
    windows = [brightness[s:s + 4].mean() for s in (0, 1, 2, 3)]
    expected = [windows[0], np.mean(windows[:2]), np.mean(windows[:3]), np.mean(windows[1:]), np.mean(windows[2:]),
                windows[3]]
    np.testing.assert_allclose(found.values[:, 0], expected)
    np.testing.assert_allclose(found.temporal, [0, 0, 0, 1 / 4, 1 / 3, 1 / 2, 1])
    assert found.spatial.shape == (7, 7, 7)


def test_long_videos_get_a_timeline_by_themselves(monkeypatch, make_clip, predictor):
    import mindface_eri.prediction.analysis as module

    monkeypatch.setattr(module, "extract_clip",
                        lambda path, config, audio_path=None: make_clip(config.frames, sound=False, seconds=60.0))
    monkeypatch.setattr(module, "duration_of", lambda path: 60.0)
    found = module.analyse("x.mp4", predictor)
    assert (found.window, found.hop, len(found.segments)) == (12.0, 6.0, 8)
    assert len(module.analyse("x.mp4", predictor, whole=True).rows()) == 1


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
    write_overlay(faceless_video, tmp_path / "new" / "o.mp4", predictor)
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


def test_overlay_draws_where_the_face_is(make_clip):
    from mindface_eri.report.overlay import _draw

    blank = np.zeros((48, 64, 3), np.uint8)
    clip = make_clip(4, seconds=3.0, states=[3, 1, 0, 0])
    detected, held, none = (_draw(blank.copy(), clip, seconds, 1.0) for seconds in (0.0, 1.0, 3.0))
    assert none.sum() == 0
    assert (held[10, 10:40].sum(1) > 0).all()
    assert held[20:30, 20:30].sum() == 0  # a held face has its box, and no points that nobody saw
    assert detected[13:37, 13:37].sum() > 0


@pytest.fixture()
def multi(monkeypatch, predictor):
    """`load_predictor` gives one of a network with a branch of the feature set `fau`."""
    import mindface_eri.prediction.predictor as runtime

    model = runtime.ModelConfig(name="eri_multi_branch", features=("fau",), feature_widths=(1,), frames=4)
    layout = {"columns": ["AU01"], "time_column": "t", "unit": "s", "method": "linear"}
    found = runtime.Predictor(None, model, predictor.preprocess, features={"fau": layout})
    monkeypatch.setattr(found, "predict_arrays", lambda frames, mfcc, present, fau: np.full(
        (1, len(model.emotions)), 0.1 * present[0, 2] + fau.mean()))
    monkeypatch.setattr(runtime, "load_predictor", lambda path: found)


def test_networks_of_feature_sets_answer_with_rows_and_say_which_they_lack(multi, tmp_path, faceless_video, capsys):
    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        (tmp_path / "clips" / f"{name}.mp4").write_bytes(faceless_video.read_bytes())
    (tmp_path / "fau").mkdir()
    (tmp_path / "fau" / "[a].csv").write_text("t,AU01\n0,0.5\n4,0.5\n")
    words = ["predict", str(tmp_path / "clips"), "--model", "run", "--format", "json"]
    assert main([*words, "--features", f"fau={tmp_path / 'fau'}"]) == 0
    shown = capsys.readouterr()
    assert [row["Fear"] for row in json.loads(shown.out)] == pytest.approx([0.6, 0.0])
    assert f"{tmp_path / 'fau'} has no file for 1 of 2 clips; they are answered without fau" in shown.err


def test_networks_of_feature_sets_refuse_what_they_cannot_answer(multi, tmp_path, faceless_video, capsys):
    words = ["predict", str(faceless_video), "--model", "run"]
    for more, said in ((["--features", f"fau={tmp_path / 'nowhere'}"], "nowhere is no folder"),
                       ([], "takes the feature set 'fau', which other programs compute: name the folder"),
                       (["--report", str(tmp_path / "page.html"), "--features", f"fau={tmp_path}"],
                        "--report: eri_multi_branch takes features of other programs, for which there are rows only"),
                       (["--features", f"gaze={tmp_path}"], "--features gaze: eri_multi_branch takes fau")):
        assert main([*words, *more]) in (1, 2)
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
