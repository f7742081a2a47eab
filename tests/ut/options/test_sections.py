# SPDX-License-Identifier: Apache-2.0
"""No section of the configuration is without its file of this folder, and the check itself can fail."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
from fixtures.options import Case, check, leaves

from mindface_eri.config import Config


def test_each_section_has_its_file():
    files = {path.stem[len("test_"):-len("_options")] for path in Path(__file__).parent.glob("test_*_options.py")}
    assert files == {field.name for field in dataclasses.fields(Config)}


def test_options_below_others_count():
    assert {"preprocess.frames", "preprocess.face.align", "preprocess.audio.silence"} <= set(leaves("preprocess"))
    assert "preprocess.face" not in leaves("preprocess") and leaves("train")[:2] == ["train.epochs", "train.batch_size"]


def run(name, *cases):
    check(name, {"train.lr": cases} if cases else {}, SimpleNamespace(bases={}), {})


def test_an_option_without_a_case_is_named():
    with pytest.raises(AssertionError, match="train.lr has no case"):
        run("train.lr")


def test_an_option_that_does_nothing_is_named():
    run("train.lr", Case(lambda config, made: [config.train.lr], [0.1, 0.2]))
    with pytest.raises(AssertionError, match="train.lr=0.1 does the same as the base"):
        run("train.lr", Case(lambda config, made: 1, [0.1]))
    with pytest.raises(AssertionError, match="train.lr=0.2 does the same as 0.1"):
        run("train.lr", Case(lambda config, made: config.train.lr < 0.01, [0.1, 0.2]))


def test_a_probe_that_says_something_else_each_time_is_none():
    answers = iter(range(9))
    with pytest.raises(AssertionError, match="not repeatable"):
        run("train.lr", Case(lambda config, made: next(answers), [0.1]))
