# SPDX-License-Identifier: Apache-2.0
"""Pictures out of the decoder: grey and colour of any pixel format, upright, reduced, whole and in parts."""

from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from mindface_eri.preprocess import picture
from mindface_eri.preprocess.display import Turn
from mindface_eri.preprocess.picture import FrameCopies, Picture, fitted

TURNS = [Turn(), Turn(True, False, True), Turn(False, True, True), Turn(True, True, False)]  # quarters, anticlockwise


def scene(height=60, width=90):
    """(height, width, 3) with another colour in each corner, and slow ramps, so that nothing is symmetric."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([40 + 150 * x / width, 60 + 120 * y / height, 200 - 100 * x / width], axis=2)
    image[:height // 3, :width // 3] = (220, 40, 30)
    image[height // 2:, width // 2:] = (20, 60, 210)
    return image.astype(np.uint8)


def frame_of(image, pixels):
    # FFmpeg's scaler now and then writes rows of 10 bits wrongly where several threads share a small picture.
    alone = {"threads": 1} if "threads" in (VideoReformatter.reformat.__doc__ or "") else {}
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels, **alone)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "nv12", "gray", "yuvj420p", "yuv420p10le",
                                    "rgb24", "bgr24", "gbrp"])
@pytest.mark.parametrize("height, width", [(60, 90), (70, 50)])
def test_grey_and_colour_of_any_pixel_format(pixels, height, width):
    image = scene(height, width)
    picture = Picture(frame_of(image, pixels))
    luma = image @ np.array([0.299, 0.587, 0.114])
    if pixels in ("yuv420p", "yuv422p", "yuv444p", "nv12"):
        luma = 16 + luma * 219 / 255  # the luma plane as it is stored; what is converted has the full range
    assert picture.grey.shape == (height, width) and picture.grey.dtype == np.uint8
    assert np.abs(picture.grey - luma).max() < 4 and np.abs(picture.grey - luma).mean() < 1.5
    assert picture.solid_grey.flags.c_contiguous
    np.testing.assert_array_equal(picture.solid_grey, picture.grey)
    rgb = picture.rgb()
    assert rgb.shape == (height, width, 3) and rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    if pixels == "gray":
        assert np.ptp(rgb.astype(int), axis=2).max() <= 1
    else:
        assert np.abs(rgb.astype(int) - image).mean() < 4


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("pixels", ["yuv444p", "rgb24"])
def test_a_picture_is_turned_counter_clockwise(rotation, pixels):
    image, turns = scene(), rotation // 90
    frame = frame_of(image, pixels)
    picture, stored = Picture(frame, TURNS[turns]), Picture(frame)
    assert (picture.width, picture.height) == ((60, 90) if turns % 2 else (90, 60))
    np.testing.assert_array_equal(picture.rgb(), np.rot90(stored.rgb(), turns))
    np.testing.assert_array_equal(picture.grey, np.rot90(stored.grey, turns))
    for found in (picture.solid_grey, picture.rgb(), picture.rgb(0.5), picture.reduced_grey(0.5)):
        assert found.flags.c_contiguous
    np.testing.assert_array_equal(picture.rgb(0.5), np.rot90(stored.rgb(0.5), turns))
    part, corner = picture.rgb_around(np.array([10.0, 20.0, 40.0, 44.0]))
    assert corner.tolist() == [6, 16] and part.shape[:2] == (34, 40)
    np.testing.assert_array_equal(part, picture.rgb()[16:50, 6:46])


def test_reduced_pictures_average_their_area():
    rng = np.random.default_rng(3)
    image = np.repeat(rng.integers(0, 256, (24, 40, 1), dtype=np.uint8), 3, axis=2)
    picture = Picture(frame_of(image, "gray"))
    quarter = image[:, :, 0].reshape(6, 4, 10, 4).mean(axis=(1, 3))
    found = picture.reduced_grey(0.25)
    assert found.shape == (6, 10) and found.flags.c_contiguous
    np.testing.assert_allclose(found, quarter, atol=0.51)
    np.testing.assert_allclose(picture.rgb(0.25), np.repeat(quarter[:, :, None], 3, 2), atol=3)
    assert picture.reduced_grey(0.7).shape == (17, 28) and picture.rgb(0.7).shape == (17, 28, 3)
    assert picture.reduced_grey(0.001).shape == (1, 1) and picture.rgb(0.001).shape == (2, 2, 3)
    for scale in (1.0, 2.0):  # never enlarged, and no copy is made
        assert picture.reduced_grey(scale) is picture.solid_grey
        np.testing.assert_array_equal(picture.rgb(scale), picture.rgb())


@pytest.mark.parametrize("pixels, colours, reach", [("yuv420p", "BT709", "MPEG"), ("yuv420p", "BT601", "JPEG"),
                                                    ("yuvj420p", "DEFAULT", "JPEG"), ("yuv420p", "DEFAULT", "MPEG"),
                                                    ("yuv444p", "DEFAULT", "MPEG")])
@pytest.mark.parametrize("size", [(720, 960), (60, 90)])
def test_a_part_has_the_numbers_of_the_whole(pixels, colours, reach, size):
    """Large pictures are converted in parts, with their colour space and range; small ones are cut."""
    frame = frame_of(scene(*size), pixels)
    frame.colorspace = getattr(av.video.reformatter.Colorspace, {"BT709": "ITU709", "BT601": "ITU601"}.get(
        colours, colours))
    frame.color_range = getattr(av.video.reformatter.ColorRange, reach)
    picture, whole = Picture(frame), Picture(frame).rgb()
    height, width = size
    for box in ([width / 3 + 1.5, height / 4 + 1.7, width / 3 + 40.2, height / 4 + 29], [-50, -20, 33.7, 25.1],
                [width - 41, height - 21.5, width + 9, height + 30], [-9, -9, width + 9, height + 9],
                [width / 2 - 17, height / 2 - 9, width / 2, height / 2],
                [width * 0.45, height * 0.45, width * 0.45 + 1, height * 0.45 + 1]):
        part, corner = picture.rgb_around(np.array(box))
        x, y = corner
        np.testing.assert_array_equal(part, whole[y:y + part.shape[0], x:x + part.shape[1]])
        assert max(box[0] - 6, 0) <= x <= max(box[0] - 4, 0) and max(box[1] - 6, 0) <= y <= max(box[1] - 4, 0)
        assert x + part.shape[1] >= min(box[2] + 4, width) and y + part.shape[0] >= min(box[3] + 4, height)
        assert part.shape[1] <= box[2] - box[0] + 14 and part.shape[0] <= box[3] - box[1] + 14


@pytest.mark.parametrize("size, pixels, spared", [
    ((720, 960), "yuv420p", True), ((960, 720), "yuvj420p", True), ((600, 1000), "yuv420p", True),
    ((598, 1000), "yuv420p", False), ((400, 1280), "yuv420p", False), ((1280, 400), "yuv420p", False),
    ((720, 960), "yuv444p", False), ((720, 960), "nv12", False)])
def test_a_part_of_a_large_picture_spares_converting_the_whole(monkeypatch, size, pixels, spared):
    picture, asked = Picture(frame_of(scene(*size), pixels)), []
    whole = picture.rgb()
    monkeypatch.setattr(Picture, "rgb", lambda self, scale=1.0: asked.append(scale) or whole)
    part, corner = picture.rgb_around(np.array([301.5, 201.5, 341.5, 243.5]))
    assert part.shape == (54, 52, 3) and corner.tolist() == [296, 196] and bool(asked) != spared
    assert Picture(frame_of(scene(*size), pixels), TURNS[2]).rgb_around(np.array([301.0, 201.0, 340.0, 240.0]))[0].size
    assert len(asked) == 2 - spared  # what is turned is converted as a whole


def test_one_scaler_for_all_pictures_of_a_kind_and_none_for_two_kinds(monkeypatch):
    """Whatever came before: other colours, sizes, threads."""
    made = []
    monkeypatch.setattr(av.video.reformatter, "VideoReformatter", lambda: made.append(1) or VideoReformatter())
    picture._scaler.cache_clear()
    frames = []
    for space in ("ITU709", "ITU601", "ITU709"):
        frames.append(frame_of(scene(), "yuv420p"))
        frames[-1].colorspace = getattr(av.video.reformatter.Colorspace, space)
    found = [Picture(frame).rgb() for frame in (*frames, frame_of(scene(70, 50), "yuv420p"))]
    for image, frame in zip(found, frames):
        np.testing.assert_array_equal(image, VideoReformatter().reformat(frame, format="rgb24").to_ndarray())
    assert not np.array_equal(found[0], found[1]) and len(made) == 3
    with ThreadPoolExecutor(1) as thread:
        np.testing.assert_array_equal(thread.submit(Picture(frames[1]).rgb).result(), found[1])
    assert len(made) == 4


def test_a_box_outside_the_picture_is_an_empty_part():
    picture = Picture(frame_of(scene(), "yuv420p"))
    for box in ([200, 10, 240, 50], [10, 200, 50, 240], [-90, 10, -50, 50]):
        part, _ = picture.rgb_around(np.array(box, float))
        assert part.size == 0


@pytest.mark.parametrize("pixels", ["yuv420p", "rgb24", "yuv420p10le"])
def test_copies_are_the_same_picture_in_other_memory(pixels):
    copied = FrameCopies()
    for size in ((60, 90), (60, 90), (48, 90), (48, 64), (60, 64)):
        frame = frame_of(scene(*size), pixels)
        copy = copied(frame)
        assert (copy.width, copy.height, copy.format.name) == (size[1], size[0], pixels)
        assert copy.planes[0].buffer_ptr != frame.planes[0].buffer_ptr
        np.testing.assert_array_equal(Picture(copy).rgb(), Picture(frame).rgb())
    other = copied(frame_of(scene(), "yuv422p"))
    assert other.format.name == "yuv422p"


def test_a_picture_of_another_form_is_laid_into_the_middle():
    """A phone that is turned in a call: the face keeps its form."""
    upright = av.VideoFrame.from_ndarray(np.full((80, 40, 3), 200, np.uint8), "rgb24")
    found = fitted(upright, (60, 40), (40, 80)).to_ndarray(format="rgb24")
    assert found.shape == (40, 60, 3) and (found[:, 20:40] == 200).all() and not found[:, :20].any()
    squeezed = fitted(upright, (60, 40), (120, 80)).to_ndarray(format="rgb24")  # its pixels are thrice as wide as high
    assert squeezed.shape == (40, 60, 3) and (squeezed == 200).all()
    wider = fitted(upright, (60, 40), (160, 80)).to_ndarray(format="rgb24")
    assert (wider[5:35] == 200).all() and not wider[:5].any() and not wider[35:].any()
    assert fitted(upright, (38, 78), (40, 80)).to_ndarray(format="rgb24").min() == 200  # all but the same form: no edge
