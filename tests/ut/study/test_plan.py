# SPDX-License-Identifier: Apache-2.0
"""Who is held out, who chooses, who is trained on; and what is refused before anything is trained."""

import dataclasses

import numpy as np
import pytest

from mindface_eri.errors import ConfigError, DataError


def who(study, fold, split):
    return {person for person, where in zip(study.people, study.splits(fold)) if where == split}


@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_nobody_stands_on_two_sides_and_every_labelled_clip_is_held_out_once(make, schedule):
    study = make(train={"schedule": schedule})
    assert study.keeps_last == (schedule == "cosine")
    held = np.zeros(34, int)
    for fold in range(3):
        trained, chose, out = (who(study, fold, split) for split in ("train", "val", "test"))
        assert trained and out and not (trained & chose or trained & out or chose & out)
        assert trained | chose | out == {f"P{i}" for i in range(9)}
        assert bool(chose) == (schedule == "plateau")
        held += np.array(study.splits(fold)) == "test"
        assert [row["split"] for row in study.view(fold).table] == study.splits(fold)
    assert held.tolist() == [1] * 31 + [0] * 3
    assert study.part.tolist() == [next((f for f in range(3) if study.splits(f)[i] == "test"), -1) for i in range(34)]
    assert study.notes == ("3 clips of split test are neither trained on nor held out (data.fold_of)",)


def test_both_ways_of_choosing_hold_out_the_same_clips(make):
    assert make().part.tolist() == make(train={"schedule": "plateau"}).part.tolist()
    assert make().part.tolist() != make(data={"fold_seed": 1}).part.tolist()


def test_a_fold_has_statistics_of_its_own_training_clips(make, people):
    study = make()
    view = study.view(1)
    trained = [row["id"] for row, split in zip(people.table, study.splits(1)) if split == "train"]
    values = np.concatenate([record["mfcc"] for record in people.read(trained, ["mfcc"])])
    np.testing.assert_allclose(view.mfcc_mean, values.mean(0), rtol=1e-5)
    assert len({study.view(fold).hash for fold in range(3)} | {people.hash}) == 4


def test_the_folds_are_those_that_training_by_hand_cuts(make, people):
    from mindface_eri.datasets.folds import fold_splits

    study = make(train={"schedule": "plateau"})
    data = dataclasses.replace(study.config.data, folds=3, fold=2, fold_as="test", group="Subject")
    assert study.splits(2) == fold_splits(people, data)


@pytest.mark.parametrize("by, column", [("person", "Subject"), ("Subject", "Subject"), ("Room", "Room"),
                                        ("clip", None), ("none", None)])
def test_by_what_folds_are_cut(make, people, by, column):
    rooms = dataclasses.replace(people, extra=("Subject", "Room"), table=tuple(
        {**row, "Room": f"R{number % 5}"} for number, row in enumerate(people.table)))
    study = make(rooms, by=by)
    assert study.column == column and study.config.data.group == (column or "none")
    values = study.people if column else [row["id"] for row in rooms.table]
    parts = {}
    for value, part in zip(values, study.part):
        parts.setdefault(value, set()).add(int(part))
    if column != "Room":  # clips of Z have a room too, and stand in no fold
        assert all(len(found) == 1 for found in parts.values())


def test_the_recipe_may_name_the_column(make, people):
    rooms = dataclasses.replace(people, table=tuple({**row, "Room": row["id"][-1]} for row in people.table))
    assert make(rooms, data={"group": "Room"}).column == "Room"
    assert make(rooms, data={"group": "Room"}, by="Subject").column == "Subject"
    assert make(rooms, data={"group": "none"}).column is None


def test_numbers_come_from_the_command_the_recipe_or_five(make):
    assert (make().folds, make().seeds) == (3, 2)
    assert make(folds=None).folds == 5 and make(folds=None, data={"folds": 4}).folds == 4
    study = make(overrides=("train.epochs=7",), model={"emotions": ("Joy", "Awe")})
    assert study.config.train.epochs == 7 and study.config.model.emotions == ("Amusement", "Fear")
    assert [study.seeded(seed).runtime.seed for seed in (0, 4)] == [0, 4]


def test_networks_without_pictures_compute_on_one_thread_unless_told(make):
    assert make().config.runtime.threads == 1
    assert make(runtime={"threads": 3}).config.runtime.threads == 3
    assert make(model={"name": "eri_visual"}).config.runtime.threads == 0


def relabelled(people, names, **more):
    table = tuple({**row, "Subject": name} for row, name in zip(people.table, names))
    return dataclasses.replace(people, table=table, **more)


@pytest.mark.parametrize("names, options, said", [
    (["A"] * 34, {}, r"31 labelled clips of 1 person \(Subject\) do not fill 3 folds; people never seen need 2"),
    (["A", "B"] * 17, {"train": {"schedule": "plateau"}}, "2 people .*; people never seen need 3 of them"),
    (["A", "B"] * 17, {}, "2 people .* do not fill 3 folds; give --folds 2 or fewer"),
    ([f"P{i % 4}" for i in range(34)], {"folds": 5}, "4 people .* do not fill 5 folds; give --folds 4 or fewer"),
    ([""] + ["A", "B", "C"] * 11, {}, "1 clips have a blank Subject, first 00000; fill the column"),
    ([f"P{i}" for i in range(34)], {"by": "Room"}, "no column 'Room' to group clips by; there are id, split")])
def test_too_few_people_are_said_with_a_cure(make, people, names, options, said):
    with pytest.raises(DataError, match=said):
        make(relabelled(people, names), **options)


def test_two_people_are_enough_where_nobody_chooses(make, people):
    study = make(relabelled(people, ["A", "B"] * 17), folds=2)
    assert [who(study, fold, "test") | who(study, fold, "train") for fold in (0, 1)] == [{"A", "B"}] * 2


def test_without_people_or_labels_it_is_said_what_to_do(make, people, record_folder):
    from mindface_eri.datasets.records import open_records

    with pytest.raises(DataError, match="no column names people, .* are none: name one with --by COLUMN, or say"):
        make(open_records(record_folder))
    assert make(open_records(record_folder), by="clip").people_in(np.arange(31)) == 31
    with pytest.raises(DataError, match="no clip in train, val has labels, and a score needs some"):
        make(dataclasses.replace(people, all_labels=people.all_labels * np.nan))


def test_clips_that_lack_what_the_network_needs_stand_in_no_fold(make, people):
    table = tuple({**row, "present_acoustic": "0" if number in (2, 30) else "1"} for number, row in
                  enumerate(people.table))
    study = make(dataclasses.replace(people, table=table))
    assert np.flatnonzero(study.part < 0).tolist() == [2, 30, 31, 32, 33]
    assert study.notes[:2] == ("1 of 24 train clips have no sound: left out",
                               "1 of 7 val clips have no sound: left out")


@pytest.mark.parametrize("options, said", [
    ({"seeds": 0}, "--seeds must be at least 1"), ({"folds": 1}, "folds are at least 2"),
    ({"model": {"name": "eri_dual_branch"}}, "set train.end_to_end=true, or use `mindface-eri reproduce"),
    ({"train": {"acoustic_run": "runs/a"}}, "name branches that may have seen the people held out"),
    ({"overrides": ("train.features_runs=[a]",)}, "may have seen the people held out")])
def test_what_cannot_be_honest_is_refused(make, options, said):
    with pytest.raises(ConfigError, match=said):
        make(**options)


def test_fusion_is_trained_end_to_end(make):
    assert make(model={"name": "eri_dual_branch"}, train={"end_to_end": True}).config.train.end_to_end
