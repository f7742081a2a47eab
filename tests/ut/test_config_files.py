# SPDX-License-Identifier: Apache-2.0
"""Recipes on disk: bases, what wins over what, and files that are no recipes."""

import pytest

from mindface_eri.config import Config, load_config, save_config
from mindface_eri.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    def put(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path
    return put


def test_what_wins_over_what(write):
    """Bases in their order, the file, overrides in theirs, then values; each key by itself."""
    write("parts/a.yaml", "train: {epochs: 1, batch_size: 1, lr: 1, warmup: 1, accumulate: 1, early_stop: 1}")
    write("b.yaml", "base: parts/a.yaml\ntrain: {batch_size: 2, lr: 2, warmup: 2, accumulate: 2, early_stop: 2}")
    write("d.yaml", "train: {lr: 3, warmup: 3, accumulate: 3, early_stop: 3}")
    path = write("c.yaml", "base: [b.yaml, d.yaml]\ntrain:\n  warmup: 4\n  accumulate: 4\n  early_stop: 4\n")
    train = load_config(str(path), ["train.accumulate=1000", "train.accumulate=5", " train.early_stop = 5"],
                        {"train.early_stop": 6}).train
    assert (train.epochs, train.batch_size, train.lr, train.warmup, train.accumulate, train.early_stop) == (
        1, 2, 3, 4, 5, 6)
    assert load_config(path).train.early_stop == 4


def test_two_bases_may_share_a_third(write):
    write("a.yaml", "runtime: {seed: 3}")
    write("b.yaml", "base: a.yaml")
    write("c.yaml", "base: [a.yaml]\ntrain:")  # a section without keys is none
    assert load_config(write("d.yaml", "base: [b.yaml, c.yaml]")).runtime.seed == 3


def test_files_that_call_each_other_are_named(write):
    write("a.yaml", "base: b.yaml")
    path = write("b.yaml", "base: a.yaml")
    with pytest.raises(ConfigError, match=f"^{path}: inherits from itself through 'base:'$"):
        load_config(path)


def test_a_section_is_merged_key_by_key_at_any_depth(write):
    write("a.yaml", "preprocess: {face: {margin: 0.3, align: true}, audio: {silence: 0.5}, jpeg_quality: 50}")
    path = write("b.yaml", "base: a.yaml\npreprocess: {face: {margin: 0.4}}")
    got = load_config(path, ["preprocess.face.follow=center"]).preprocess
    assert (got.face.margin, got.face.align, got.face.follow, got.audio.silence, got.jpeg_quality) == (
        0.4, True, "center", 0.5, 50)


def test_recipes_of_version_0_1_are_read(write):
    path = write("old.yaml", "preprocess: {face: {hold_window: 30, follow: largest, gap_window: 5}}")
    face = load_config(path, ["preprocess.face.hold_window=7"]).preprocess.face
    assert (face.follow, face.gap_window) == ("largest", 5) and not hasattr(face, "hold_window")
    with pytest.raises(ConfigError, match="unknown key 'preprocess.hold_window'"):
        load_config(write("wrong.yaml", "preprocess: {hold_window: 30}"))


def test_an_empty_recipe_is_the_papers(write):
    assert load_config(write("empty.yaml", "")) == load_config(write("base.yaml", "base: []")) == Config()


@pytest.mark.parametrize("text, message", [
    ("base: 5", "base: 5 is neither a file's name nor a list of names"),
    ("base: [a.yaml, 3]", "base: ['a.yaml', 3] is neither a file's name nor a list of names"),
    ("- 1\n- 2", "expected a mapping of keys, got list"), ("7", "expected a mapping of keys, got int"),
    ("train: {lr: 2020-13-45}", "is not YAML (month must be in 1..12)"), ("a: {", "is not YAML (while parsing")])
def test_files_that_are_no_recipes(write, text, message):
    path = write("odd.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_missing_file_is_named_with_its_reason(tmp_path):
    with pytest.raises(ConfigError, match=f"^{tmp_path}/gone.yaml: cannot be read .No such file or directory.; `mind"):
        load_config(tmp_path / "gone.yaml")


@pytest.mark.parametrize("text, message", [
    ("train.lr", "--set 'train.lr': expected key=value, such as train.lr=3e-4"),
    ("train.lr=2020-13-45", "--set 'train.lr=2020-13-45': '2020-13-45' is not a YAML value"),
    ("train.lr={", "--set 'train.lr={': '{' is not a YAML value")])
def test_overrides_that_are_none(text, message):
    with pytest.raises(ConfigError) as caught:
        load_config(None, [text])
    assert str(caught.value) == message


def test_an_override_is_yaml_behind_the_first_equals_sign():
    config = load_config(None, ["train.loss=a=b", "data.group=Subject", "model.tcn_dilations=[3, 5]", "data.records=",
                                "train.end_to_end=true"])
    assert (config.train.loss, config.data.group, config.model.tcn_dilations) == ("a=b", "Subject", (3, 5))
    assert config.data.records is None and config.train.end_to_end is True


def test_a_saved_recipe_keeps_the_order_of_its_sections(tmp_path):
    save_config(Config(), tmp_path / "new" / "config.yaml")
    lines = (tmp_path / "new" / "config.yaml").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "preprocess:", "model:", "data:", "train:", "runtime:"]
    assert lines[1:4] == ["  frames: 32", "  face:", "    detector: auto"]
