# SPDX-License-Identifier: Apache-2.0
"""Statistics of sound by person: whose they are, of how many clips, and of copies their own."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.config import ModelConfig
from mindface_eri.datasets import by_person
from mindface_eri.datasets.by_person import check_given, person_statistics, with_person_statistics
from mindface_eri.datasets.statistics import thirds
from mindface_eri.errors import ConfigError, DataError

MODEL = ModelConfig(name="eri_statistics", takes=("mfcc",), normalise_by_person=True)
PEOPLE = ["ann", "bob", "ann", "ann", "bob", "", "bob", "ann"]  # the blank one is silent
RNG = np.random.default_rng(5)
SOUNDS = RNG.normal(40, 7, (8, 3, 4)).astype(np.float32)  # (N, T, M): stacks of two frames, of two coefficients
COPIES = 2 * SOUNDS + 5


@dataclasses.dataclass(frozen=True)
class Fake:
    """What of records is asked for."""

    table: tuple
    copied: bool = True
    by_person: object = None
    path: str = "somewhere"
    preprocess: object = None

    def __post_init__(self):
        object.__setattr__(self, "preprocess", SimpleNamespace(audio=SimpleNamespace(coefficients=2)))

    @property
    def copies(self):
        return np.full(8, int(self.copied))

    def column(self, name):
        return tuple(row[name] for row in self.table)

    def read(self, ids, columns):
        assert ("copies" in columns) == self.copied
        for clip in ids:
            yield {"mfcc": SOUNDS[int(clip)], **({"copies": COPIES[int(clip)][None]} if self.copied else {})}


def fake(people=tuple(PEOPLE), column="Subject", **more):
    return Fake(tuple({"id": str(i), "split": "", column: who, "present_acoustic": "0" if i == 5 else "1"}
                      for i, who in enumerate(people)), **more)


def expected(sounds):
    found = np.stack([thirds(sound.reshape(6, 2)) for sound in sounds])
    return np.stack([found.mean(0), found.std(0)]).reshape(2, 6, 2)


@pytest.fixture(autouse=True)
def three_are_enough(monkeypatch):
    monkeypatch.setattr(by_person, "LEAST", 3)


def test_each_clip_has_the_mean_and_deviation_of_its_persons_clips():
    found = with_person_statistics(fake(), MODEL).by_person
    assert found.column == "Subject" and found.values.shape == (2, 2, 2, 6, 2)
    values = found.of(np.array([7, 5, 1, 0]), np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(values[0], expected(SOUNDS[[0, 2, 3, 7]]), rtol=1e-5)
    np.testing.assert_allclose(values[2], expected(SOUNDS[[1, 4, 6]]), rtol=1e-5)
    np.testing.assert_allclose(values[3], expected(COPIES[[0, 2, 3, 7]]), rtol=1e-5)
    assert not values[1].any() and values.dtype == np.float32


def test_the_same_of_clips_alone_and_what_never_differs_has_deviation_one():
    np.testing.assert_allclose(person_statistics(list(SOUNDS[:4]), 2), expected(SOUNDS[:4]), rtol=1e-5)
    alike = person_statistics([SOUNDS[0]] * 3, 2)
    assert (alike[1] == 1).all() and alike.dtype == np.float32
    with pytest.raises(DataError, match="2 clips with sound of one person, and normalising by person needs 3"):
        person_statistics(list(SOUNDS[:2]), 2)


def test_where_few_clips_have_a_copy_the_clips_own_stand_in():
    records = fake(copied=True)
    few = by_person._values(records, np.array([0, 0, 0, 0, 0, -1, 1, 1]), 2)
    assert few[0, 1].tolist() != few[0, 0].tolist()
    np.testing.assert_array_equal(few[1, 1], few[1, 0])


def test_records_are_left_alone_where_nobody_asks():
    records = fake()
    assert with_person_statistics(records, dataclasses.replace(MODEL, normalise_by_person=False)) is records
    once = with_person_statistics(fake(copied=False), MODEL)
    assert with_person_statistics(once, MODEL) is once and once.by_person.values.shape[1] == 1


@pytest.mark.parametrize("records, group, said", [
    (fake(column="Town"), None, "needs a column that names people, such as Subject"),
    (fake(), "none", "needs a column that names people"),
    (fake(("ann",) * 7 + ("bob",)), None, r"needs 3 clips with sound of each person, and 1 in the column Subject have "
                                          r"fewer: bob \(1\)"),
    (fake(("ann",) * 7 + (" ",)), None, "1 clips with sound have a blank Subject")])
def test_what_cannot_be_is_refused(records, group, said):
    with pytest.raises(DataError, match=said):
        with_person_statistics(records, MODEL, group)


def test_another_column_may_be_named():
    assert with_person_statistics(fake(column="Town"), MODEL, "Town").by_person.column == "Town"


def test_people_are_given_to_networks_that_ask_for_them_alone():
    check_given(MODEL, True)
    check_given(ModelConfig(), False)
    with pytest.raises(ConfigError, match="it needs to know who is heard in each clip, and 3 clips or more"):
        check_given(MODEL, False)
    with pytest.raises(ConfigError, match="eri_dual_branch was trained without model.normalise_by_person"):
        check_given(ModelConfig(), True)
