# SPDX-License-Identifier: Apache-2.0
"""Which frames are sampled and cropped, how, from how many decodes, and when a face is too rare to count."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.constants import FRAME_STATES
from mindface_eri.preprocess import visual
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.detectors import Detection, DlibDetector, MtcnnDetector, register_detector
from mindface_eri.preprocess.geometry import aligned_box, crop, face_boxes, smooth
from mindface_eri.preprocess.video import read_frames, write_video

LIT = 100  # of 255: a picture brighter than this shows a face


def look(image, limit=LIT):
    """A face in the middle of a bright picture."""
    height, width = image.shape[:2]
    side = 0.6 * height
    box = np.array([width / 2 - side / 2, height * 0.55 - side / 2, width / 2 + side / 2, height * 0.55 + side / 2])
    return [Detection(box.astype(np.float32), True)] if image.mean() > limit else []


@register_detector("middle-of-bright-pictures")
class Middle:
    """A detector whose faces are known."""

    colour, max_height = False, 4320

    def find(self, image):
        return look(image)


FACE = FaceConfig(detector="middle-of-bright-pictures", mode="every-frame", size=32, smoothing=0.0, gap_window=0,
                  min_share=0.25)


def flat(*levels):
    return [np.full((96, 96, 3), level, np.uint8) for level in levels]


def write_lit(path, write_streams, lit, sound=True):
    """16 frames at 20 a second, of which those numbered in `lit` show a face."""
    write_streams(path, flat(*[200 - k if k in lit else 30 for k in range(16)]), [k / 20 for k in range(16)],
                  np.full(16000, 0.1) if sound else None)


def test_frames_nearest_to_instants_spread_evenly_over_time(tmp_path, write_streams):
    stamps, levels = [0.5, 0.54, 0.58, 0.7, 1.1, 1.14, 1.5], [120, 130, 140, 150, 160, 170, 180]
    write_streams(tmp_path / "clip.mkv", flat(*levels), stamps, pixels="yuv444p")
    clip = extract_clip(tmp_path / "clip.mkv", PreprocessConfig(frames=4, face=FACE))
    # Wanted are 0.5, 0.833, 1.167 and 1.5 s.
    np.testing.assert_allclose(clip.timestamps, [0, 0.2, 0.64, 1.0], atol=1e-6)
    np.testing.assert_allclose(clip.frames[:, 10:22, 10:22].mean(axis=(1, 2, 3)), [120, 150, 170, 180], atol=1)
    assert clip.duration == pytest.approx(1.08) and clip.fps == pytest.approx(12.5)  # the median step is 0.08 s
    assert (clip.width, clip.height, clip.detector) == (96, 96, "middle-of-bright-pictures")
    one = tmp_path / "one.mp4"
    write_video(one, flat(150), 20)
    clip = extract_clip(one, PreprocessConfig(frames=3, face=FACE))
    assert clip.duration == pytest.approx(0.05) and clip.fps == pytest.approx(20) and clip.present[0] == 1


def test_instants_half_way_take_the_earlier_frame():
    np.testing.assert_array_equal(visual.sample(np.array([0.0, 1.0, 2.0, 3.0]), 3), [0, 1, 3])
    np.testing.assert_array_equal(visual.sample(np.array([5.0, 6.0, 7.0, 9.0]), 5), [0, 1, 2, 2, 3])
    np.testing.assert_array_equal(visual.sample(np.array([0.0, 0.9, 2.0]), 1), [0])


@pytest.mark.parametrize("lit, share, note", [
    ((2, 7, 11, 15), 0.25, ""), ((2, 7, 11, 15), 0.26, "a face in 4 of 16 frames, need 26%"),
    ((4,), 0.25, "a face in 1 of 16 frames, need 25%"), ((4,), 0.0, ""), ((), 0.0, "no face in any of 16 frames")])
def test_a_face_counts_from_the_least_share_on(tmp_path, write_streams, lit, share, note):
    write_lit(tmp_path / "clip.mkv", write_streams, lit)
    clip = extract_clip(tmp_path / "clip.mkv", PreprocessConfig(frames=16, face=replace(FACE, min_share=share)))
    assert clip.note == note and clip.found_share == len(lit) / 16 and clip.present.tolist() == [not note, 1]
    found = np.zeros(16, bool)
    if not note:
        found[list(lit)] = True
    assert [FRAME_STATES[s] for s in clip.detected] == ["detected" if f else "none" for f in found]
    for values in (clip.boxes, clip.landmarks):
        np.testing.assert_array_equal(values.reshape(16, -1).any(axis=1), found)
    assert clip.frames.any() == found.any()
    for k in range(16 if found.any() else 0):  # where there is no face the nearest one is shown again
        np.testing.assert_array_equal(clip.frames[k], clip.frames[min(lit, key=lambda j: (abs(j - k), j))])  # noqa
    assert clip.detector == ("none" if note else "middle-of-bright-pictures")
    assert (clip.width, clip.height, clip.fps) == (96, 96, pytest.approx(20))
    np.testing.assert_allclose(clip.timestamps, np.arange(16) / 20, atol=1e-6)


def test_in_track_mode_sampled_frames_are_looked_at_whatever_the_stride(tmp_path, write_streams):
    write_streams(tmp_path / "clip.mkv", flat(*[30] * 31), [k / 20 for k in range(31)], np.full(9000, 0.1))
    for stride, looked in ((100, 4), (6, 7), (5, 7)):  # 0, 10, 20 and 30; 6, 16 and 26; 5, 15 and 25
        face = replace(FACE, mode="track", track_stride=stride)
        clip = extract_clip(tmp_path / "clip.mkv", PreprocessConfig(frames=4, face=face))
        assert clip.note == f"no face in any of {looked} frames"


@pytest.mark.parametrize("dlib, mtcnn, detector, share, calls", [
    (60, 193, "dlib", 1.0, 0), (178, 60, "mtcnn", 1.0, 1), (178, 193, None, 0.1875, 1), (182, 189, None, 0.1875, 1),
    (210, 199, None, 0.0, 1)])
def test_auto_asks_mtcnn_where_dlib_finds_too_little(tmp_path, write_streams, monkeypatch, dlib, mtcnn, detector,
                                                    share, calls):
    """Each finds the frames that are brighter than its limit; these go from 199 down by 4, their luma from 187."""
    asked = []
    monkeypatch.setattr(DlibDetector, "find", lambda self, image: look(image, dlib))
    monkeypatch.setattr(MtcnnDetector, "__init__", lambda self: asked.append(1))
    monkeypatch.setattr(MtcnnDetector, "find", lambda self, image: look(image, mtcnn))
    write_streams(tmp_path / "clip.mkv", flat(*[199 - 4 * k for k in range(16)]), [k / 20 for k in range(16)],
                  np.full(8000, 0.1), pixels="yuv444p")
    clip = extract_clip(tmp_path / "clip.mkv", PreprocessConfig(frames=16, face=replace(FACE, detector="auto")))
    assert (clip.detector, len(asked)) == (detector or "none", calls)
    assert clip.found_share == share
    if detector is None:
        assert clip.note == (f"a face in {16 * share:.0f} of 16 frames, need 25%" if share else
                             "no face in any of 16 frames")


@pytest.mark.parametrize("count, kept, factor", [(3, 3, 1), (64, 7, 1), (65, 7, 8)])
def test_a_clip_is_decoded_twice_only_where_its_frames_do_not_fit(tmp_path, write_streams, monkeypatch, count, kept,
                                                                  factor):
    reads = []

    def read(path, info):
        reads.append(path)
        return read_frames(path, info)

    path, levels, needed = tmp_path / "clip.mkv", [130 + 9 * k for k in range(7)], kept * 96 * 96 * 3 // 2 * factor
    write_streams(path, flat(*levels), [k / 20 for k in range(7)], pixels="yuv444p")
    monkeypatch.setattr(visual, "read_frames", read)
    config, clips = PreprocessConfig(frames=count, face=replace(FACE, mode="track", track_stride=3)), []
    for budget, decodes in ((needed, 1), (needed - 1, 2), (10 ** 9, 1)):
        monkeypatch.setattr(visual, "_BUDGET", budget)
        reads.clear()
        clips.append(extract_clip(path, config))
        assert len(reads) == decodes
    assert len({clip.content_hash() for clip in clips}) == 1
    times = np.arange(7) / 20
    picks = [np.abs(times - instant).argmin() for instant in np.linspace(0, times[-1], count)]
    found = clips[0].frames[:, 10:22, 10:22].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found, np.array(levels)[picks], atol=1.5)
    assert (clips[0].detected == FRAME_STATES.index("detected")).all()  # what is sampled is looked at


@pytest.fixture(scope="module", params=[(960, 720), (720, 960)], ids=["wide", "tall"])
def tilted(request, tmp_path_factory, face_picture, write_streams):
    """Three large pictures of a face that is not level, moving and turning."""
    path, frames, (width, height) = tmp_path_factory.mktemp("tilted") / "clip.mkv", [], request.param
    for k in range(3):
        level = face_picture(width, height, [(width / 2 + 9 * k * k, 0.54 * height - 5 * k, 0.53 * height)])
        turn = cv2.getRotationMatrix2D((width / 2, 0.54 * height), 14 + 4 * k, 1.0)
        frames.append(cv2.warpAffine(level, turn, (width, height), borderMode=cv2.BORDER_REPLICATE))
    write_streams(path, frames, [0, 0.1, 0.2])
    return path, [picture.rgb() for _, picture in read_frames(path)]


@pytest.mark.parametrize("align, margin, size", [(False, 0.2, 112), (False, 0.9, 48), (True, 0.2, 112),
                                                 (True, 0.6, 64)])
def test_crops_are_those_of_the_whole_picture(tilted, align, margin, size):
    path, pictures = tilted
    clip = extract_clip(path, PreprocessConfig(frames=3, face=replace(FACE, align=align, margin=margin, size=size)))
    assert clip.frames.shape == (3, size, size, 3) and np.ptp(clip.frames, axis=0).max() > 30
    for picture, found, box, marks in zip(pictures, clip.frames, clip.boxes, clip.landmarks):
        expected, angle = aligned_box(marks, margin) if align else (face_boxes(marks, margin), 0.0)
        np.testing.assert_allclose(box, expected, atol=1e-3)
        assert not align or abs(angle) > 0.1
        np.testing.assert_array_equal(found, crop(picture, box, size, angle))


def test_landmarks_are_smoothed_as_the_config_says(tilted):
    raw = extract_clip(tilted[0], PreprocessConfig(frames=3, face=FACE))
    soft = extract_clip(tilted[0], PreprocessConfig(frames=3, face=replace(FACE, smoothing=2.0)))
    np.testing.assert_allclose(soft.landmarks, smooth(raw.landmarks, raw.detected, 2.0), atol=1e-3)
    assert np.abs(soft.landmarks - raw.landmarks).max() > 3
    np.testing.assert_allclose(soft.boxes, face_boxes(soft.landmarks, 0.2), atol=1e-3)
