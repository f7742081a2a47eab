# SPDX-License-Identifier: Apache-2.0
"""The one way from a clip to its intensities: every door gives the same answer, files are read seldom."""

import csv
import io
import json
import os
import random
import re
import signal
from collections import Counter

import av
import mindspore as ms
import numpy as np
import pytest

from mindface_eri import prediction
from mindface_eri.cli import main
from mindface_eri.config import AudioConfig, FaceConfig, ModelConfig, PreprocessConfig
from mindface_eri.errors import ConfigError
from mindface_eri.prediction.predictor import Predictor
from mindface_eri.preprocess import clip, video
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.tracking import Tracker
from mindface_eri.preprocess.writer import write_video

EMOTIONS = ("Joy", "Fear")
CONFIG = PreprocessConfig(frames=5, face=FaceConfig(size=32, detector="dlib"),
                          audio=AudioConfig(coefficients=8, stack=2))
MODEL = ModelConfig(emotions=EMOTIONS, frames=5, crop_size=32, mfcc_features=16)


class Formula:
    """Stands for a network: intensities that follow from every input, and weights on the last instant."""

    def run(self, inputs):
        frames, mfcc, present = inputs
        seen = frames.reshape(len(frames), -1).mean(1) / 255 * present[:, 0]
        heard = np.tanh(mfcc.reshape(len(mfcc), -1).std(1) / 50) * present[:, 1]
        return np.stack([0.2 + 0.5 * seen + 0.1 * heard, 0.1 + 0.7 * heard], 1).astype(np.float32)

    def attention(self, inputs):
        temporal = np.zeros(inputs[0].shape[:2], np.float32)
        temporal[:, -1] = 1
        return self.run(inputs), temporal, None


@pytest.fixture
def predictor():
    return Predictor(Formula(), MODEL, CONFIG)


def tone(seconds, pitch=300):
    return (0.3 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * 16000)) / 16000)).astype(np.float32)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Six files without faces, of other brightness, length and pitch; the fourth is damaged, the last is silent."""
    folder = tmp_path_factory.mktemp("clips")
    for k in range(6):
        grey = [np.full((48, 64, 3), 30 * k + i, np.uint8) for i in range(12 + 2 * k)]
        write_video(folder / f"c{k}.mp4", grey, 10, None if k == 5 else tone(len(grey) / 10, 200 + 90 * k))
    (folder / "c3.mp4").write_bytes(b"no clip")
    return [folder / f"c{k}.mp4" for k in range(6)]


def flat(predictions):
    return [row for prediction in predictions for row in prediction.rows()]


def test_every_door_gives_the_same_answer(predictor, clips, tmp_path, monkeypatch, capsys):
    """Python with paths, `Clip`s, batches and workers; the command in two forms; the page's own numbers."""
    monkeypatch.setattr("mindface_eri.prediction.predictor.load_predictor", lambda *_, **__: predictor)
    good = [path for path in clips if path.stem not in ("c3", "c5")]
    rows = flat(predictor.predict(good))
    assert [row["File_ID"] for row in rows] == ["c0", "c1", "c2", "c4"]
    assert len({round(row["Fear"], 6) for row in rows}) == 4
    for other in (predictor.predict(good, batch_size=3), predictor.predict(good, workers=2),
                  predictor.predict(good, attention=True, moving=True)):
        assert flat(other) == rows
    taken = flat(predictor.predict([extract_clip(path, CONFIG) for path in good]))
    assert [{**row, "File_ID": path.stem} for row, path in zip(taken, good)] == rows
    words = ["predict", *map(str, good), "--model", "m", "--report", str(tmp_path / "pages")]
    assert main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert main([*words, "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [[float(row[e]) for e in EMOTIONS] for row in table] == pytest.approx(
        np.array([[row[e] for e in EMOTIONS] for row in rows]), abs=5e-7)
    for row in rows:
        page = (tmp_path / "pages" / f"{row['File_ID']}.html").read_text(encoding="utf-8")
        data = json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)[1])
        assert data["whole"] == [round(row[e], 4) for e in EMOTIONS]


def test_a_failure_is_a_row_in_its_place(predictor, clips):
    rows = flat(predictor.predict(clips, batch_size=4))
    assert [row["File_ID"] for row in rows] == [f"c{k}" for k in range(6)]
    assert [("error" in row) for row in rows] == [False, False, False, True, False, True]
    assert "nothing to work on" in rows[5]["error"]


def test_each_is_there_as_soon_as_it_can_be(predictor, clips):
    answers = predictor.predict([clips[0], "missing.mp4", clips[1]], batch_size=1)
    assert next(answers).name == "c0"
    assert next(answers).error == "missing.mp4: no such file"


@pytest.fixture
def counted(monkeypatch, no_workers):
    """How often files of clips were opened, scanned and tracked, and their pictures and sound decoded."""
    seen = Counter()

    def count(owner, name, what):
        true = getattr(owner, name)

        def call(*words, **more):
            seen.update(what(*words))
            return true(*words, **more)
        monkeypatch.setattr(owner, name, call)

    count(av, "open", lambda path, mode="r", **_: ["opens"] if mode == "r" else [])
    count(clip, "scan", lambda *_: ["scans"])
    count(Tracker, "run", lambda *_: ["trackings"])
    count(video, "_ready", lambda *streams: [f"{stream.type} decoded" for stream in streams if stream is not None])
    return seen


def test_files_are_read_twice_and_once_more_for_the_overlay(predictor, clips, tmp_path, monkeypatch, counted):
    """Six clips, one of which is none and one without a face or sound; then with every output asked for."""
    monkeypatch.setattr("mindface_eri.prediction.predictor.load_predictor", lambda *_, **__: predictor)
    words = ["predict", *map(str, clips), "--model", "m"]
    rows = {"opens": 5 * 2 + 1, "scans": 6, "trackings": 5, "video decoded": 5, "audio decoded": 4}
    assert main(words) == 1 and counted == rows
    counted.clear()
    assert main([*words, *(word for name in ("report", "figure", "overlay")
                           for word in (f"--{name}", str(tmp_path / name)))]) == 1
    assert counted == Counter(rows) + Counter({"opens": 4, "video decoded": 4, "audio decoded": 4})  # for the overlay
    drawn = {name: sorted(path.stem for path in (tmp_path / name).glob(f"c*{ending}"))
             for name, ending in (("report", ".html"), ("figure", ".png"), ("overlay", ".mp4"))}
    assert drawn == dict.fromkeys(drawn, ["c0", "c1", "c2", "c4"])


def test_separate_sound_is_opened_once(predictor, clips, tmp_path, monkeypatch):
    import soundfile

    soundfile.write(tmp_path / "a.wav", tone(1.2, 900), 16000)
    opened, before = [], av.open
    monkeypatch.setattr(av, "open", lambda path, *a, **k: (opened.append(str(path)), before(path, *a, **k))[1])
    (row,) = flat(predictor.predict([(clips[0], tmp_path / "a.wav")]))
    assert sorted(opened) == sorted([str(tmp_path / "a.wav"), *[str(clips[0])] * 2])
    assert row["Fear"] != flat(predictor.predict([clips[0]]))[0]["Fear"]


def test_values_move_within_a_clip_that_is_answered_whole(predictor, tmp_path):
    """A tone only in the last third: windows before it differ from those with it; the answer stays the whole's."""
    sound = tone(3.0) * (np.arange(48000) > 32000)
    write_video(tmp_path / "late.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 30, 10, sound.astype(np.float32))
    plain = next(predictor.predict([tmp_path / "late.mp4"]))
    moving = next(predictor.predict([tmp_path / "late.mp4"], moving=True))
    assert plain.rows() == moving.rows()
    assert not moving.is_timeline
    np.testing.assert_array_equal(plain.clip.mfcc, moving.clip.mfcc)
    assert plain.segments.tolist() == moving.segments.tolist() == [[0.0, pytest.approx(2.9)]]
    assert plain.moments is None
    assert len(moving.moving) == len(moving.moments) == 8
    assert np.isnan(moving.moving[0]).all()  # no face, and silence: nothing to say
    assert np.isfinite(moving.moving[-1]).all()


def test_whom_to_follow_may_be_said_for_a_call(predictor, clips, monkeypatch):
    asked = []
    monkeypatch.setattr(prediction.predictor, "take_all_apart",
                        lambda jobs, settings, windows, workers, limit: asked.append(settings) or (one for one in ()))
    for person in (None, "first", "largest"):
        list(predictor.predict(clips, person=person))
    assert [settings.face.follow for settings in asked] == ["longest", "first", "largest"]
    assert predictor.preprocess is CONFIG and asked[1].face.size == 32
    with pytest.raises(ConfigError, match="--person.* nobody.jpg: no such file"):
        predictor.predict(clips, person="nobody.jpg")


def test_window_and_whole_contradict(predictor, clips):
    with pytest.raises(ConfigError, match="whole asks for one row"):
        predictor.predict(clips, window=3.0, whole=True)
    with pytest.raises(ConfigError, match="hop of 5 s"):
        predictor.predict(clips, window=3.0, hop=5.0)


def kill_once(settings, job):
    """In the place of `run_task`: the second clip kills its process, whenever it is tried."""
    from mindface_eri.prediction.extraction import take_apart

    if job.name == "c1":
        os.kill(os.getpid(), signal.SIGKILL)
    return "done", "", take_apart(*settings, job)


def test_a_killed_worker_costs_its_clip_alone(predictor, clips, monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    monkeypatch.setattr("mindface_eri.prediction.extraction.run_task", kill_once)
    rows = flat(predictor.predict([clips[0], clips[1], clips[2]], workers=2))
    assert [row["File_ID"] for row in rows] == ["c0", "c1", "c2"]
    assert "killed by signal 9" in rows[1]["error"]
    assert [row for row in rows if "error" not in row] == flat(predictor.predict([clips[0], clips[2]]))


def state_of_generators():
    return (random.getstate(), np.random.get_state()[1].tobytes(), np.random.get_state()[2], ms.get_seed(),
            ms.get_rng_state().asnumpy().tobytes(), ms.get_context("mode"))


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_loading_and_predicting_leave_the_process_as_it_was(tmp_path, mode):
    from mindface_eri.models.registry import create_model
    from mindface_eri.prediction.predictor import load_predictor
    from mindface_eri.runner.checkpoint import save_checkpoint
    from mindface_eri.runner.run_folder import note_of

    model = ModelConfig(name="eri_acoustic", emotions=EMOTIONS, frames=4, mfcc_features=256, width=8, temporal_depth=1,
                        temporal_heads=2, tcn_dilations=(1,))
    network = create_model(**{name: getattr(model, name) for name in (
        "name", "emotions", "frames", "mfcc_features", "width", "temporal_depth", "temporal_heads", "tcn_dilations")})
    save_checkpoint(tmp_path / "a.ckpt", network, note_of(model))
    mfcc = np.random.default_rng(0).normal(size=(2, 4, 256)).astype(np.float32)
    old = ms.get_context("mode")
    try:
        ms.set_context(mode=mode)
        random.seed(11), np.random.seed(12), ms.set_seed(13)
        before = state_of_generators()
        loaded = load_predictor(tmp_path / "a.ckpt")
        values = loaded.predict_arrays(mfcc=mfcc)
        weights = loaded.attention(mfcc=mfcc)[1]
        assert state_of_generators() == before
        np.testing.assert_allclose(values, network.set_train(False)(ms.Tensor(mfcc)).asnumpy(), atol=1e-6)
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    finally:
        ms.set_context(mode=old)


def test_an_onnx_file_runs_on_the_cpu_only(tmp_path):
    from mindface_eri.deploy.backends import open_backend

    with pytest.raises(ConfigError, match="runs on the CPU"):
        open_backend(tmp_path / "m.onnx", device="GPU")
