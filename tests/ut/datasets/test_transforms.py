# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from mindface_eri.config import AudioConfig, DataConfig
from mindface_eri.datasets import transforms
from mindface_eri.datasets.transforms import (
    ClipAugmenter,
    FrameAugmenter,
    MfccAugmenter,
    TimeJitter,
    jitter_table,
    turned,
)

FRAMES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
AUDIO = AudioConfig(coefficients=16, stack=4)
MFCC = np.random.default_rng(1).normal(size=(10, 64)).astype(np.float32)
MEAN = np.arange(64, dtype=np.float32) + 100


def test_one_flip_for_all_frames_of_a_clip():
    augment = FrameAugmenter(DataConfig(flip=0.5), seed=4)
    flipped = 0
    for index in range(200):
        out = augment(FRAMES, 0, index)
        mirrored = [np.array_equal(frame, original[:, ::-1]) for frame, original in zip(out, FRAMES)]
        assert all(mirrored) or np.array_equal(out, FRAMES)
        flipped += all(mirrored)
    assert 75 <= flipped <= 125


def test_colour_is_one_change_for_all_frames_and_keeps_order():
    out = FrameAugmenter(DataConfig(colour=1.0), seed=4)(FRAMES, 2, 7)
    assert out.dtype == np.uint8 and out.flags.c_contiguous and not np.array_equal(out, FRAMES)
    pairs = {}
    for before, after in zip(FRAMES.reshape(-1).tolist(), out.reshape(-1).tolist()):
        assert pairs.setdefault(before, after) == after
    values = [pairs[key] for key in sorted(pairs)]
    assert values == sorted(values)


@pytest.mark.parametrize("brightness, contrast, pixel, wanted", [
    (0, 0, 17, 17), (1, 0, 100, 164), (-1, 0, 30, 0), (0, 1, 0, 0), (0, 1, 137, 142), (0, -1, 0, 64),
    (0.5, 0, 250, 255),
])
def test_jitter_by_hand(brightness, contrast, pixel, wanted):
    assert jitter_table(brightness, contrast)[pixel] == wanted


def test_a_quarter_turn_and_a_scale_by_hand():
    square = np.zeros((2, 5, 5, 3), np.uint8)
    square[0, 0, 1], square[1, 2, 4] = 200, 100  # row 0, column 1; row 2, column 4
    out = turned(square, 90.0, 1.0)
    assert np.argwhere(out[..., 0]).tolist() == [[0, 1, 4], [1, 4, 2]], "clockwise"
    assert out[0, 1, 4, 0] == 200 and out[1, 4, 2, 2] == 100
    np.testing.assert_array_equal(turned(FRAMES, 0.0, 1.0), FRAMES)
    large = np.zeros((1, 9, 9, 3), np.uint8)
    large[0, 4, 5] = 80
    assert turned(large, 0.0, 2.0)[0, 4, :, 0].tolist() == [0, 0, 0, 0, 0, 40, 80, 40, 0]
    small = turned(np.full((1, 6, 6, 3), 77, np.uint8), 33.0, 0.5)
    assert (small == 77).all(), "the border goes on"
    assert turned(FRAMES[:, :1, :1], 10.0, 1.1).shape == (6, 1, 1, 3)


def test_turns_and_scales_stay_within_what_was_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(transforms, "turned", lambda frames, *how: asked.append(how) or frames)
    for index in range(300):
        FrameAugmenter(DataConfig(turn=12.0, scale=0.25), 3)(FRAMES, 0, index)
    turns, scales = np.array(asked).T
    assert 11 < np.abs(turns).max() <= 12 and abs(turns.mean()) < 1.5
    assert 1.2 < scales.max() <= 1.25 and 0.75 <= scales.min() < 0.8


def test_one_rectangle_is_erased_in_all_frames():
    frames, shares, hit = np.full((3, 40, 50, 3), 7, np.uint8)[:, :, :40], [], 0
    for index in range(200):
        out = FrameAugmenter(DataConfig(erase=0.5), 3)(frames, 0, index)
        other = (out != 7).any(-1)
        hit += bool(other.any())
        if other.any():
            rows, columns = (np.flatnonzero(other[0].any(axis)) for axis in (1, 0))
            inside = other[0, rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
            assert (other == other[:1]).all() and inside.mean() > 0.98, "a random pixel may be as it was"
            assert (out == out[:1]).all()
            shares.append(other[0].mean())
    assert 70 <= hit <= 130 and 0.01 < min(shares) < 0.06 and 0.33 < max(shares) <= 0.42


def test_landmarks_are_mirrored_with_their_frames():
    """Of a face that is the same on both sides nothing changes but the side; nobody's landmarks stay zeros."""
    config = DataConfig(flip=0.5)
    right = np.random.default_rng(3).normal(size=(68, 2)).astype(np.float32)
    points = np.stack([right, np.zeros_like(right)])
    both = set()
    for index in range(20):
        given = {"frames": FRAMES[:2].copy(), "landmarks": points.copy()}
        ClipAugmenter(config, AUDIO, MEAN, seed=4)(given, 0, index)
        mirrored = np.array_equal(given["frames"], FRAMES[:2, :, ::-1])
        both.add(mirrored)
        found = given["landmarks"]
        assert not found[1].any()
        if mirrored:
            # Corner of the mouth, tip of the chin, outer corner of an eye, a brow's inner end, nostril, inner lip.
            for left, other in ((48, 54), (8, 8), (36, 45), (21, 22), (31, 35), (60, 64), (65, 67), (59, 55), (40, 47)):
                np.testing.assert_array_equal(found[0, left], right[other] * [-1, 1])
                np.testing.assert_array_equal(found[0, other], right[left] * [-1, 1])
        else:
            np.testing.assert_array_equal(found, points)
    assert both == {False, True}
    alone = {"landmarks": points.copy()}
    ClipAugmenter(DataConfig(flip=1.0), AUDIO, MEAN, seed=4)(alone, 0, 0)
    np.testing.assert_array_equal(alone["landmarks"][0, 27], right[27] * [-1, 1])


def test_masks_are_the_mean_and_cover_a_coefficient_in_all_joined_frames():
    config = DataConfig(mfcc_feature_masks=1, mfcc_feature_mask_width=5)
    for index in range(50):
        out = MfccAugmenter(config, AUDIO, MEAN, seed=1)(MFCC, 0, index)
        masked = (out != MFCC).reshape(10, 4, 16)
        assert (masked == masked[:1, :1]).all(), "the same coefficients everywhere"
        assert masked[0, 0].sum() <= 5
        np.testing.assert_array_equal(out, np.where(masked.reshape(10, 64), MEAN, MFCC))
    assert out.dtype == np.float32


def test_time_masks_cover_whole_stacks_next_to_each_other():
    config = DataConfig(mfcc_time_masks=1, mfcc_time_mask_width=3)
    widths = set()
    for index in range(100):
        masked = MfccAugmenter(config, AUDIO, MEAN, seed=1)(MFCC, 0, index) != MFCC
        rows = np.flatnonzero(masked.any(axis=1))
        assert masked[rows].all() and (len(rows) < 2 or rows[-1] - rows[0] == len(rows) - 1)
        widths.add(len(rows))
    assert widths == {0, 1, 2, 3}


@pytest.mark.parametrize("count", [1, 2, 32, 200])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_time_moves_by_no_more_than_the_jitter_and_never_backwards(count, share):
    jitter = TimeJitter(DataConfig(time_jitter=share), seed=2)
    instants = np.stack([jitter.instants(count, 0, index) for index in range(300)])
    moved = instants - np.arange(count)
    assert np.abs(moved).max() <= share * (count - 1) + 0.5
    assert (np.diff(instants) >= 0).all() and instants.min() >= 0 and instants.max() < count
    if count == 200:
        assert np.abs(moved).max() > 0.8 * share * count, "the whole of it is used"
        assert abs(moved.mean()) < 0.05 * share * count, "to either side"


def test_all_that_belongs_to_an_instant_moves_with_it():
    jitter, instants = TimeJitter(DataConfig(time_jitter=0.1), seed=2), np.arange(10)
    for index in range(20):
        frames, mfcc = (jitter(np.tile(instants[:, None], (1, width)), 3, index) for width in (2, 5))
        np.testing.assert_array_equal(frames[:, 0], mfcc[:, 0])
        np.testing.assert_array_equal(frames[:, 0], jitter(instants, 3, index))


@pytest.mark.parametrize("make", [
    lambda seed: FrameAugmenter(DataConfig(colour=1.0), seed),
    lambda seed: FrameAugmenter(DataConfig(turn=9.0, scale=0.1, erase=0.5), seed),
    lambda seed: MfccAugmenter(DataConfig(mfcc_time_masks=2), AUDIO, MEAN, seed),
    lambda seed: TimeJitter(DataConfig(time_jitter=0.15), seed),
])
def test_draws_depend_on_seed_epoch_and_clip_alone(make):
    data = FRAMES if isinstance(make(0), FrameAugmenter) else MFCC
    before = data.copy()
    first = [make(3)(data, 1, index).tobytes() for index in range(8)]
    assert first == [make(3)(data, 1, index).tobytes() for index in range(8)]
    assert first != [make(3)(data, 2, index).tobytes() for index in range(8)]
    assert first != [make(4)(data, 1, index).tobytes() for index in range(8)]
    assert len(set(first)) > 1
    np.testing.assert_array_equal(data, before)


def clip():
    """All that a clip may have; what belongs to no instant has as many entries as there are instants, in an order."""
    return {"frames": np.random.default_rng(2).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8), "mfcc": MFCC.copy(),
            "timestamps": np.arange(10, dtype=np.float32), "fau": np.arange(20, dtype=np.float32).reshape(10, 2),
            "present": np.arange(10, dtype=np.float32), "labels": np.arange(10, dtype=np.float32) / 10,
            "index": np.arange(10, dtype=np.int32)}


@pytest.mark.parametrize("options, changed", [
    ({}, set()),
    ({"mfcc_time_mask_width": 5, "mfcc_feature_mask_width": 9}, set()),
    ({"flip": 1.0}, {"frames"}),
    ({"colour": 0.5}, {"frames"}), ({"turn": 20.0}, {"frames"}), ({"scale": 0.2}, {"frames"}),
    ({"erase": 1.0}, {"frames"}),
    ({"time_jitter": 0.4}, {"frames", "mfcc", "timestamps", "fau"}),
    ({"mfcc_time_masks": 1, "mfcc_time_mask_width": 10}, {"mfcc"}),
    ({"mfcc_feature_masks": 1, "mfcc_feature_mask_width": 16}, {"mfcc"}),
])
def test_each_setting_changes_its_own_columns_and_never_labels(options, changed):
    augment, before = ClipAugmenter(DataConfig(**options), AUDIO, MEAN, seed=5), clip()
    seen = set()
    for index in range(6):
        after = clip()
        augment(after, 1, index)
        seen |= {name for name in before if not np.array_equal(before[name], after[name])}
        assert {name: value.dtype for name, value in after.items()} == {n: v.dtype for n, v in before.items()}
    assert seen == changed


def test_settings_together_are_one_after_the_other_with_the_same_seed_epoch_and_clip():
    config = DataConfig(flip=0.5, colour=0.5, time_jitter=0.3, mfcc_time_masks=1, mfcc_feature_masks=1)
    for index in range(4):
        before, after = clip(), clip()
        ClipAugmenter(config, AUDIO, MEAN, seed=6)(after, 2, index)
        move = TimeJitter(config, 6)
        np.testing.assert_array_equal(after["frames"], FrameAugmenter(config, 6)(
            move(before["frames"], 2, index), 2, index))
        np.testing.assert_array_equal(after["mfcc"], MfccAugmenter(config, AUDIO, MEAN, 6)(
            move(before["mfcc"], 2, index), 2, index))
        np.testing.assert_array_equal(after["timestamps"], move.instants(10, 2, index))
    only_sound = {"mfcc": MFCC.copy(), "labels": np.arange(3.0)}
    ClipAugmenter(config, AUDIO, MEAN, seed=6)(only_sound, 2, 3)
    np.testing.assert_array_equal(only_sound["mfcc"], after["mfcc"])


def test_draws_are_those_of_earlier_versions():
    """A training taken up again after an update goes on with the same draws."""
    jitter = TimeJitter(DataConfig(time_jitter=0.3), seed=7)
    assert jitter.instants(12, 3, 5).tolist() == [3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 11, 11]
    knots = np.linspace(0, 1, 4) + 0.3 * np.random.default_rng((7, 3, 5, 2)).uniform(-1, 1, 4)
    places = np.interp(np.linspace(0, 1, 12), np.linspace(0, 1, 4), np.sort(knots))
    assert jitter.instants(12, 3, 5).tolist() == np.rint(np.clip(places, 0, 1) * 11).tolist()
    rng = np.random.default_rng((7, 3, 5, 0))
    flip, (brightness, contrast) = rng.random() < 0.7, rng.uniform(-1, 1, 2) * 0.4
    out = FrameAugmenter(DataConfig(flip=0.7, colour=0.4), seed=7)(FRAMES, 3, 5)
    np.testing.assert_array_equal(out, jitter_table(brightness, contrast)[FRAMES[:, :, ::-1] if flip else FRAMES])
    rng, masked = np.random.default_rng((7, 3, 5, 1)), np.zeros((10, 4, 16), bool)
    for axis, length, width in ((0, 10, 4), (0, 10, 4), (2, 16, 7)):
        size = rng.integers(0, width + 1)
        first = rng.integers(0, length - size + 1)
        masked[(slice(None),) * axis + (slice(first, first + size),)] = True
    config = DataConfig(mfcc_time_masks=2, mfcc_feature_masks=1, mfcc_feature_mask_width=7)
    np.testing.assert_array_equal(MfccAugmenter(config, AUDIO, MEAN, seed=7)(MFCC, 3, 5),
                                  np.where(masked.reshape(10, 64), MEAN, MFCC))


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_as_many_clips_are_mirrored_as_flip_says(share):
    augment = FrameAugmenter(DataConfig(flip=share), seed=4)
    flipped = [not np.array_equal(augment(FRAMES[:1], 0, index), FRAMES[:1]) for index in range(400)]
    assert np.mean(flipped) == pytest.approx(share, abs=0.05)


def test_colour_sets_how_far_brightness_and_contrast_go():
    levels, grey = np.arange(256, dtype=np.uint8), []
    for index in range(200):
        table = FrameAugmenter(DataConfig(colour=0.25), seed=4)(levels.reshape(1, 16, 16, 1), 0, index).reshape(-1)
        grey.append((int(table[127]) - 127, (int(table[191]) - int(table[63])) / 128))
    shifts, gains = np.array(grey).T
    assert 14 < shifts.max() <= 16 and -16 <= shifts.min() < -14, "a quarter of 64 levels"
    assert 1.115 < gains.max() <= 1.126 and 0.874 <= gains.min() < 0.885, "a quarter of one half"
    assert abs(np.corrcoef(shifts, gains)[0, 1]) < 0.3


@pytest.mark.parametrize("kind, length, axis", [("time", 10, 0), ("feature", 16, 2)])
@pytest.mark.parametrize("count, width", [(1, 3), (2, 3), (1, 99)])
def test_masks_are_as_many_and_as_wide_as_asked_and_reach_both_ends(kind, length, axis, count, width):
    config = DataConfig(**{f"mfcc_{kind}_masks": count, f"mfcc_{kind}_mask_width": width})
    covered, first, last = set(), 0, 0
    for index in range(300):
        out = MfccAugmenter(config, AUDIO, MEAN.astype(np.float64), seed=1)(MFCC, 0, index)
        masked = (out != MFCC).reshape(10, 4, 16)
        line = masked.any(axis=tuple({0, 1, 2} - {axis}))
        assert out.dtype == np.float32 and np.array_equal(masked, np.broadcast_to(
            line.reshape([-1 if a == axis else 1 for a in range(3)]), masked.shape))
        np.testing.assert_array_equal(out, np.where(masked.reshape(10, 64), MEAN, MFCC))
        covered.add(int(line.sum()))
        first, last = first + line[0], last + line[-1]
    assert covered == set(range(min(count * width, length) + 1)) and min(first, last) > 10
