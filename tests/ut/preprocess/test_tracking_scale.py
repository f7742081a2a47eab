# SPDX-License-Identifier: Apache-2.0
"""How closely the detector looks: reduced pictures, boxes in pixels of the frame, and small faces."""

import numpy as np
import pytest

STEADY = (300, 200, 200)


@pytest.mark.parametrize("size, height, most, scale", [
    ((640, 480), 240, 4320, 0.5), ((641, 482), 240, 4320, 240 / 482), ((1920, 1080), 270, 4320, 0.25),
    ((320, 240), 300, 4320, 1.0), ((1280, 960), 720, 480, 0.5)])
@pytest.mark.parametrize("colour", [False, True])
def test_the_detector_works_on_reduced_pictures_and_boxes_are_in_pixels_of_the_frame(
        track, script, size, height, most, scale, colour):
    detector, face = script.Detector(30, colour, most), (size[0] * 0.55, size[1] * 0.45, size[1] * 0.4)
    asked = []

    def landmarks(scene, box):
        asked.append(box)
        return script.landmarks(scene, box)

    _, looks = track([[face]] * 3, detector, size, landmarks, redetect_every=2, detect_height=height)
    assert looks == [(0, pytest.approx(scale)), (2, pytest.approx(scale))]
    np.testing.assert_allclose(asked[0], script.square(*face), atol=1e-3)


@pytest.mark.parametrize("most, scale", [(4320, 1.0), (240, 0.5)])
def test_every_frame_ignores_the_detectors_height_but_not_its_limit(track, script, most, scale):
    _, looks = track([[STEADY]] * 3, script.Detector(max_height=most), mode="every-frame", detect_height=120)
    assert looks == [(0, scale), (1, scale), (2, scale)]


def test_nobody_is_looked_for_more_closely_now_and_then(track):
    _, looks = track([[]] * 23, redetect_every=5, detect_height=120)
    assert looks == [(0, 0.25), (0, 0.5), (0, 1.0), (5, 0.25), (5, 0.5), (6, 0.25), (11, 0.25), (11, 0.5), (12, 0.25),
                     (17, 0.25), (17, 0.5), (17, 1.0), (18, 0.25), (22, 0.25), (22, 0.5)]


@pytest.mark.parametrize("height, scales", [(480, [1.0]), (300, [0.625, 1.0])])
def test_nobody_is_looked_for_twice_at_the_same_size(track, height, scales):
    _, looks = track([[]] * 3, detect_height=height, redetect_every=2)
    for frame in (0, 2):
        assert [scale for number, scale in looks if number == frame] == scales


def test_a_face_that_is_known_stops_the_closer_looks(track):
    """So do sure faces that nobody followed yet; every other kind of look stays at the reduced size."""
    _, looks = track([[]] * 3 + [[STEADY]] * 3 + [[]] * 6, redetect_every=2, detect_height=240)
    assert [look for look in looks if look[1] == 1.0] == [(0, 1.0), (2, 1.0)]


@pytest.mark.parametrize("sides, smallest, most, found_at, then", [
    ((130,), 80, 4320, 1.0, 100 / 130), ((130, 150), 80, 4320, 1.0, 100 / 150), ((170, 90), 80, 4320, 0.5, 100 / 170),
    ((60,), 40, 4320, 1.0, 1.0), ((60,), 40, 720, 0.75, 0.75), ((490,), 130, 4320, 0.5, 0.25)])
def test_small_faces_set_the_scale_of_the_later_looks(track, script, sides, smallest, most, found_at, then):
    """At a quarter of 1280 x 960 the detector sees none of them; 100 pixels of the largest one found are enough."""
    faces = [(300 + 500 * k, 400, side) for k, side in enumerate(sides)]
    _, looks = track([faces] * 3, script.Detector(smallest, max_height=most), (1280, 960), redetect_every=2)
    scales = [scale for number, scale in looks if number == 0]
    assert scales == [scale for scale in (0.25, 0.5, 0.75, 1.0) if scale <= found_at and (
        scale != 0.75 or found_at == 0.75)]
    assert [scale for number, scale in looks if number == 2][0] == pytest.approx(then)


def test_unsure_faces_set_no_scale(track, script):
    """At half size one is seen that is unsure, at full size a smaller one beside it that is sure."""
    faces = [(300, 400, 180, False), (800, 400, 130)]
    _, looks = track([faces] * 3, size=(1280, 960), redetect_every=2)
    assert looks[:4] == [(0, 0.25), (0, 0.5), (0, 1.0), (2, pytest.approx(100 / 130))]
    _, looks = track([faces[:1]] * 3, size=(1280, 960), redetect_every=2)
    assert looks == [(0, 0.25), (0, 0.5), (0, 1.0), (2, 0.25), (2, 0.5)]
