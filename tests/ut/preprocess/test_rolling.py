# SPDX-License-Identifier: Apache-2.0
"""A camera's last seconds: as a file with the same pictures and sound, though each picture is looked at once."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.rolling import RollingClip, Sound

SIZE, RATE = (96, 64), 8000
CONFIG = PreprocessConfig(frames=4, face=FaceConfig(size=16, detector="auto", track_stride=1, redetect_every=4),
                          audio=AudioConfig(coefficients=8, stack=2))
TONE = (8000 * np.sin(np.arange(20 * RATE) ** 1.3 / 50)).astype("<i2")


def jpeg(number, size=SIZE):
    """A picture that says its number by its brightness, with a pattern in it."""
    picture = np.full((size[1], size[0], 3), 20 + 10 * (number % 20), np.uint8)
    picture[20:44, 30:50] = np.arange(20, dtype=np.uint8)[:, None] * 10
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=95)
    return file.getvalue()


def taken(numbers, fps=10):
    return [(5 + number / fps, jpeg(number)) for number in numbers]


@pytest.fixture
def faces(replace_dlib, walk):
    """A face that walks through the pictures; the numbers in which it was looked for."""
    looks = []

    def number_of(image):
        return round(float(np.median(image)) / 10) - 2

    def find(image):
        from mindface_eri.preprocess.detectors import Detection

        looks.append(number_of(image))
        x, y, side = walk.faces(range(20))[looks[-1]]
        half = np.array([side, side]) / 2
        return [Detection(np.concatenate([(x, y) - half, (x, y) + half]).astype(np.float32), True)]

    replace_dlib(find, lambda grey, box: walk.marks(*walk.faces(range(20))[number_of(grey)]))
    return looks


def write_film(path, pictures, samples, start):
    """The same pictures and sound as a file, nothing encoded again."""
    with av.open(str(path), "w", format="matroska") as container:
        video, audio = container.add_stream("mjpeg", rate=1000), container.add_stream("pcm_s16le", rate=RATE)
        video.width, video.height, video.pix_fmt = *SIZE, "yuvj420p"
        audio.layout = "mono"
        for stream, unit, seconds, data in ([(video, Fraction(1, 1000), at - 5, data) for at, data in pictures]
                                            + [(audio, Fraction(1, RATE), start, samples.tobytes())]):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts = stream, unit, round(seconds / unit)
            packet.dts = packet.pts
            container.mux(packet)


@pytest.mark.parametrize("start", [5.0, 5.3, 4.5])  # of the sound: with the picture, later, before
def test_it_is_what_a_file_gives(start, faces, tmp_path):
    pictures, skipped = taken(range(20)), round(max(0.0, 5 - start) * RATE)
    write_film(tmp_path / "a.mkv", pictures, TONE[skipped:2 * RATE], max(start - 5, 0.0))
    expected = extract_clip(tmp_path / "a.mkv", CONFIG)
    rolling = RollingClip(CONFIG, SIZE, 12.0)
    for first in range(0, 20, 5):
        rolling.add(pictures[first:first + 5])
        clip = rolling.clip(Sound(RATE, start, TONE[:2 * RATE].tobytes()))
    assert expected.present.tolist() == [1, 1] and expected.detected.all() and expected.boxes[0, 0] != 0
    assert len(np.unique(expected.boxes[:, 0])) == 4
    for name in ("frames", "mfcc", "present", "boxes", "landmarks", "detected"):
        assert np.array_equal(getattr(clip, name), getattr(expected, name)), name
    assert np.allclose(clip.timestamps, expected.timestamps, atol=1e-6)
    assert clip.quality == expected.quality and (clip.width, clip.height) == (expected.width, expected.height)
    assert clip.duration == pytest.approx(expected.duration) and clip.fps == pytest.approx(10)


def test_only_the_last_seconds_are_kept_and_nothing_is_looked_at_twice(faces):
    rolling = RollingClip(CONFIG, SIZE, 1.25)
    for first in range(0, 20, 5):
        rolling.add(taken(range(first, first + 5)))
        clip = rolling.clip()
    assert clip.timestamps[-1] == pytest.approx(1.2) and clip.track.states.all() and len(clip.track.times) == 13
    assert len(faces) == len(set(faces))
    alone = RollingClip(CONFIG, SIZE, 1.25)
    alone.add(taken(range(7, 20)))
    assert np.allclose(clip.track.landmarks[2:], alone.clip().track.landmarks[2:], atol=0.1)
    tracker = rolling._follower._tracker
    assert tracker.examined == list(range(7, 20))
    assert all(min(person.landmarks) >= 7 for person in tracker.people)
    rolling.add(taken(range(90, 95)))  # after a pause nothing of before is left
    assert len(rolling.clip().track.times) == 5


def test_what_is_no_picture_is_left_out_and_another_size_is_refused(faces):
    rolling = RollingClip(CONFIG, SIZE, 12.0)
    rolling.add([])
    with pytest.raises(MediaError, match="no picture that can be decoded"):
        rolling.clip()
    (first, good), (second, _) = taken(range(2))
    rolling.add([(first, good), (second, b"no picture"), (second + 1, b""), (second + 2, good)])
    clip = rolling.clip()
    assert clip.track.times.tolist() == [0.0, pytest.approx(second + 2 - first)]
    assert clip.present.tolist() == [1, 0] and "no sound track" in clip.quality
    with pytest.raises(MediaError, match="a picture of 64 x 48 pixels; the camera's were said to have 96 x 64"):
        rolling.add([(9.0, jpeg(0, (64, 48)))])


@pytest.mark.parametrize("sound, words", [
    (None, "no sound track"), (Sound(), "no sound track"), (Sound(RATE, 5.0, b""), "no sound came"),
    (Sound(RATE, 2.0, bytes(2 * RATE)), "no sound came"), (Sound(RATE, 5.0, bytes(4 * RATE)), "the sound is silent")])
def test_without_sound(sound, words, faces):
    rolling = RollingClip(CONFIG, SIZE, 12.0)
    rolling.add(taken(range(5)))
    clip = rolling.clip(sound)
    assert clip.present.tolist() == [1, 0] and words in clip.quality and not clip.mfcc.any()
