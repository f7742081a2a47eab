# SPDX-License-Identifier: Apache-2.0
"""Pairs of portraits of people, each at rest and with an expression: their table, and their faces laid over each other.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Sequence, Tuple, Union

import numpy as np

from mindface_eri.constants import SPLIT_ALIASES
from mindface_eri.datasets.tables import Table, read_table
from mindface_eri.errors import DataError
from mindface_eri.files import file_hash
from mindface_eri.preprocess.detectors import DlibDetector, Landmarks, MtcnnDetector
from mindface_eri.preprocess.geometry import aligned_box
from mindface_eri.synthetic.folder import split_of

TABLE = "portraits.csv"
_COLUMNS = ("person", "neutral", "expressive")
_SPLIT = "split"
_MARGIN = 0.5  # of the picture around the landmarks, on each side: hair and chin are in it
_LARGEST = 1600  # pixels of a portrait's longer side; larger ones are reduced
# Bridge of the nose and corners of the eyes: what no expression moves.
_STILL = [27, 28, 29, 30, 36, 39, 42, 45]


@dataclass(frozen=True)
class Pair:
    """Two portraits of one person."""

    person: str
    neutral: Path
    expressive: Path
    split: str  # Train, Val or Test
    extra: Tuple[str, ...] = ()  # what the table's further columns say


def read_portraits(portraits: Union[str, os.PathLike], seed: int = 0) -> Tuple[List[Pair], Tuple[str, ...]]:
    """The pairs of a table `person,neutral,expressive[,split][,...]`, and the names of its further columns.

    Paths are relative to the table. Without a column `split`, 65, 20 and 15 percent of the people, chosen by `seed`,
    are Train, Val and Test.

    Args:
        portraits: the table, or the folder that holds it as `portraits.csv`.

    Raises:
        DataError: a column, a picture or a person is missing or there twice, a split is unknown or has nobody, or
            there are fewer than three people.
    """
    path = Path(portraits)
    table = read_table(path / TABLE if path.is_dir() else path)
    columns = {name.lower(): place for place, name in enumerate(table.header)}
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise DataError(f"{table.path}, row 1: no column {', '.join(missing)} (found: {', '.join(table.header)}); "
                        f"name {', '.join(_COLUMNS)}, {_SPLIT} if people have theirs, then what else is known of them")
    others = [name for name in table.header if name.lower() not in (*_COLUMNS, _SPLIT)]
    places = [table.header.index(name) for name in others]
    pairs = [_pair(table, number, row, columns, places) for number, row in table.rows]
    people = [pair.person for pair in pairs]
    twice = next((name for name in people if people.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{table.path}: person {twice!r} stands there twice; one row a person, or a person's clips "
                        "would lie in two splits")
    if len(pairs) < 3:
        raise DataError(f"{table.path}: {len(pairs)} people; the three splits need at least 3")
    if _SPLIT not in columns:
        order = np.random.default_rng(np.random.SeedSequence([seed, len(pairs)])).permutation(len(pairs))
        pairs = [replace(pair, split=split_of(int(place), len(pairs))) for pair, place in zip(pairs, order)]
    return pairs, tuple(others)


def _pair(table: Table, number: int, row: Sequence[str], columns: dict, places: Sequence[int]) -> Pair:
    """A row of the table, its pictures found beside it; split is empty where the table has none."""
    person = row[columns["person"]].strip()
    if not person:
        raise DataError(f"{table.where(number, 'person')}: is blank; give each person a name or number")
    files = []
    for column in _COLUMNS[1:]:
        file = table.path.parent / row[columns[column]].strip()
        if not file.is_file():
            raise DataError(f"{table.where(number, column)}: {file}: no such picture; paths are relative to the table")
        files.append(file)
    split = ""
    if _SPLIT in columns:
        text = row[columns[_SPLIT]].strip()
        if text.lower() not in SPLIT_ALIASES:
            raise DataError(f"{table.where(number, _SPLIT)}: split {text!r} is unknown; expected Train, Val or Test")
        split = SPLIT_ALIASES[text.lower()].title()
    return Pair(person, files[0], files[1], split, tuple(row[place].strip() for place in places))


def hash_of(pairs: Sequence[Pair]) -> str:
    """16 hexadecimal digits over people, splits and pictures."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(repr((pair.person, pair.split, pair.extra, file_hash(pair.neutral),
                            file_hash(pair.expressive))).encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Face:
    """A portrait in the square of its pair."""

    picture: np.ndarray  # (S, S, 3) uint8 RGB
    landmarks: np.ndarray  # (68, 2) float32 pixels of it


def lay_over(pair: Pair, side: int) -> Tuple[Face, Face]:
    """The face at rest, upright in the middle of a square, and the expressive one laid over it.

    Turned, scaled and shifted so that eyes and nose lie where they are at rest: between the two only the expression
    moves.

    Args:
        side: of the square, pixels.

    Raises:
        DataError: a file is no picture, or shows no face.
    """
    rest, rest_marks = _read(pair.neutral)
    box, angle = aligned_box(rest_marks, _MARGIN)
    turn = np.exp(1j * angle) * (box[2] - box[0]) / side
    neutral = _cut(rest, rest_marks, turn, _complex((box[:2] + box[2:]) / 2) - turn * (side - 1) / 2 * (1 + 1j), side)
    picture, marks = _read(pair.expressive)
    return neutral, _cut(picture, marks, *_similarity(neutral.landmarks[_STILL], marks[_STILL]), side)


def _read(path: Path) -> Tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 RGB, and the (68, 2) landmarks of its largest face."""
    import cv2

    stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if stored is None:
        raise DataError(f"{path}: cannot be read as a picture; give a JPEG or PNG")
    scale = min(1.0, _LARGEST / max(stored.shape[:2]))
    rgb = cv2.cvtColor(cv2.resize(stored, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    found = [face for face in DlibDetector().find(grey) if face.sure] or MtcnnDetector().find(rgb)
    if not found:
        raise DataError(f"{path}: no face is found in this portrait; give one from the front, or take its row out")
    return rgb, Landmarks()(grey, max(found, key=lambda face: face.box[2] - face.box[0]).box)


def _complex(points: np.ndarray) -> np.ndarray:
    """Points (..., 2) as numbers of the plane, where turning and scaling is a product."""
    return points[..., 0] + 1j * points[..., 1]


def _similarity(source: np.ndarray, target: np.ndarray) -> Tuple[complex, complex]:
    """(turn, shift) of the least squares `target = turn * source + shift`; points are (N, 2)."""
    source, target = _complex(source), _complex(target)
    centred = source - source.mean()
    turn = np.vdot(centred, target - target.mean()) / np.vdot(centred, centred)
    return turn, target.mean() - turn * source.mean()


def _cut(rgb: np.ndarray, landmarks: np.ndarray, turn: complex, shift: complex, side: int) -> Face:
    """The square whose pixel z shows the picture's `turn * z + shift`; beyond the picture its border goes on."""
    import cv2

    shrink = min(1.0, 1.0 / abs(turn))  # averaged over the area of a target pixel first, so that nothing flickers
    small = cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    scale = small.shape[1] / rgb.shape[1]
    a, b = turn * scale, (shift + 0.5 + 0.5j) * scale - (0.5 + 0.5j)
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    picture = cv2.warpAffine(small, matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                             borderMode=cv2.BORDER_REPLICATE)
    there = (_complex(landmarks) - shift) / turn
    return Face(picture, np.stack([there.real, there.imag], -1).astype(np.float32))
