# SPDX-License-Identifier: Apache-2.0
"""Crops in one JPEG: colours in their order and at full resolution, limits, and what is refused in which words."""

import cv2
import numpy as np
import pytest

from mindface_eri.errors import DataError
from mindface_eri.preprocess.storage import decode_jpeg, encode_jpeg


@pytest.fixture(scope="module")
def crops():
    """(3, 16, 16, 3): red, a blue ramp, and columns of red and blue by turns."""
    crops = np.zeros((3, 16, 16, 3), np.uint8)
    crops[0] = 230, 20, 40
    crops[1] = 10, 60, 0
    crops[1, :, :, 2] = np.linspace(90, 250, 16)[:, None]
    crops[2, :, ::2] = 200, 60, 60
    crops[2, :, 1::2] = 60, 60, 200
    return crops


def test_colours_keep_their_order_and_resolution(crops):
    found = decode_jpeg(encode_jpeg(crops, 95), 16)
    assert found.shape == (3, 16, 16, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - crops).max() < 24  # halved colour would make the columns all alike
    assert np.abs(found.astype(int) - crops).mean() < 4
    stored = cv2.imdecode(np.frombuffer(encode_jpeg(crops, 95), np.uint8), cv2.IMREAD_COLOR)
    assert stored.shape == (48, 16, 3) and stored[4, 4].tolist() == pytest.approx([40, 20, 230], abs=8)  # OpenCV's BGR


def test_quality_is_that_of_the_jpeg(crops):
    noise = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    sizes, errors = [], []
    for quality in (20, 50, 80, 98):
        data = encode_jpeg(noise, quality)
        expected = cv2.imencode(".jpg", np.ascontiguousarray(noise.reshape(-1, 16, 3)[:, :, ::-1]), [
            cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444])[1].tobytes()
        assert data == expected
        sizes.append(len(data))
        errors.append(np.abs(decode_jpeg(data, 16).astype(int) - noise).mean())
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True) and errors[-1] < 4 < errors[0]


def test_decoding_into_a_batch(crops):
    data, batch = encode_jpeg(crops, 95), np.full((2, 3, 16, 16, 3), 7, np.uint8)
    found = decode_jpeg(np.frombuffer(data, np.uint8), 16, batch[1])
    assert np.shares_memory(found, batch) and (batch[0] == 7).all()
    np.testing.assert_array_equal(batch[1], decode_jpeg(data, 16))


@pytest.mark.parametrize("frames, said", [
    (np.zeros((2, 8, 8), np.uint8), r"crops are uint8 \(2, 8, 8\); expected uint8 \(T, S, S, 3\)"),
    (np.zeros((2, 8, 8, 4), np.uint8), r"crops are uint8 \(2, 8, 8, 4\)"),
    (np.zeros((2, 8, 8, 3), np.float32), r"crops are float32 \(2, 8, 8, 3\)"),
    (np.zeros((0, 8, 8, 3), np.uint8), "0 crops of 8 rows make 0 rows; one JPEG holds at most 65500"),
    (np.zeros((655, 101, 1, 3), np.uint8), "655 crops of 101 rows make 66155 rows; one JPEG holds at most 65500: use "
                                           "storage raw, fewer frames or smaller crops"),
    (np.zeros((65501, 1, 1, 3), np.uint8), "make 65501 rows")])
def test_crops_that_make_no_jpeg(frames, said):
    with pytest.raises(DataError, match=said):
        encode_jpeg(frames, 90)


def test_the_lowest_and_the_highest_jpeg():
    assert decode_jpeg(encode_jpeg(np.full((1, 1, 1, 3), 9, np.uint8), 95), 1).shape == (1, 1, 1, 3)
    assert decode_jpeg(encode_jpeg(np.zeros((655, 100, 100, 3), np.uint8), 50), 100).shape == (655, 100, 100, 3)


def test_bytes_that_are_no_such_crops(crops):
    data = encode_jpeg(crops, 90)
    for size, out, said in ((8, None, r"not a JPEG of crops of 8 pixels: \(48, 16, 3\)"),
                            (32, None, r"crops of 32 pixels: \(48, 16, 3\)"),
                            (16, np.zeros((2, 16, 16, 3), np.uint8), r"a JPEG of 2 crops of 16 pixels: \(48, 16, 3\)")):
        with pytest.raises(DataError, match=said):
            decode_jpeg(data, size, out)
    ragged = encode_jpeg(np.zeros((3, 10, 16, 3), np.uint8), 90)
    with pytest.raises(DataError, match=r"crops of 16 pixels: \(30, 16, 3\)"):
        decode_jpeg(ragged, 16)
    with pytest.raises(DataError, match="not a JPEG of crops of 16 pixels: None"):
        decode_jpeg(b"no jpeg", 16)
