# SPDX-License-Identifier: Apache-2.0
"""The contact sheet, pixel by pixel: where crops, borders, sound, marks and MFCCs lie, and in which colours."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mindface_eri.constants import FRAME_STATES
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.clip import Clip
from mindface_eri.preprocess.envelope import Envelope
from mindface_eri.preprocess.preview import STATE_COLOURS, contact_sheet, save_contact_sheet

WIDTH, COLUMNS, SPAN = 1012, 1004, 2.008  # pixels of the sheet and of its sound, seconds
INK, SOFT, BACK, BEHIND, BLUE = (30, 30, 30), (130, 130, 130), (250, 250, 250), (238, 240, 244), (60, 90, 160)
STATES = (3, 2, 1, 0, 3, 3, 1, 2, 3, 1)
WAVE, TABLE = 96 + 286, 96 + 286 + 108  # first rows of the waveform and of the MFCCs


@pytest.fixture(scope="module")
def clip():
    """Ten instants, so two rows of crops; two MFCC frames of 128 a stack."""
    rng = np.random.default_rng(0)
    frames = np.repeat(np.repeat(rng.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8), 14, axis=1), 14, axis=2)
    return Clip(frames=frames, mfcc=rng.normal(size=(10, 256)).astype(np.float32), present=np.ones(2, np.float32),
                timestamps=np.linspace(0, 1.913, 10).astype(np.float32), boxes=np.zeros((10, 4), np.float32),
                landmarks=np.zeros((10, 68, 2), np.float32), detected=np.array(STATES, np.uint8), detector="dlib",
                found_share=0.75, others=1, duration=SPAN, fps=12.5, width=640, height=360)


def pulses(up=550, down=600, sign=1, spans=COLUMNS, seconds=SPAN):
    """Silence, a pulse upwards in one span, half of one downwards in another; `sign` turns them over."""
    low, high = np.zeros((2, spans), np.float32)
    (high if sign > 0 else low)[up], (low if sign > 0 else high)[down] = 0.4 * sign, -0.2 * sign
    return Envelope(low, high, seconds)


def lettering(text, x, y, colour, scale, shape=(96, WIDTH)):
    canvas = np.full((*shape, 3), BACK, np.uint8)
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return canvas


def test_the_header_says_what_the_clip_is(clip):
    sheet = contact_sheet(clip, title="who é")
    assert sheet.shape[1] == WIDTH
    said = [(lettering("who ?", 6, 20, INK, 0.55), 0, 28), (lettering(clip.quality, 6, 60, SOFT, 0.4), 50, 66),
            (lettering("640x360, 12.50 frames/s, 2.01 s", 6, 42, SOFT, 0.4), 30, 48)]
    for expected, top, bottom in said:
        assert (expected[top:bottom] != BACK[0]).any()
        np.testing.assert_array_equal(sheet[top:bottom], expected[top:bottom])
    legend = lettering("detected", 24, 85, SOFT, 0.4)
    for k, name in enumerate(("interpolated", "none")):
        legend = np.minimum(legend, lettering(name, 144 + 120 * k, 85, SOFT, 0.4))
    for k, colour in enumerate(((46, 160, 67), (240, 180, 0), (200, 40, 40))):
        legend[74:86, 6 + 120 * k:18 + 120 * k] = colour
    np.testing.assert_array_equal(sheet[68:96], legend[68:96])
    bare = contact_sheet(replace(clip, width=0))
    assert (bare[:28] == BACK[0]).all()
    np.testing.assert_array_equal(bare[30:48], lettering("2.01 s", 6, 42, SOFT, 0.4)[30:48])
    np.testing.assert_array_equal(contact_sheet(clip, title="i" * 120), contact_sheet(clip, title="i" * 100))
    long = replace(clip, note="i" * 300)
    np.testing.assert_array_equal(contact_sheet(long)[50:66], lettering(long.quality[:145], 6, 60, SOFT, 0.4)[50:66])


def test_each_crop_lies_in_its_place_in_the_colour_of_its_state(clip):
    sheet = contact_sheet(clip)
    for k, state in enumerate(STATES):
        y, x = 100 + 141 * (k // 8), 4 + 126 * (k % 8)
        np.testing.assert_array_equal(sheet[y + 5:y + 117, x + 5:x + 117], clip.frames[k])
        colour = STATE_COLOURS[FRAME_STATES[state]]
        frame = sheet[y:y + 122, x:x + 122].copy()
        frame[5:117, 5:117] = colour
        assert (frame == colour).all()
        assert (sheet[y - 4:y, x:x + 122] == BACK[0]).all() or k >= 8
        label = lettering(f"{clip.timestamps[k]:.2f} s", 2, 12, SOFT, 0.35, (15, 122))
        np.testing.assert_array_equal(sheet[y + 122:y + 137, x:x + 122], label)
    assert (sheet[96 + 145:WAVE, 4 + 2 * 126:] == BACK[0]).all()  # after the tenth
    small = replace(clip, frames=clip.frames[:, ::2, ::2])
    np.testing.assert_array_equal(contact_sheet(small)[105:217, 9:121], clip.frames[0])
    large = replace(clip, frames=np.repeat(np.repeat(clip.frames, 2, axis=1), 2, axis=2))
    np.testing.assert_array_equal(contact_sheet(large)[105:217, 9:121], clip.frames[0])


@pytest.mark.parametrize("up, down, envelope, last", [
    ((550, 551), (600, 601), pulses(), 1004), ((200, 201), (0, 1), pulses(200, 0), 1004),
    ((500, 502), (1002, 1004), pulses(250, 501, spans=502), 1004),  # two columns a span
    ((300, 301), (350, 351), pulses(300, 350, spans=502, seconds=SPAN / 2), 502)])  # the clip goes on without sound
def test_the_sound_lies_on_the_clips_time_axis(clip, up, down, envelope, last):
    sheet = contact_sheet(replace(clip, envelope=envelope))
    area = sheet[WAVE + 16:WAVE + 106, 4:-4]  # (90, 1004, 3); the middle is row 45
    blue = (area == BLUE).all(axis=2)
    expected = np.zeros_like(blue)
    expected[45, :last] = True
    expected[:46, slice(*up)] = True
    expected[45:68, slice(*down)] = True
    np.testing.assert_array_equal(blue[:85], expected[:85])
    turned = replace(envelope, low=-envelope.high, high=-envelope.low)
    below = contact_sheet(replace(clip, envelope=turned))[WAVE + 16:TABLE, 4:-4]
    assert (below[45:85, slice(*up)] == BLUE).all() and (below[90:] == BACK[0]).all()
    assert (below[22:46, slice(*down)] == BLUE).all() and (below[:22, slice(*down)] == BEHIND).all()
    marks = (area == INK).all(axis=2)
    assert not marks[:85].any() and (marks[85:] == marks[85]).all()
    np.testing.assert_array_equal(np.flatnonzero(marks[85]), (clip.timestamps / SPAN * COLUMNS).astype(int))
    assert (area[:85][~blue[:85]] == BEHIND).all()
    title = lettering("waveform, peak 0.400, sampled instants marked", 6, 12, SOFT, 0.38, (16, WIDTH))
    np.testing.assert_array_equal(sheet[WAVE:WAVE + 16], title)
    assert (sheet[WAVE + 106:TABLE] == BACK[0]).all() and (sheet[WAVE + 16:TABLE, :4] == BACK[0]).all()


def test_the_last_instant_is_marked_inside(clip):
    sheet = contact_sheet(replace(clip, duration=1.0, envelope=pulses(1, 2, spans=9, seconds=1.0)))
    marks = (sheet[WAVE + 103, 4:-4] == INK).all(axis=1)  # the axis ends with the last instant
    assert marks[1003] and marks.sum() == 10 and marks[int(1004 / 9)]


def test_a_clip_without_sound_leaves_its_place_out(clip):
    plain = contact_sheet(clip)
    assert len(plain) == 96 + 286 + 150 and len(contact_sheet(replace(clip, envelope=pulses()))) == 96 + 286 + 108 + 150
    np.testing.assert_array_equal(contact_sheet(replace(clip, envelope=Envelope.silent())), plain)
    quiet = Envelope(np.zeros(9, np.float32), np.zeros(9, np.float32), SPAN)
    assert len(contact_sheet(replace(clip, envelope=quiet))) == 96 + 286 + 108 + 150  # silence has no scale
    sixteen = replace(clip, frames=np.concatenate([clip.frames] * 2)[:16], detected=np.full(16, 3, np.uint8),
                      timestamps=np.linspace(0, 2, 16), mfcc=np.zeros((16, 256), np.float32))
    assert len(contact_sheet(sixteen)) == len(plain)  # two full rows


@pytest.mark.parametrize("width, coefficients, rows", [(256, 32, 4), (16, 16, 8), (128, 32, 4), (129, 32, 4)])
def test_mfccs_are_drawn_each_on_its_scale_the_lowest_below(clip, width, coefficients, rows):
    mfcc = np.random.default_rng(4).normal(size=(4, width)).astype(np.float32)
    mfcc[:, 0] = 7  # one that says nothing has one colour
    if width == 256:
        mfcc[:, 128] = 7
    four = replace(clip, mfcc=mfcc, frames=clip.frames[:4], detected=clip.detected[:4], timestamps=clip.timestamps[:4])
    sheet = contact_sheet(four)
    values = mfcc.reshape(4, 2, 128).mean(axis=1) if width == 256 else mfcc
    table = sheet[-132:-4, 4:-4]  # (128, 1004, 3)
    for k in range(coefficients):
        low, high = values[:, k].min(), values[:, k].max()
        for t in range(4):
            grey = np.uint8(255 * (values[t, k] - low) / max(high - low, 1e-6))
            shades = [cv2.applyColorMap(np.array([[v]], np.uint8), cv2.COLORMAP_VIRIDIS)[0, 0, ::-1].tolist()
                      for v in (grey, max(int(grey) - 1, 0), min(int(grey) + 1, 255))]
            place = table[128 - rows * (k + 1):128 - rows * k, 251 * t:251 * (t + 1)]
            assert place[0, 0].tolist() in shades and (place == place[0, 0]).all()
    label = lettering(f"MFCC, coefficients 0 (below) to {coefficients - 1}, mean of each stack", 6, 13, SOFT, 0.38,
                      (150, WIDTH))
    np.testing.assert_array_equal(sheet[-150:-132], label[:18])


def test_a_clip_without_sound_says_so_in_red(clip):
    sheet = contact_sheet(replace(clip, present=np.array([1, 0], np.float32)))
    assert len(sheet) == 96 + 286 + 22
    expected = lettering("no sound: the acoustic modality is absent", 6, 14, (200, 40, 40), 0.45, (22, WIDTH))
    np.testing.assert_array_equal(sheet[-22:], expected)


def test_the_sheet_is_saved_with_all_that_it_was_asked_for(clip, tmp_path):
    target = tmp_path / "new" / "sheet.png"
    heard = replace(clip, envelope=pulses())
    save_contact_sheet(heard, target, "title")
    np.testing.assert_array_equal(cv2.imread(str(target))[:, :, ::-1], contact_sheet(heard, title="title"))
    save_contact_sheet(clip, target)
    np.testing.assert_array_equal(cv2.imread(str(target))[:, :, ::-1], contact_sheet(clip))
    (tmp_path / "p.png").mkdir()
    for path, reason in ((tmp_path / "p.png", "Is a directory"), (target / "x.png", "File exists")):
        with pytest.raises(MediaError) as error:
            save_contact_sheet(clip, path)
        assert str(error.value) == f"{path}: the contact sheet cannot be written ({reason})"
