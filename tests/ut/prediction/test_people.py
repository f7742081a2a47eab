# SPDX-License-Identifier: Apache-2.0
"""A network that normalises by person gets each clip's person's statistics, or a clear refusal."""

import dataclasses

import numpy as np
import pytest

from mindface_eri.datasets import by_person
from mindface_eri.datasets.by_person import person_statistics
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.prediction import people as module
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.people import people_of

RNG = np.random.default_rng(2)
SOUNDS = RNG.normal(3, 2, (7, 4, 16)).astype(np.float32)
PEOPLE = dict(zip("abcdefg", ["ann", "bob", "ann", "ann", "bob", "bob", "ann"]))


@pytest.fixture(autouse=True)
def three_are_enough(monkeypatch):
    for place in (by_person, module):
        monkeypatch.setattr(place, "LEAST", 3)


@pytest.fixture
def asked(record):
    return record("eri_statistics", takes=("mfcc", "landmarks"), normalise_by_person=True, mfcc_stack=2)


@pytest.fixture
def jobs(make_clip):
    """Clip g has no sound."""
    return [Job(name, clip=dataclasses.replace(make_clip(sound=name != "g"), mfcc=SOUNDS[i] * (name != "g")))
            for i, name in enumerate("abcdefg")]


@pytest.mark.parametrize("together", [1, 4])
def test_each_clip_goes_with_its_persons_statistics(asked, jobs, together, flat):
    rows = flat(asked.predict(jobs, people=PEOPLE, batch_size=together))
    assert [row["File_ID"] for row in rows] == list("abcdefg") and not any("error" in row for row in rows)
    person = np.concatenate([given["person"] for given in asked.asked])
    ann, bob = (person_statistics(list(SOUNDS[rows]), 8) for rows in ([0, 2, 3], [1, 4, 5]))
    for i, wanted in enumerate([ann, bob, ann, ann, bob, bob, np.zeros((2, 6, 8))]):
        np.testing.assert_allclose(person[i], wanted, rtol=1e-6)
    assert person.dtype == np.float32 and list(asked.asked[0]) == ["mfcc", "landmarks", "person", "present"]


def test_too_few_that_can_be_heard_are_an_error_of_their_own(asked, jobs, make_clip, flat):
    jobs[1] = Job("b", clip=make_clip(sound=False))
    rows = flat(asked.predict(jobs, people=PEOPLE))
    assert ["error" in row for row in rows] == [False, False, False, False, True, True, False]
    assert rows[4]["error"].startswith("bob: 2 clips with sound of one person, and normalising by person needs 3")


def test_who_cannot_be_is_refused_before_any_clip_is_taken_apart(asked, jobs, record):
    for people, error, said in (
            (None, ConfigError, "trained with model.normalise_by_person: it needs to know who is heard"),
            ({**PEOPLE, "c": ""}, DataError, "1 of 7 clips have no person, first c"),
            ({**PEOPLE, "b": "cleo"}, DataError, "2 of 3 people have too few clips here, first cleo with 1")):
        with pytest.raises(error, match=said):
            next(asked.predict(jobs, people=people))
    with pytest.raises(ConfigError, match="asks for no people"):
        next(record().predict(jobs, people=PEOPLE))
    for option in ({"window": 1.0}, {"hop": 1.0}, {"moving": True}):
        with pytest.raises(ConfigError, match="answers clips whole"):
            next(asked.predict(jobs, people=PEOPLE, **option))


def test_arrays_need_theirs(asked):
    with pytest.raises(DataError, match=r"person is missing: this network needs \(B, 2, 6, 8\)"):
        asked.predict_arrays(mfcc=SOUNDS, landmarks=np.zeros((7, 4, 68, 2), np.float32))
    person = np.zeros((7, 2, 6, 8), np.float32)
    asked.predict_arrays(mfcc=SOUNDS, landmarks=np.zeros((7, 4, 68, 2), np.float32), person=person)


def test_people_by_a_table_or_by_folders(tmp_path):
    table = tmp_path / "who.csv"
    table.write_text("File_ID,Town,Speaker\n[a],X,ann \nb.wav,Y,bob\n")
    jobs = [Job("a", audio=tmp_path / "one" / "a.wav"), Job("b", audio=tmp_path / "two" / "b.wav")]
    said = []
    assert people_of(str(table), jobs, said.append) == {"a": "ann", "b": "bob"}
    assert people_of("folder", jobs, said.append) == {"a": str(tmp_path / "one"), "b": str(tmp_path / "two")}
    assert said == [f"people: 2, by the column 'Speaker' of {table}", "people: 2, by the clips' folders"]
    table.write_text("clip,Speaker\na, Ann\nb,bob\nc,ann\na,ANN\n")  # a name in another spelling is the same one's
    assert people_of(str(table), jobs) == {"a": "Ann", "b": "bob", "c": "Ann"}
    table.write_text("clip,Speaker\na,ann\nb,bob\na.wav,bob\n")
    with pytest.raises(DataError, match="row 4, column 'Speaker': 'bob', but clip a has 'ann' in an earlier row"):
        people_of(str(table), jobs)
    table.write_text("File_ID,Town\na,X\n")
    with pytest.raises(DataError, match="has the columns File_ID, Town; need File_ID and one that names people"):
        people_of(str(table), jobs)
