# SPDX-License-Identifier: Apache-2.0
"""One clip taken apart into a file: what is passed on, what is stored, and what each fault is told as."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from mindface_eri.datasets.build.extraction import DEFAULT_EXTRACTOR, extract_to_file, run_task
from mindface_eri.errors import ConfigError, MediaError, MissingDependencyError
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.storage import encode_jpeg


@pytest.fixture
def clip(extractor, tiny):
    """A clip with a face and sound; `extractor` puts the fake one on the path."""
    import fake_extractor

    return fake_extractor.content(3, tiny)


@pytest.fixture
def run(tmp_path, tiny):
    def extract(made, config=tiny, **task):
        def extractor(path, config, *, audio_path=None):
            asked.append((path, config, audio_path))
            if isinstance(made, Exception):
                raise made
            return made

        asked = []
        task = {"video": "v.mp4", "audio": None, "target": str(tmp_path / "000001.npz"), "preview": None, "id": "c1",
                **task}
        return extract_to_file(extractor, config, task), asked
    return extract


def stored(tmp_path):
    with np.load(tmp_path / "000001.npz") as arrays:
        return {**arrays, "row": json.loads(arrays["row"].tobytes())}


@pytest.mark.parametrize("video, audio, asked", [
    ("v.mp4", None, ("v.mp4", None)), ("v.mp4", "a.wav", ("v.mp4", "a.wav")), (None, "a.wav", ("a.wav", None)),
])
def test_picture_and_sound_file_reach_the_extractor(run, clip, tiny, video, audio, asked):
    reply, calls = run(clip, video=video, audio=audio)
    assert reply == ("done", "", "") and calls == [(asked[0], tiny, asked[1])]


def test_a_clip_is_stored_with_its_row(run, clip, tmp_path, tiny):
    odd = replace(clip, detector="mtcnn", found_share=0.123456, others=np.int64(2), duration=3.987654, fps=29.970029,
                  width=np.int32(640), height=360, quality="fair", present=np.float32([1, 0]))
    assert run(odd, replace(tiny, storage="raw"))[0][0] == "done"
    found = stored(tmp_path)
    assert found.pop("row") == {"present_visual": 1, "present_acoustic": 0, "detector": "mtcnn", "found_share": 0.1235,
                                "others": 2, "duration": 3.9877, "fps": 29.97, "width": 640, "height": 360,
                                "quality": "fair", "content_hash": clip.content_hash(), "source": {}}
    assert found.keys() == {"frames", "mfcc", "present", "timestamps", "boxes", "detected", "landmarks"}
    assert found["frames"].shape == (4 * 32 * 32 * 3,)
    for name, value in found.items():
        np.testing.assert_array_equal(value.reshape(getattr(odd, name).shape), getattr(odd, name))
        assert value.dtype == (np.uint8 if name in ("frames", "detected") else np.float32)
    assert [path.name for path in tmp_path.iterdir()] == ["000001.npz"]


@pytest.mark.parametrize("black", [False, True])
@pytest.mark.parametrize("quality", [95, 30])
def test_crops_are_stored_as_jpeg_of_the_quality_asked(run, clip, tmp_path, tiny, black, quality):
    made = replace(clip, frames=np.zeros_like(clip.frames)) if black else clip
    run(made, replace(tiny, jpeg_quality=quality))
    assert stored(tmp_path)["frames"].tobytes() == encode_jpeg(made.frames, quality)
    small = replace(made, frames=made.frames[:2], mfcc=made.mfcc[:2], boxes=made.boxes[:2])
    run(small, replace(tiny, frames=2, jpeg_quality=quality))
    assert stored(tmp_path)["frames"].tobytes() == encode_jpeg(small.frames, quality)


class Late(MediaError):
    stage = "face"


@pytest.mark.parametrize("error, reply", [
    (MediaError("no picture"), ("failed", "media", "no picture")),
    (Late("no face"), ("failed", "face", "no face")),
    (MissingDependencyError("dlib"), ("fatal", "dependency", "dlib")),
    (ConfigError("detector"), ("fatal", "dependency", "detector")),
    (KeyError("odd"), ("failed", "extract", "KeyError: 'odd'")),
])
def test_what_goes_wrong_is_told_not_raised(run, tmp_path, error, reply):
    assert run(error)[0] == reply and not list(tmp_path.iterdir())


@pytest.mark.parametrize("change, reason", [
    ({"frames": np.ones((4, 32, 31, 3), np.uint8)}, "frames came out as (4, 32, 31, 3), expected (4, 32, 32, 3)"),
    ({"frames": np.ones((3, 32, 32, 3), np.uint8)}, "frames came out as (3, 32, 32, 3), expected (4, 32, 32, 3)"),
    ({"mfcc": np.ones((4, 7))}, "mfcc came out as (4, 7), expected (4, 8)"),
    ({"mfcc": np.where(np.arange(32).reshape(4, 8) == 9, np.inf, 0.5)}, "the MFCC hold values that are not finite"),
    ({"mfcc": np.full((4, 8), np.nan)}, "the MFCC hold values that are not finite"),
    ({"present": np.zeros(2)}, "neither a face nor sound was found"),
])
def test_what_cannot_be_stored_fails_with_a_reason(run, clip, tmp_path, change, reason):
    assert run(replace(clip, **change))[0] == ("failed", "extract", reason) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("present", [(1, 0), (0, 1)])
def test_one_modality_will_do(run, clip, present):
    assert run(replace(clip, present=np.float32(present)))[0] == ("done", "", "")


def test_a_folder_that_cannot_be_written_stops_the_run(run, clip, tmp_path):
    (tmp_path / "file").touch()
    state, stage, reason = run(clip, target=str(tmp_path / "file" / "1.npz"))[0]
    assert (state, stage) == ("fatal", "storage") and reason.startswith(f"{tmp_path}/file/1.npz: cannot be written (")


def test_a_picture_that_cannot_be_drawn_is_said_and_the_clip_kept(run, clip, tmp_path):
    state, stage, said = run(clip, preview=str(tmp_path / "sheet.png"))[0]
    assert (state, stage) == ("done", "") and said.startswith("no contact sheet of c1: ")
    assert [path.name for path in tmp_path.iterdir()] == ["000001.npz"]


def test_the_contact_sheet_gets_the_clip_alone(run, clip, monkeypatch):
    """It carries its sound's envelope, so that no file is opened to draw it."""
    told = []

    class Preview:
        @staticmethod
        def save_contact_sheet(*arguments, **options):
            told.append((arguments, options))

    monkeypatch.setitem(sys.modules, "mindface_eri.preprocess.preview", Preview)
    assert run(clip, audio="a.wav", preview="sheet.png")[0] == ("done", "", "")
    assert told == [((clip, "sheet.png", "c1"), {})]


def test_the_usual_extractor_is_the_libraries_own():
    module, _, name = DEFAULT_EXTRACTOR.partition(":")
    assert getattr(sys.modules[module], name) is extract_clip


def test_a_workers_task_names_its_extractor(extractor, tiny, tmp_path):
    (tmp_path / "v.mp4").write_text("media")
    task = {"video": str(tmp_path / "v.mp4"), "audio": None, "target": "1.npz", "preview": None, "id": "c"}
    assert run_task((extractor, tiny), task) == ("failed", "media", f"{tmp_path}/v.mp4: no picture, no sound")


@pytest.mark.parametrize("name, said", [("extractor_that_is_not_there:extract", "No module named"),
                                        ("fake_extractor:gone", "has no attribute 'gone'")])
def test_an_extractor_that_is_not_there_stops_the_run(extractor, tiny, name, said):
    state, stage, reason = run_task((name, tiny), {"video": "x", "audio": None})
    assert (state, stage) == ("fatal", "dependency")
    assert reason.startswith(f"{name} cannot be imported: ") and said in reason and "`mindface-eri doctor`" in reason
