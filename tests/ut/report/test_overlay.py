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
from mindface_eri.report import overlay
from mindface_eri.report.overlay import write_overlay

HELD, BETWEEN, SEEN, BAR = (170, 68, 153), (230, 159, 0), (0, 158, 115), (86, 180, 233)


class Film:
    """Pictures of one shade each; `made` is what would be written, before any codec."""

    def __init__(self, monkeypatch):
        self.made, self.asked, self.size, self.times, self.length = [], [], (120, 160), [0.0], None
        monkeypatch.setattr(overlay, "read_frames", self.read)
        monkeypatch.setattr(overlay, "frame_times", lambda path: np.array(self.times))
        monkeypatch.setattr(overlay, "duration_of", lambda path: self.length or self.times[-1] - self.times[0])
        monkeypatch.setattr(overlay, "waveform_of", self.sound)
        monkeypatch.setattr(overlay, "write_video", self.write)

    def read(self, path):
        for number, seconds in enumerate(self.times):
            yield seconds, dataclasses.make_dataclass("Shade", ["height", "rgb"])(
                self.size[0], lambda scale, number=number: np.full(
                    (round(self.size[0] * scale), round(self.size[1] * scale), 3), number, np.uint8))

    def sound(self, source, path, clip, rate, *, separate):
        self.asked.append((source, path, clip, rate, separate))
        return np.arange(3.0)

    def write(self, path, frames, fps, sound, rate):
        self.made.append((path, list(frames), fps, sound, rate))

    @property
    def frames(self):
        """Pictures and panels of the last overlay."""
        height, width = (round(side * min(1.0, 720 / self.size[0])) for side in self.size)
        assert all(frame.shape[0] == height for frame in self.made[-1][1])
        return [(frame[:, :width], frame[:, width:]) for frame in self.made[-1][1]]


@pytest.fixture()
def film(monkeypatch):
    return Film(monkeypatch)


@pytest.fixture()
def analysis(make_analysis, make_clip):
    """Windows whose middles are at 1 and 3 s; a clip whose two samples are one second apart."""
    clip = make_clip(2, seconds=1.0, states=[3, 2])
    clip = dataclasses.replace(clip, boxes=np.array([[20, 30, 60, 90], [40, 34, 80, 98]], np.float32),
                               landmarks=np.array([[[25, 40], [50, 80]], [[45, 44], [70, 80]]], np.float32))
    found = make_analysis(clip, emotions=("Fear", "Joy", "Awe"), segments=[[0, 2], [2, 4]], window=2.0, hop=2.0,
                          values=np.zeros((2, 3)))
    return dataclasses.replace(found, values=np.array([[0.2, 0.9, np.nan], [0.6, 0.1, np.nan]]))


def drawn(shade, box, points, colour, *, size=(120, 160), width=1, radius=1):
    """A picture with a box and points at given pixels."""
    image = np.full((*size, 3), shade, np.uint8)
    cv2.rectangle(image, box[:2], box[2:], colour, width, cv2.LINE_AA)
    for point in points:
        cv2.circle(image, point, radius, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(image, point, radius + 1, colour, 1, cv2.LINE_AA)
    return image


def test_each_frame_shows_the_latest_picture(film, analysis, predictor, tmp_path):
    film.times, film.length = [7.0, 7.1, 7.2, 7.52], 0.1  # the container's clock does not begin at 0
    out = write_overlay("v.mp4", tmp_path / "new" / "o.mp4", predictor, analysis=analysis)
    assert out == tmp_path / "new" / "o.mp4" and out.parent.is_dir()
    path, frames, fps, sound, rate = film.made[0]
    assert (path, fps, sound.tolist(), rate) == (out, 10.0, [0, 1, 2], 48000)
    assert [frame[0, 0, 0] for frame in frames] == [0, 1, 2, 2, 2, 3]
    assert film.asked == [("v.mp4", "v.mp4", analysis.clip, 48000, False)]
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=analysis, audio_path=Path("a.wav"))
    assert film.asked[1] == (Path("a.wav"), "v.mp4", analysis.clip, 48000, True)


@pytest.mark.parametrize("fps, written, shades", [(0.2, 1.0, [2, 4]), (4.0, 4.0, [0, 1, 2, 3, 4]), (600.0, 60.0, None)])
def test_the_rate_is_the_videos_within_limits(film, analysis, predictor, tmp_path, fps, written, shades):
    film.times, film.length = [0.0, 0.3, 0.4, 0.75, 1.0], 0.1
    other = dataclasses.replace(analysis, clip=dataclasses.replace(analysis.clip, fps=fps))
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=other)
    assert film.made[0][2] == written
    found = [int(frame[0, 0, 0]) for frame in film.made[0][1]]
    # a picture counts from half a frame before its instant on
    assert found == (shades or [0] * 18 + [1] * 6 + [2] * 21 + [3] * 15 + [4])


def test_the_box_moves_between_samples(film, analysis, predictor, tmp_path):
    film.times, film.length = [0.0, 0.25, 0.6, 1.0], 0.25
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=dataclasses.replace(
        analysis, clip=dataclasses.replace(analysis.clip, fps=4.0)))
    pictures = [picture for picture, _ in film.frames]
    assert len(pictures) == 5
    np.testing.assert_array_equal(pictures[0], drawn(0, (20, 30, 60, 90), [(25, 40), (50, 80)], SEEN))
    np.testing.assert_array_equal(pictures[1], drawn(1, (25, 31, 65, 92), [(30, 41), (55, 80)], SEEN))
    np.testing.assert_array_equal(pictures[2], drawn(2, (32, 32, 72, 95), [(37, 42), (62, 80)], BETWEEN))
    np.testing.assert_array_equal(pictures[4], drawn(3, (40, 34, 80, 98), [(45, 44), (70, 80)], BETWEEN))


def test_the_box_keeps_to_the_first_and_last_sample(film, analysis, predictor, tmp_path):
    film.times, film.length = [0.0, 1.0, 3.0], 0.1
    clip = dataclasses.replace(analysis.clip, timestamps=np.array([0.5, 2.5], np.float32), fps=1.0)
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=dataclasses.replace(analysis, clip=clip))
    pictures = [film.frames[k][0] for k in (0, 1, 3)]
    np.testing.assert_array_equal(pictures[0], drawn(0, (20, 30, 60, 90), [(25, 40), (50, 80)], SEEN))
    np.testing.assert_array_equal(pictures[1], drawn(1, (25, 31, 65, 92), [(30, 41), (55, 80)], SEEN))
    np.testing.assert_array_equal(pictures[2], drawn(2, (40, 34, 80, 98), [(45, 44), (70, 80)], BETWEEN))


def test_samples_of_one_instant_have_no_way_between_them(film, analysis, predictor, tmp_path):
    film.times, film.length = [0.0], 0.1
    clip = dataclasses.replace(analysis.clip, timestamps=np.zeros(2, np.float32))
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=dataclasses.replace(analysis, clip=clip))
    np.testing.assert_array_equal(film.frames[0][0], drawn(0, (20, 30, 60, 90), [(25, 40), (50, 80)], SEEN))


@pytest.mark.parametrize("states, shown", [
    ((0, 0), [None, None, None]), ((3, 0), [0, None, None]), ((0, 2), [None, 1, 1]), ((1, 1), ["held"] * 3)])
def test_what_is_drawn_of_faces_that_were_not_seen(film, analysis, predictor, tmp_path, states, shown):
    film.times, film.length = [0.0, 0.75, 1.0], 0.25
    clip = dataclasses.replace(analysis.clip, fps=4.0, detected=np.array(states, np.uint8))
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=dataclasses.replace(analysis, clip=clip))
    pictures = [film.frames[k][0] for k in (0, 3, 4)]
    boxes = [(20, 30, 60, 90), (40, 34, 80, 98)]
    points = [[(25, 40), (50, 80)], [(45, 44), (70, 80)]]
    for number, (picture, what) in enumerate(zip(pictures, shown)):
        if what is None:
            assert (picture == number).all()  # nobody is pointed at
        elif what == "held":
            box = [boxes[0], (35, 33, 75, 96), boxes[1]][number]
            np.testing.assert_array_equal(picture, drawn(number, box, [], HELD))
        else:
            np.testing.assert_array_equal(picture, drawn(number, boxes[what], points[what], (SEEN, BETWEEN)[what]))


def test_large_pictures_are_reduced_with_their_boxes(film, analysis, predictor, tmp_path):
    film.times, film.length, film.size = [0.0], 0.1, (1440, 1000)
    clip = dataclasses.replace(analysis.clip, boxes=np.array([[200, 301, 720, 900]] * 2, np.float32),
                               landmarks=np.array([[[300, 401]]] * 2, np.float32), detected=np.array([3, 3]))
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=dataclasses.replace(analysis, clip=clip))
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
def test_bars_show_the_windows_at_each_instant(film, analysis, predictor, tmp_path, height, emotions, size):
    film.times, film.length, film.size = [0.0, 1.5, 4.0], 0.2, (height, 40)
    still = dataclasses.replace(analysis.clip, fps=1.0, detected=np.zeros(2, np.uint8))
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=dataclasses.replace(analysis, clip=still,
                                                                                 emotions=emotions))
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


def test_values_beyond_the_scale_end_with_it(film, analysis, predictor, tmp_path):
    film.times, film.length = [0.0], 0.1
    odd = dataclasses.replace(analysis, values=np.array([[1.5, -0.5, 0.5]] * 2))
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=odd)
    panel = film.frames[0][1]
    bars = (panel == BAR).all(2)
    assert sorted(set(bars.sum(1)) - {0}) == [round((panel.shape[1] - 26) / 2), panel.shape[1] - 26]


@pytest.mark.parametrize("length, asked, window, hop", [
    (20.0, (0.0, 0.0), 10.0, 1.25), (3.0, (0.0, 0.0), 2.0, 0.25), (60.0, (0.0, 0.0), 12.0, 1.5),
    (20.0, (4.0, 0.0), 4.0, 0.5), (20.0, (4.0, 3.0), 4.0, 3.0)])
def test_the_windows_of_a_video_without_a_timeline(film, analysis, predictor, tmp_path, monkeypatch, length, asked,
                                                   window, hop):
    calls = []
    monkeypatch.setattr(overlay, "analyse", lambda *args, **more: calls.append((args, more)) or dataclasses.replace(
        analysis, clip=dataclasses.replace(analysis.clip, timestamps=np.linspace(0, length, 500))))
    film.length = length
    for given in (None, dataclasses.replace(analysis, window=0.0)):
        write_overlay("v.mp4", tmp_path / "o.mp4", predictor, audio_path="a.wav", window=asked[0], hop=asked[1],
                      analysis=given)
    assert calls == 2 * [(("v.mp4", predictor), {"audio_path": "a.wav", "window": window, "hop": hop,
                                                   "attention": False})]


def test_sparse_landmarks_are_read_again(film, analysis, predictor, tmp_path, monkeypatch, make_clip):
    asked = []
    dense = dataclasses.replace(analysis.clip, boxes=analysis.clip.boxes + 10)
    monkeypatch.setattr(overlay, "extract_clip", lambda *args: asked.append(args) or dense)
    film.times = [0.0, 0.125, 0.25]  # 8 a second would be 2
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=analysis)
    assert asked == []
    film.times = [0.0, 0.125, 0.26]
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=analysis)
    (path, config), = asked
    assert path == "v.mp4"
    assert config == dataclasses.replace(predictor.preprocess, frames=3,
                                         face=dataclasses.replace(predictor.preprocess.face, size=32))
    np.testing.assert_array_equal(film.frames[0][0], drawn(0, (30, 40, 70, 100), [(25, 40), (50, 80)], SEEN))
    film.times = np.linspace(0, 2500, 20_001)
    monkeypatch.setattr(overlay, "read_frames", lambda path: iter(()))
    write_overlay("v.mp4", tmp_path / "o.mp4", predictor, analysis=analysis)
    assert asked[1][1].frames == 20_000


def test_a_sound_file_has_no_overlay(film, analysis, predictor, tmp_path):
    film.times, film.length = [], 3.0
    with pytest.raises(MediaError, match=r"^v\.mp4: has no picture to draw on$"):
        write_overlay("v.mp4", tmp_path / "new" / "o.mp4", predictor, analysis=analysis)
    assert not (tmp_path / "new").exists()
