# SPDX-License-Identifier: Apache-2.0
"""What a small corpus is told before training and after."""

import numpy as np
import pytest

from mindface_eri.config import Config, DataConfig, ModelConfig
from mindface_eri.evaluation import small
from mindface_eri.evaluation.runs import Scored
from mindface_eri.metrics import words_of_expectation


def scored(clips, people, group="Who"):
    labels = np.ones((clips + 1, 1))
    labels[-1] = np.nan  # an unlabelled clip of one more person
    who = tuple(str(i % people) for i in range(clips)) + ("another",)
    return Scored("run", tuple(map(str, range(clips + 1))), ("Joy",), labels, labels, {"Who": who}, group=group)


def test_a_score_on_the_clips_that_chose_the_epoch_is_optimistic_where_they_are_few():
    assert small.size_of(scored(30, 4)) == (30, 4)
    said = small.caution_of_choice(scored(30, 4))
    assert "OPTIMISTIC: the best epoch was chosen by these 30 clips of 4 people." in said
    assert "300 clips of 1 person." in small.caution_of_choice(scored(300, 1))
    assert "30 clips." in small.caution_of_choice(scored(30, 4, None))
    assert small.caution_of_choice(scored(300, 10)) is None and small.caution_of_choice(scored(300, 9))


@pytest.fixture
def words(make_records, monkeypatch, tmp_path):
    def ask(columns=None, splits=None, model="eri_dual_branch", **data):
        monkeypatch.setattr(small, "open_records", lambda path: make_records(tmp_path, splits, columns=columns))
        return small.words_before_training(Config(data=DataConfig(records=str(tmp_path), **data),
                                                  model=ModelConfig(name=model)))
    return ask


def test_people_and_the_interval_to_expect_are_named_before_training(words):
    people = {"Subject": [f"s{i // 2}" for i in range(20)]}
    assert words(people) == ["a small corpus (training: 10 clips of 5 people; validation: 6 clips of 3 people): "
                             + words_of_expectation(6, 3, 7)]
    first, second = words()
    assert "(training: 10 clips; validation: 6 clips)" in first and "no column names people" in second
    independent, = words(people, group="none")  # as somebody said
    assert "(training: 10 clips; validation: 6 clips)" in independent
    rooms, = words({**people, "Room": ["a", "b"] * 10}, group="Room")
    assert "(training: 10 clips of 2 people; validation: 6 clips of 2 people)" in rooms
    folds, = words(people, folds=4, group="Subject", fold_as="val")  # the fold's own cut
    assert "(training: 12 clips of 6 people; validation: 4 clips of 2 people)" in folds


def test_clips_that_training_leaves_out_do_not_count(words):
    people = {"Subject": [f"s{i // 2}" for i in range(20)], "present_visual": ["1"] * 20,
              "present_acoustic": ["0", "0", "0", *["1"] * 16, "0"]}
    assert "(training: 7 clips of 4 people; validation: 6 clips of 3 people)" in words(people, model="eri_acoustic")[0]
    assert "(training: 10 clips of 5 people; validation: 6" in words(people, model="eri_visual")[0]
    assert "(training: 10 clips of 5 people; validation: 6" in words(people)[0]  # which does without one of the two


def test_nothing_is_said_of_large_corpora_and_of_none(words, tmp_path, monkeypatch):
    monkeypatch.setattr(small, "is_small", lambda clips, people: False)
    assert words() == []
    monkeypatch.undo()
    assert small.words_before_training(Config()) == []
    assert small.words_before_training(Config(data=DataConfig(records=str(tmp_path / "gone")))) == []


def test_a_corpus_without_validation_is_training_s_own_error(words):
    assert words(splits=["train"] * 20) == []
