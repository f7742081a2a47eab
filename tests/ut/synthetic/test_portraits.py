# SPDX-License-Identifier: Apache-2.0
"""Portraits: their table, what is wrong with it, and an expressive face laid over the one at rest."""

import numpy as np
import pytest
from PIL import Image

from mindface_eri.errors import DataError
from mindface_eri.synthetic.portraits import _similarity, hash_of, lay_over, read_portraits


def table(folder, text):
    for name in ("a.png", "b.png", "c.png"):
        (folder / name).write_bytes(b"picture")
    path = folder / "mine.csv"
    path.write_text(text)
    return path


def test_rows_become_pairs_with_what_else_is_known(tmp_path):
    path = table(tmp_path, "Age,Neutral,Expressive,Split,Person,Group\n30,a.png,b.png,devel,x,g\n"
                           "31,b.png,c.png,TRAIN,y,\n32,c.png,a.png,Test,z,h\n")
    pairs, extra = read_portraits(path)
    assert extra == ("Age", "Group")
    assert [(p.person, p.neutral.name, p.expressive.name, p.split, p.extra) for p in pairs] == [
        ("x", "a.png", "b.png", "Val", ("30", "g")), ("y", "b.png", "c.png", "Train", ("31", "")),
        ("z", "c.png", "a.png", "Test", ("32", "h"))]
    assert pairs[0].neutral == tmp_path / "a.png"


def test_people_without_a_split_are_dealt_out_by_the_seed(tmp_path):
    path = table(tmp_path, "person,neutral,expressive\n" + "".join(f"{i},a.png,b.png\n" for i in range(20)))
    splits = [[pair.split for pair in read_portraits(path, seed)[0]] for seed in (1, 1, 2)]
    assert [splits[0].count(name) for name in ("Train", "Val", "Test")] == [13, 4, 3]
    assert splits[0] == splits[1] != splits[2] and splits[0] != sorted(splits[0])


@pytest.mark.parametrize("text, message", [
    ("person,neutral\nx,a.png\n", r"row 1: no column expressive \(found: person, neutral\); name person"),
    ("person,neutral,expressive\n ,a.png,b.png\n", "row 2, column 'person': is blank"),
    ("person,neutral,expressive\nx,a.png,d.png\n", "row 2, column 'expressive': .*d.png: no such picture"),
    ("person,neutral,expressive\nx,,b.png\n", "row 2, column 'neutral': .*: no such picture"),
    ("person,neutral,expressive,split\nx,a.png,b.png,half\n", "row 2, column 'split': split 'half' is unknown"),
    ("person,neutral,expressive\nx,a.png,b.png\ny,b.png,c.png\nx,c.png,a.png\n", "person 'x' stands there twice"),
    ("person,neutral,expressive\nx,a.png,b.png\ny,b.png,c.png\n", "2 people; the three splits need at least 3"),
])
def test_what_is_wrong_with_a_table_is_said_with_its_place(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_portraits(table(tmp_path, text))


def test_the_hash_is_of_people_splits_and_pictures(tmp_path):
    text = "person,neutral,expressive,split\nx,a.png,b.png,Train\ny,b.png,c.png,Val\nz,c.png,a.png,Test\n"
    first = hash_of(read_portraits(table(tmp_path, text))[0])
    assert hash_of(read_portraits(table(tmp_path, text))[0]) == first and len(first) == 16
    for other in (text.replace("x,", "w,"), text.replace("Val", "Train")):
        assert hash_of(read_portraits(table(tmp_path, other))[0]) != first
    path = table(tmp_path, text)
    (tmp_path / "c.png").write_bytes(b"another")
    assert hash_of(read_portraits(path)[0]) != first


def test_a_similarity_is_found_back():
    points = np.array([[0, 0], [4, 1], [2, 7], [-3, 5]], float)
    turn = 1.5 * np.exp(0.3j)
    moved = turn * (points[:, 0] + 1j * points[:, 1]) + (10 - 4j)
    found = _similarity(points, np.stack([moved.real, moved.imag], -1))
    assert np.allclose(found, (turn, 10 - 4j))


def test_only_the_expression_moves_between_the_two(portraits):
    """The second photograph was turned, shifted and smaller; laid over the first, eyes and nose stay."""
    for pair in read_portraits(portraits)[0][:2]:
        rest, smile = lay_over(pair, 192)
        assert rest.picture.shape == smile.picture.shape == (192, 192, 3) and rest.picture.dtype == np.uint8
        moved = np.linalg.norm(smile.landmarks - rest.landmarks, axis=1)
        assert moved[27:31].max() < 4 and moved[36:48].mean() < 3
        assert moved[[48, 54]].min() > 6  # corners of the mouth
        eyes = rest.landmarks[42:48].mean(0) - rest.landmarks[36:42].mean(0)
        assert abs(eyes[1]) < 1e-3 * eyes[0]  # upright
        low, high = rest.landmarks.min(0), rest.landmarks.max(0)
        assert (high - low).max() == pytest.approx(96, abs=1) and np.allclose((low + high) / 2, 95.5, atol=1)
        difference = np.abs(rest.picture.astype(int) - smile.picture)[60:110, 60:130]  # eyes and nose
        assert difference.mean() < 12


def test_the_picture_lies_where_its_landmarks_say(portraits):
    """Pupils are the darkest of an eye, in both pictures."""
    pair = read_portraits(portraits)[0][0]
    for face in lay_over(pair, 288):
        for eye in (slice(36, 42), slice(42, 48)):
            x, y = np.round(face.landmarks[eye].mean(0)).astype(int)
            grey = face.picture.mean(axis=2)
            assert grey[y - 4:y + 5, x - 5:x + 6].min() < 60 < grey[y + 16:y + 24, x - 5:x + 6].min()


def test_a_portrait_without_a_face_or_that_is_none_is_named(portraits, tmp_path):
    Image.new("RGB", (200, 200), (90, 120, 90)).save(tmp_path / "wall.png")
    (tmp_path / "words.png").write_bytes(b"no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name, why in (("wall", "no face is found in this portrait"), ("words", "cannot be read as a picture"),
                      ("empty", "cannot be read as a picture")):
        (tmp_path / "portraits.csv").write_text("person,neutral,expressive\n" + "".join(
            f"{who},{tmp_path / name}.png,{portraits / '0_smile.png'}\n" for who in "xyz"))
        with pytest.raises(DataError, match=f"{name}.png: {why}"):
            lay_over(read_portraits(tmp_path)[0][0], 96)
