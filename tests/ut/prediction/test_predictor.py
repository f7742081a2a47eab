# SPDX-License-Identifier: Apache-2.0
"""From files and arrays to answers: what reaches the network, what a row says, and what is refused."""

import types
import wave

import numpy as np
import pytest

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.errors import DataError
from mindface_eri.prediction.predictor import Predictor, features_file, modalities_needed, need_of
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.video import write_video

PREPROCESS = PreprocessConfig(frames=4, face=FaceConfig(size=32, detector="dlib"),
                              audio=AudioConfig(coefficients=6, stack=2))
FAU = {"columns": ["AU01", "AU02", "AU04"], "time_column": "t", "unit": "ms", "method": "linear"}
GAZE = {"columns": ["x"], "time_column": None, "unit": "s", "method": "linear"}


class Backend:
    """Keeps what it is given; its answers count up."""

    seen = None

    def run(self, inputs):
        self.seen = inputs
        return np.arange(len(inputs[0]) * 2, dtype="f").reshape(-1, 2) / 16

    attention = run


@pytest.fixture
def made(tiny):
    """A predictor of a network of that name, and its backend."""

    def make(name="eri_dual_branch", batch=None, about=None, **more):
        backend, model = Backend(), tiny(name, emotions=("Joy", "Awe"), **more)
        return Predictor(backend, model, PREPROCESS, batch, *([] if about is None else [about])), backend

    return make


@pytest.fixture
def multi(made):
    """A network with two more branches."""
    return made("eri_multi_branch", features=("fau", "gaze"), feature_widths=(3, 1), about={"fau": FAU, "gaze": GAZE})


def arrays(clips=3):
    rng = np.random.default_rng(0)
    return {"frames": rng.integers(0, 256, (clips, 4, 32, 32, 3), dtype=np.uint8),
            "mfcc": rng.normal(size=(clips, 4, 12)),
            "fau": rng.normal(size=(clips, 4, 3)), "gaze": rng.normal(size=(clips, 4, 1))}


def test_arrays_reach_the_network_in_its_order(multi):
    predictor, backend = multi
    given = arrays()
    present = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 0]])
    answer = predictor.predict_arrays(gaze=given["gaze"], present=present, fau=given["fau"], mfcc=given["mfcc"],
                                      frames=given["frames"])
    assert answer.tolist() == [[0, 0.0625], [0.125, 0.1875], [0.25, 0.3125]]
    wanted = [*(given[name] for name in ("frames", "mfcc", "fau", "gaze")), present]
    for array, value, kind in zip(backend.seen, wanted, [np.uint8] + [np.float32] * 4):
        assert array.dtype == kind and np.array_equal(array, value.astype(kind)) and array.flags.c_contiguous
    predictor.predict_arrays(**given)
    assert backend.seen[4].tolist() == [[1] * 4] * 3 and backend.seen[4].dtype == np.float32
    assert predictor.emotions == ("Joy", "Awe") and predictor.features["gaze"] == GAZE
    found = predictor.attention(given["frames"], given["mfcc"], present, fau=given["fau"], gaze=given["gaze"])
    assert len(found) == 3 and all(array is value for array, value in zip(backend.seen, wanted))


@pytest.mark.parametrize("name, taken, left", [("eri_visual", "frames", "mfcc"), ("eri_acoustic", "mfcc", "frames")])
def test_a_branch_takes_its_own_input_alone(name, taken, left, made):
    predictor, backend = made(name)
    given = arrays(2)
    assert len(predictor.predict_arrays(**{taken: given[taken], left: given[left][:1]})) == 2
    assert len(backend.seen) == 1 and np.allclose(backend.seen[0], given[taken])
    with pytest.raises(DataError, match=f"{taken} is missing: this network needs"):
        predictor.predict_arrays(**{left: given[left]})


@pytest.mark.parametrize("change, message", [
    ({"mfcc": None}, r"mfcc is missing: this network needs \(B, 4, 12\) float32"),
    ({"frames": None}, r"frames is missing: this network needs \(B, 4, 32, 32, 3\) uint8"),
    ({"mfcc": np.zeros((2, 4, 12))}, r"mfcc has shape \(2, 4, 12\), this network needs \(B, 4, 12\) float32 with the "
     "same B for all inputs"),
    ({"mfcc": np.zeros((3, 4, 11))}, r"mfcc has shape \(3, 4, 11\), this network needs \(B, 4, 12\)"),
    ({"present": np.ones((3, 3))}, r"present has shape \(3, 3\), this network needs \(B, 2\)"),
    ({"frames": np.zeros((3, 4, 32, 32, 3), "f")}, r"frames is float32, this network needs \(B, 4, 32, 32, 3\) uint8: "
     "plain RGB crops, not normalised")])
def test_arrays_that_do_not_fit(change, message, made):
    given = {name: arrays()[name] for name in ("frames", "mfcc")}
    with pytest.raises(DataError, match=message):
        made()[0].predict_arrays(**{**given, **change})


def test_clips_come_in_batches_of_the_graph(made):
    predictor, backend = made("eri_acoustic", batch=2)
    given = arrays()["mfcc"]
    assert predictor.predict_arrays(mfcc=given).tolist() == [[0, 0.0625], [0.125, 0.1875], [0, 0.0625]]
    assert np.allclose(backend.seen[0], given[[2, 2]])


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """1.5 s of a tone, another of its frequency's half, a silent one, and a video without a face or sound."""
    root = tmp_path_factory.mktemp("media")
    for name, hertz, loud in (("hum", 440, 9000), ("low", 220, 9000), ("hush", 440, 0)):
        with wave.open(str(root / f"{name}.wav"), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16000)
            out.writeframes((loud * np.sin(2 * np.pi * hertz * np.arange(24000) / 16000)).astype("<i2").tobytes())
    write_video(root / "blank.mp4", [np.full((48, 64, 3), 10 * i, np.uint8) for i in range(15)], 10)
    return root


def test_rows_of_clips_and_of_those_that_fail(made, media):
    predictor, backend = made()
    rows = predictor.predict([media / "hum.wav", media / "gone.wav", (media / "blank.mp4", media / "low.wav")])
    assert [row["File_ID"] for row in rows] == ["hum", "gone", "blank"]
    assert rows[0] == {"File_ID": "hum", "Joy": 0.0, "Awe": 0.0625} and type(rows[0]["Awe"]) is float
    assert list(rows[1]) == ["File_ID", "error"] and "gone.wav" in rows[1]["error"]
    clip = extract_clip(media / "blank.mp4", PREPROCESS, audio_path=media / "low.wav")
    assert clip.mfcc.any()  # of the sound beside it
    frames, mfcc, present = backend.seen
    assert present.tolist() == [[0, 1]] and present.dtype == np.float32
    assert np.array_equal(mfcc[0], clip.mfcc) and np.array_equal(frames[0], clip.frames)


def test_a_clip_without_what_the_network_needs(made, media):
    rows = made("eri_visual")[0].predict([media / "hum.wav", media / "blank.mp4"])
    assert rows[0] == {"File_ID": "hum", "error": f"{media / 'hum.wav'}: eri_visual needs a face, and none was found "
                                                  "(no video stream); use a model of both modalities"}
    assert "nothing to work on" in rows[1]["error"]


@pytest.mark.parametrize("name, present, words", [
    ("eri_visual", [0, 1], "a face"), ("eri_acoustic", [1, 0], "sound"), ("eri_dual_branch", [0, 0], "a face or sound"),
    ("eri_multi_branch", [0, 0], "a face or sound"), ("eri_visual", [1, 0], None), ("eri_acoustic", [0, 1], None),
    ("eri_dual_branch", [0, 1], None), ("eri_dual_branch", [1, 0], None), ("eri_features", [1, 0], None)])
def test_what_a_network_cannot_do_without(name, present, words):
    predictor = types.SimpleNamespace(model=types.SimpleNamespace(name=name))
    said = need_of(predictor, types.SimpleNamespace(present=np.array(present, np.float32), note="the reason"))
    assert said == ("" if words is None else f"{name} needs {words}, and none was found (the reason); "
                                             "use a model of both modalities")
    assert modalities_needed(predictor) == {"eri_visual": [0], "eri_acoustic": [1]}.get(name, [0, 1])


@pytest.fixture
def folders(tmp_path):
    """CSV files of `hum` for both sets, and of `low` in brackets for one."""
    for name in ("fau", "gaze"):
        (tmp_path / name).mkdir()
    (tmp_path / "fau" / "hum.csv").write_text("t,AU04,AU01,AU02\n0,1,10,7\n2000,5,30,7\n")
    (tmp_path / "gaze" / "hum.csv").write_text("x\n-1\n2\n")
    (tmp_path / "fau" / "[low].csv").write_text("t,AU01,AU02,AU04\n0,3,4,5\n")
    return {name: tmp_path / name for name in ("gaze", "fau")}


def test_feature_files_are_aligned_and_missing_ones_are_zeros(multi, media, folders):
    predictor, backend = multi
    row, = predictor.predict([media / "hum.wav"], folders)  # at 0, 0.5, 1 and 1.5 s
    assert row == {"File_ID": "hum", "Joy": 0.0, "Awe": 0.0625}
    frames, mfcc, fau, gaze, present = backend.seen
    np.testing.assert_allclose(fau[0], [[10, 7, 1], [15, 7, 2], [20, 7, 3], [25, 7, 4]], rtol=1e-6)
    np.testing.assert_allclose(gaze[0], [[-1], [0], [1], [2]], atol=1e-6)  # no times: spread over the clip
    assert present.tolist() == [[0, 1, 1, 1]] and frames.shape == (1, 4, 32, 32, 3) and mfcc.any()
    assert list(predictor.predict([media / "low.wav"], folders)[0]) == ["File_ID", "Joy", "Awe"]
    assert backend.seen[2].tolist() == [[[3, 4, 5]] * 4] and backend.seen[4].tolist() == [[0, 1, 1, 0]]
    assert backend.seen[3].tolist() == [[[0]] * 4] and backend.seen[3].dtype == np.float32


def test_a_network_of_features_alone_needs_its_file(made, media, folders):
    predictor, backend = made("eri_features", features=("fau",), feature_widths=(3,), about={"fau": FAU})
    first, second = predictor.predict([media / "low.wav", media / "hum.wav"], folders)
    assert len(first) == len(second) == 3 and len(backend.seen) == 1 and backend.seen[0].shape == (1, 4, 3)
    (folders["fau"] / "hum.csv").write_text("t,AU01,AU02\n0,1,2\n")
    (folders["fau"] / "[low].csv").unlink()
    first, second = predictor.predict([media / "low.wav", media / "hum.wav"], folders)
    assert first["error"] == f"{folders['fau']}: no low.csv there, and eri_features needs it"
    assert "no column 'AU04'" in second["error"] and second["File_ID"] == "hum"


def test_folders_are_looked_for_before_any_clip(multi, media, folders):
    with pytest.raises(DataError, match=r"multi_branch takes the feature set .gaze., .*\(gaze=FOLDER\), or"):
        multi[0].predict([media / "hum.wav"], {"fau": folders["fau"]})
    with pytest.raises(DataError, match="feature set 'gaze': .*hum.csv is no folder; name the one of its CSV files"):
        multi[0].predict([media / "hum.wav"], {**folders, "gaze": folders["gaze"] / "hum.csv"})


def test_the_file_of_a_clip(tmp_path):
    assert features_file(tmp_path, "00001") is None
    (tmp_path / "00001.csv").mkdir()  # no file
    (tmp_path / "[00001].csv").touch()
    assert features_file(tmp_path, "00001") == tmp_path / "[00001].csv"
    (tmp_path / "00001.csv").rmdir()
    (tmp_path / "00001.csv").touch()
    assert features_file(str(tmp_path), "00001") == tmp_path / "00001.csv"
