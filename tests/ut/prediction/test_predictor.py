# SPDX-License-Identifier: Apache-2.0
"""From files to predictions: their order, batches, timelines and failures, and what is refused."""

import wave
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.constants import EMOTIONS
from mindface_eri.deploy.backends import CellBackend
from mindface_eri.errors import ConfigError, DataError, MediaError
from mindface_eri.models import build_network
from mindface_eri.prediction import extraction
from mindface_eri.prediction.predictor import Predictor
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.writer import write_video


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """1.5 s of a tone, another of its frequency's half, and a video without a face or sound."""
    root = tmp_path_factory.mktemp("sounds")
    for name, hertz in (("hum", 440), ("low", 220)):
        with wave.open(str(root / f"{name}.wav"), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16000)
            out.writeframes((9000 * np.sin(2 * np.pi * hertz * np.arange(24000) / 16000)).astype("<i2").tobytes())
    write_video(root / "blank.mp4", [np.full((48, 64, 3), 10 * i, np.uint8) for i in range(15)], 10)
    return root


def test_rows_of_clips_and_of_those_that_fail(made, sounds, flat):
    predictor, backend = made()
    rows = flat(predictor.predict([sounds / "hum.wav", sounds / "gone.wav",
                                   (sounds / "blank.mp4", sounds / "low.wav")]))
    assert [row["File_ID"] for row in rows] == ["hum", "gone", "blank"]
    assert rows[0] == {"File_ID": "hum", "Joy": 0.0, "Awe": 0.0625} and type(rows[0]["Awe"]) is float
    assert list(rows[1]) == ["File_ID", "error"] and "gone.wav" in rows[1]["error"]
    clip = extract_clip(sounds / "blank.mp4", predictor.preprocess, audio_path=sounds / "low.wav")
    assert clip.mfcc.any()  # of the sound beside it
    frames, mfcc, present = backend.seen
    assert present.tolist() == [[0, 1]] and present.dtype == np.float32
    assert np.array_equal(mfcc[0], clip.mfcc) and np.array_equal(frames[0], clip.frames)


def test_a_clip_without_what_the_network_needs(made, sounds, flat):
    rows = flat(made("eri_visual")[0].predict([sounds / "hum.wav", sounds / "blank.mp4"]))
    assert rows[0] == {"File_ID": "hum", "error": f"{sounds / 'hum.wav'}: eri_visual needs a face, and none was found "
                                                  "(no video stream); use a model of both modalities"}
    assert "nothing to work on" in rows[1]["error"]


def test_the_predictions_files_and_folders_of_features(multi, sounds, tmp_path, flat):
    """A set's file is found by the clip's name; folders are looked for before any clip is taken apart."""
    predictor, backend = multi
    for name in ("fau", "gaze"):
        (tmp_path / name).mkdir()
    (tmp_path / "fau" / "[hum].csv").write_text("t,AU04,AU01,AU02\n0,1,10,7\n2000,5,30,7\n")
    folders = {name: tmp_path / name for name in ("gaze", "fau")}
    (found,) = predictor.predict([sounds / "hum.wav"], features=folders)  # at 0, 0.5, 1 and 1.5 s
    assert found.rows() == [{"File_ID": "hum", "Joy": 0.0, "Awe": 0.0625}]
    assert (found.path, found.sound) == (sounds / "hum.wav", None)
    np.testing.assert_allclose(backend.seen[2][0], [[10, 7, 1], [15, 7, 2], [20, 7, 3], [25, 7, 4]], rtol=1e-6)
    assert backend.seen[4].tolist() == [[0, 1, 1, 0]] and not backend.seen[3].any()
    with pytest.raises(DataError, match="takes the feature set 'gaze'"):
        predictor.predict([sounds / "hum.wav"], features={"fau": folders["fau"]})
    assert flat(predictor.predict([], features=folders)) == []


class Counting:
    """Says how bright each clip is; keeps the size of each batch."""

    def __init__(self):
        self.sizes = []

    def run(self, inputs):
        frames, mfcc, present = inputs
        self.sizes.append(len(frames))
        assert mfcc.shape[1:] == (4, 16) and present.tolist() == [[1, 1]] * len(frames)
        return frames[:, 0, 0, 0, :1] / 255 + np.arange(7) / 100

    def attention(self, inputs):
        return None


@pytest.fixture()
def counting(monkeypatch, make_clip, predictor):
    """Files whose name says their brightness; `bad` cannot be read, `blind` has neither face nor sound."""
    def extract(path, config, *, audio_path=None, instants=None):
        if path.stem == "bad":
            raise MediaError("bad.mp4: broken")
        here = path.stem != "blind"
        seconds = 48.0 if path.stem == "long" else 30.0
        clip = make_clip(instants(seconds), sound=here, face=here, seconds=seconds)
        return clip if path.stem in ("blind", "long") else type(clip)(
            **{**vars(clip), "frames": np.full_like(clip.frames, int(path.stem))})

    monkeypatch.setattr(extraction, "extract_clip", extract)
    predictor._backend = Counting()
    return predictor


def files(*stems):
    return [Path(f"{stem}.mp4") for stem in stems]


@pytest.mark.parametrize("batch_size, sizes", [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (9, [5])])
def test_answers_stand_in_the_order_of_the_clips_whatever_the_batches(counting, flat, batch_size, sizes):
    stems = (51, "bad", 102, 153, "blind", 204, 0)
    rows = flat(counting.predict(files(*stems), batch_size=batch_size))
    assert counting._backend.sizes == sizes
    assert [row["File_ID"] for row in rows] == [str(stem) for stem in stems]
    assert rows[0] == {"File_ID": "51", **{name: pytest.approx(0.2 + e / 100) for e, name in enumerate(EMOTIONS)}}
    assert [row.get("Adoration") for row in rows] == [pytest.approx(x) if x is not None else None
                                                      for x in (0.2, None, 0.4, 0.6, None, 0.8, 0.0)]
    assert rows[1] == {"File_ID": "bad", "error": "bad.mp4: broken"}
    assert rows[4]["error"].startswith("blind.mp4: eri_dual_branch needs a face or")


def test_long_videos_give_a_row_a_segment_among_the_others(counting, flat):
    for batch_size in (1, 3):
        told = []
        rows = flat(counting.predict(files(51, "long", 0, "bad"), batch_size=batch_size, notify=told.append))
        assert [row["File_ID"] for row in rows] == ["51", *["long"] * (len(rows) - 3), "0", "bad"]
        assert rows[1]["start"] == 0.0 and rows[-3]["end"] == 48.0 and len(rows) == 9
        assert all(row["end"] == after["start"] for row, after in zip(rows[1:-3], rows[2:-2]))
        assert told == ["long: 48.0 s", *(f"long: {done} of 6 windows" for done in
                                          ((3, 6) if batch_size == 3 else range(1, 7)))]
    assert len(flat(counting.predict(files(51, "long"), whole=True))) == 2
    for more in ({"window": 15.0}, {"hop": 6.0}):
        assert all("start" in row for row in flat(counting.predict(files(51), **more)))


def test_an_answer_waits_only_for_its_batch(counting):
    answers = counting.predict(files(51, "long", "bad", 102, "bad", 153), batch_size=2)
    assert [next(answers).name for _ in range(4)] == ["51", "long", "bad", "102"]
    assert counting._backend.sizes[-1] == 2
    assert [(found.name, found.error) for found in answers] == [("bad", "bad.mp4: broken"), ("153", "")]


def test_what_is_asked_for_must_be_possible(counting, make_clip):
    for more, said in (({"batch_size": 0}, "batch_size 0 and workers 0: must be at least 1 and 0"),
                       ({"workers": -1}, "batch_size 1 and workers -1"), ({"hop": -1.0}, "hop of -1 s"),
                       ({"clip_limit": 60.0}, "worker processes only"),
                       ({"clip_limit": 0.0, "workers": 1}, "a limit of 0 s leaves no clip any time"),
                       ({"window": float("nan")}, "window of nan s")):
        with pytest.raises(ConfigError, match=said):
            counting.predict(files(51), **more)
    with pytest.raises(DataError, match="51.mp4: one clip, where several are expected"):
        counting.predict("51.mp4")
    for more in ({"window": 3.0}, {"hop": 3.0}):
        with pytest.raises(ConfigError, match="a Clip holds the instants of one answer only; give the file's path"):
            counting.predict([Path("51.mp4"), make_clip()], **more)


def test_clips_taken_apart_already_are_answered_whole(counting, make_clip):
    clips = [make_clip(seconds=60.0), make_clip(5), make_clip()]
    found = list(counting.predict(clips, moving=True, batch_size=3))
    assert [one.name for one in found] == ["clip-00000", "clip-00001", "clip-00002"]
    assert found[0].clip is clips[0] and found[0].path is None and not found[0].is_timeline
    assert found[0].moving is None and found[0].segments.tolist() == [[0.0, 60.0]]
    assert found[1].error.startswith("clip-00001: frames of (5, 32, 32, 3) uint8, the network takes (4, 32, 32, 3)")
    assert counting._backend.sizes == [2]


@pytest.mark.parametrize("trouble, said", [
    (RuntimeError("\n[E] out of luck\nmore"), "102.mp4: RuntimeError: [E] out of luck"),
    (MemoryError(), "102.mp4: takes more memory than there is"), (np.nan, "holds NaN or infinity"),
    (-np.inf, "holds NaN or infinity")])
@pytest.mark.parametrize("more", [{}, {"batch_size": 3}, {"window": 12.0}, {"moving": True}])
def test_an_error_of_the_network_costs_its_clip_alone(counting, monkeypatch, trouble, said, more):
    right = [found.rows() for found in counting.predict(files(51, 153), **more)]
    run = counting._backend.run

    def fail(inputs):
        values = run(inputs)
        for row in np.flatnonzero(inputs[0][:, -1, 0, 0, 0] == 102):
            if isinstance(trouble, Exception):
                raise trouble
            values[row, 3] = trouble
        return values

    monkeypatch.setattr(counting._backend, "run", fail)
    one, two, three = counting.predict(files(51, 102, 153), **more)
    assert said in two.error and two.rows() == [{"File_ID": "102", "error": two.error}]
    assert [one.rows(), three.rows()] == right


def test_a_window_that_shows_nothing_may_give_anything(counting, media, monkeypatch):
    """Its answer is not used."""
    media(60.0, states=[3, 3] + [0] * 40)
    answer = np.full(7, 0.5)
    monkeypatch.setattr(counting._backend, "run", lambda inputs: np.where(inputs[2][:, :1] > 0, answer, np.nan))
    rows = next(counting.predict(["a.mp4"], window=10.0)).rows()
    assert rows[0]["Fear"] == 0.5 and rows[-1]["error"] == "neither face nor sound here"


@pytest.mark.parametrize("name", ["eri_features", "eri_multi_branch"])
def test_networks_of_features_show_where_they_look(name, tiny, recording, media, tmp_path):
    """The real ones, over a timeline and of a whole clip: answers are those without weights, and weights add up."""
    model = tiny(name, emotions=("Joy", "Awe"), mfcc_features=16, features=("gaze",), feature_widths=(1,))
    network = build_network(model, read_stem=False).set_train(False)
    gaze = {"columns": ["x"], "time_column": None, "unit": "s", "method": "linear"}
    predictor = Predictor(CellBackend(network), model, recording.preprocess, features={"gaze": gaze})
    (tmp_path / "x.csv").write_text("x\n0\n6\n")
    media(6.0, waveform=np.ones(96000))
    for more in ({}, {"window": 3.0, "hop": 3.0, "batch_size": 1}):
        (found,) = predictor.predict(["x.mp4"], features={"gaze": tmp_path}, attention=True, **more)
        (plain,) = predictor.predict(["x.mp4"], features={"gaze": tmp_path}, **more)
        np.testing.assert_allclose(found.values, plain.values, atol=1e-5)
        assert np.isfinite(found.intensities).all() and len(found.values) == (2 if more else 1)
        count = len(found.clip.timestamps)
        assert found.temporal.shape == (count,) and (found.temporal > 0).all()
        if not more:
            np.testing.assert_allclose(found.temporal.sum(), 1, atol=1e-5)
        if name == "eri_features":
            assert found.spatial is None
        else:
            np.testing.assert_allclose(found.spatial.sum((1, 2)), 1, atol=1e-5)
            assert found.spatial.shape[0] == count


def test_a_face_between_the_networks_own_instants_is_no_face_for_it(media, predictor, tmp_path):
    """Values that move ask for twice as many instants; the answer needs a face, or sound, at those of the network."""
    media(3.0, states=[0, 3, 0, 3, 0, 2, 0])
    (found,) = predictor.predict([tmp_path / "blink.mp4"], moving=True)
    assert found.error.startswith(f"{tmp_path / 'blink.mp4'}: eri_dual_branch needs a face or sound, and none was")
    media(3.0, states=[0, 3, 0, 3, 0, 2, 3])
    (found,) = predictor.predict([tmp_path / "blink.mp4"], moving=True)
    assert not found.error
    assert found.clip.detected.tolist() == [0, 0, 0, 3]
