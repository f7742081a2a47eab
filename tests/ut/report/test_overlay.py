# SPDX-License-Identifier: Apache-2.0
"""Each frame of an overlay: which picture, box, points and bars it shows, pixel by pixel."""

import dataclasses
import os
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from mindface_eri.errors import MediaError
from mindface_eri.report.overlay import write_overlay

HELD, BETWEEN, SEEN, BAR = (170, 68, 153), (230, 159, 0), (0, 158, 115), (86, 180, 233)


BOXES = [[20, 30, 60, 90], [25, 31, 65, 92], [40, 34, 80, 98]]
POINTS = [[[25, 40], [50, 80]], [[30, 41], [55, 80]], [[45, 44], [70, 80]]]


def drawn(shade, box, points, colour, *, size=(120, 160), width=1, radius=1):
    """A picture with a box and points at given pixels."""
    image = np.full((*size, 3), shade, np.uint8)
    cv2.rectangle(image, box[:2], box[2:], colour, width, cv2.LINE_AA)
    for point in points:
        cv2.circle(image, point, radius, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(image, point, radius + 1, colour, 1, cv2.LINE_AA)
    return image


def test_each_frame_shows_the_latest_picture(film, tracked, tmp_path):
    film.times = [7.0, 7.1, 7.2, 7.52]  # the container's clock does not begin at 0
    found = tracked([0, 0.1, 0.2, 0.52])
    assert write_overlay(found, tmp_path / "new" / "o.mp4") == tmp_path / "new" / "o.mp4"
    made, = film.made
    assert (made.path, made.fps, made.rate) == (tmp_path / "new" / "o.mp4", 10.0, 48000)
    assert made.path.parent.is_dir()
    assert [frame[0, 0, 0] for frame in made.frames] == [0, 1, 2, 2, 2, 3]
    assert film.read == [(found.path, True)]  # one pass, for pictures and sound


@pytest.mark.parametrize("fps, written, shades", [(0.2, 1.0, [2, 4]), (4.0, 4.0, [0, 1, 2, 3, 4]), (600.0, 60.0, None)])
def test_the_rate_is_the_videos_within_limits(film, tracked, tmp_path, fps, written, shades):
    film.times = [0.0, 0.3, 0.4, 0.75, 1.0]
    write_overlay(tracked(film.times, fps=fps), tmp_path / "o.mp4")
    assert film.made[0].fps == written
    found = [int(frame[0, 0, 0]) for frame in film.made[0].frames]
    # a picture counts from half a frame before its instant on
    assert found == (shades or [0] * 18 + [1] * 6 + [2] * 21 + [3] * 15 + [4])


def test_each_picture_has_its_own_box_and_points(film, tracked, tmp_path):
    film.times = [2.0, 2.25, 2.6, 3.0]
    write_overlay(tracked([0, 0.25, 0.6, 1.0], [3, 2, 3, 3], [*BOXES, BOXES[0]], [*POINTS, POINTS[1]], fps=4.0),
                  tmp_path / "o.mp4")
    pictures = [picture for picture, _ in film.frames]
    assert len(pictures) == 5
    np.testing.assert_array_equal(pictures[0], drawn(0, (20, 30, 60, 90), [(25, 40), (50, 80)], SEEN))
    np.testing.assert_array_equal(pictures[1], drawn(1, (25, 31, 65, 92), [(30, 41), (55, 80)], BETWEEN))
    np.testing.assert_array_equal(pictures[2], drawn(2, (40, 34, 80, 98), [(45, 44), (70, 80)], SEEN))
    np.testing.assert_array_equal(pictures[3], pictures[2])
    np.testing.assert_array_equal(pictures[4], drawn(3, (20, 30, 60, 90), [(30, 41), (55, 80)], SEEN))


def test_pictures_that_were_not_followed_have_the_nearest_ones_face(film, tracked, tmp_path):
    film.times = [0.0, 1.0, 2.0, 3.0]
    write_overlay(tracked([0.9, 2.1, 2.5], [3, 3, 2], BOXES, POINTS, fps=1.0), tmp_path / "o.mp4")
    for number, near in enumerate((0, 0, 1, 2)):
        box, points = tuple(BOXES[near]), [tuple(point) for point in POINTS[near]]
        shown = drawn(number, box, points, BETWEEN if near == 2 else SEEN)
        np.testing.assert_array_equal(film.frames[number][0], shown)


def test_what_is_drawn_of_faces_that_were_not_seen(film, tracked, tmp_path):
    film.times = [0.0, 0.25, 0.5]
    write_overlay(tracked(film.times, [0, 1, 2], BOXES, POINTS, fps=4.0), tmp_path / "o.mp4")
    pictures = [picture for picture, _ in film.frames]
    assert (pictures[0] == 0).all()  # nobody is pointed at
    np.testing.assert_array_equal(pictures[1], drawn(1, (25, 31, 65, 92), [], HELD))
    np.testing.assert_array_equal(pictures[2], drawn(2, (40, 34, 80, 98), [(45, 44), (70, 80)], BETWEEN))


def test_large_pictures_are_reduced_with_their_boxes(film, tracked, tmp_path):
    film.size = (1440, 1000)
    write_overlay(tracked([0.0], [3], [[200, 301, 720, 900]], [[[300, 401]]]), tmp_path / "o.mp4")
    (picture, panel), = film.frames
    assert panel.shape[0] == 720
    np.testing.assert_array_equal(picture, drawn(0, (100, 150, 360, 450), [(150, 200)], SEEN, size=(720, 500), width=3,
                                                 radius=2))


def stamp(text, size):
    """Letters as the panel has them."""
    font = ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
    left, _, right, _ = font.getbbox(text)
    image = Image.new("RGB", (right - left + 1, round(size * 1.25)))
    ImageDraw.Draw(image).text((-left, 0), text, font=font, fill=(235, 235, 235))
    return np.asarray(image)


@pytest.mark.parametrize("height, emotions, size", [
    (120, ("Fear", "Joy", "Awe"), 13), (720, ("Fear", "Joy", "Awe"), 26),
    (60, ("a", "A name that goes on and on and on", "c"), 9)])
def test_bars_show_the_values_of_each_instant(film, tracked, tmp_path, height, emotions, size):
    film.times, film.size = [0.0, 1.5, 4.0], (height, 40)
    write_overlay(dataclasses.replace(tracked(film.times, fps=1.0), emotions=emotions), tmp_path / "o.mp4")
    longest = max(stamp(name, size).shape[1] for name in emotions)
    width = min(max(longest, 5 * size), 16 * size) + 5 * size
    step = min(height / 3, 3.2 * size)
    tops = [round((height - 3 * step) / 2 + (e + 0.62) * step) for e in range(3)]
    for seconds, (_, panel) in enumerate(film.frames):
        values = [[0.2, 0.2, 0.4, 0.6, 0.6][seconds], [0.9, 0.9, 0.5, 0.1, 0.1][seconds], None]
        expected = np.full((height, width, 3), 24, np.uint8)
        for name, top, value in zip(emotions, tops, values):
            expected[top:top + size // 2, size:width - size] = 60
            texts = [(name, size)]
            if value is not None:
                expected[top:top + size // 2, size:size + round(value * (width - 2 * size))] = BAR
                texts.append((f"{value:.2f}", width - size - stamp(f"{value:.2f}", size).shape[1]))
            for text, x in texts:
                letters = stamp(text, size)[:, :16 * size]  # long names are cut
                area = expected[max(top - len(letters) - 2, 0):, x:][:len(letters), :letters.shape[1]]
                np.maximum(area, letters[:len(area), :area.shape[1]], out=area)
        np.testing.assert_array_equal(panel, expected)


@pytest.mark.parametrize("segments, values, shown", [
    ([[0, 2], [2, 4]], [[0.2], [0.6]], [0.2, 0.2, 0.4, 0.6, 0.6]), ([[0, 4]], [[0.3]], [0.3] * 5)])
def test_without_moving_values_bars_show_the_segments_at_their_middles(film, tracked, tmp_path, segments, values,
                                                                       shown):
    film.times, film.size = [0.0, 4.0], (60, 40)
    found = dataclasses.replace(tracked(film.times, fps=1.0), emotions=("Fear",), segments=np.array(segments),
                                values=np.array(values), moments=None, moving=None)
    write_overlay(found, tmp_path / "o.mp4")
    panels = [panel for _, panel in film.frames]
    size = int(60 / 2.9)
    lengths = [int((panel == BAR).all(2).sum(1).max()) for panel in panels]
    assert lengths == [round(value * (panels[0].shape[1] - 2 * size)) for value in shown]


def test_bars_keep_time_at_another_rate_to_the_last_frame(film, tracked, tmp_path):
    film.times, film.size = [0.0, 2.0], (60, 40)
    write_overlay(dataclasses.replace(tracked(film.times, fps=2.0), emotions=("Fear",)), tmp_path / "o.mp4")
    panels = [panel for _, panel in film.frames]
    lengths = [int((panel == BAR).all(2).sum(1).max()) for panel in panels]
    assert lengths == [round(value * (panels[0].shape[1] - 2 * int(60 / 2.9))) for value in (0.2, 0.2, 0.2, 0.3, 0.4)]


def test_values_beyond_the_scale_end_with_it(film, tracked, tmp_path):
    write_overlay(tracked(values=[[1.5, -0.5, 0.5]] * 2), tmp_path / "o.mp4")
    panel = film.frames[0][1]
    bars = (panel == BAR).all(2)
    assert sorted(set(bars.sum(1)) - {0}) == [round((panel.shape[1] - 26) / 2), panel.shape[1] - 26]


def test_what_has_no_picture_has_no_overlay(film, tracked, tmp_path):
    found = dataclasses.replace(tracked([]), path=Path("v.wav"))
    with pytest.raises(MediaError, match=r"^v\.wav: has no picture to draw on$"):
        write_overlay(found, tmp_path / "new" / "o.mp4")
    with pytest.raises(MediaError, match=r"^clip: has no picture to draw on$"):  # a `Clip` has no file to be read
        write_overlay(dataclasses.replace(tracked(), path=None), tmp_path / "new" / "o.mp4")
    assert not (tmp_path / "new").exists() and not film.read
