# SPDX-License-Identifier: Apache-2.0
"""What a prediction's rows say, and which of its crops are worth showing."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.prediction.prediction import Prediction


def test_a_clip_that_was_taken_whole_has_one_row_of_plain_numbers(make_prediction):
    found = make_prediction(values=np.array([[0.25, 0.5]], np.float32), segments=[[0, 3]], emotions=("Fear", "Joy"))
    (row,) = found.rows()
    assert row == {"File_ID": "clip", "Fear": 0.25, "Joy": 0.5} and list(row) == ["File_ID", "Fear", "Joy"]
    assert type(row["Fear"]) is float


def test_a_clip_that_failed_has_its_reason():
    found = Prediction("a", ("Fear",), error="a.mp4: broken")
    assert found.rows() == [{"File_ID": "a", "error": "a.mp4: broken"}]
    assert found.clip is found.intensities is found.segments is found.moving is found.path is found.sound is None


def test_a_timelines_rows_are_rounded_to_milliseconds(make_prediction):
    found = make_prediction(segments=[[0, 1.00049], [1.00049, 2.9996]], values=[[0.1234567], [np.nan]], emotions=("E",),
                            window=1.0, name="a")
    assert found.rows() == [{"File_ID": "a", "start": 0.0, "end": 1.0, "E": 0.1234567},
                            {"File_ID": "a", "start": 1.0, "end": 3.0, "error": "neither face nor sound here"}]


def test_a_prediction_is_a_timeline_where_it_has_a_window(make_prediction):
    assert [make_prediction(window=window).is_timeline for window in (0.0, 0.5)] == [False, True]
    assert (make_prediction().window, make_prediction().hop) == (0.0, 0.0)
    assert make_prediction().path == Path("clip.mp4")


def test_a_face_that_was_seen_is_worth_more_than_any_attention(make_prediction, make_clip):
    found = make_prediction(make_clip(states=[2, 3, 1, 0]), attention=False)
    np.testing.assert_allclose(found.worth_showing(), [2, 3, 1, 0])
    found = dataclasses.replace(found, temporal=np.array([0.4, 0.1, 0.2, 0.3]))
    np.testing.assert_allclose(found.worth_showing(), [2.9, 3.225, 1.45, 0.675])
    np.testing.assert_allclose(dataclasses.replace(found, temporal=np.zeros(4)).worth_showing(), [2, 3, 1, 0])


def test_values_of_one_emotion_missing_leave_the_segment_without_an_answer(make_prediction):
    found = make_prediction(segments=[[0, 1], [1, 2]], values=[[0.5, np.nan], [0.5, 0.25]], emotions=("A", "B"),
                            window=1.0)
    assert [row.get("error") for row in found.rows()] == ["neither face nor sound here", None]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.error = "x"
