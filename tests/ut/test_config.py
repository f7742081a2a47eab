# SPDX-License-Identifier: Apache-2.0
"""The configuration: inheritance, overrides, and what is refused and how."""

import dataclasses
import typing

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindface_eri.config import Config, from_dict, load_config, save_config
from mindface_eri.errors import ConfigError


def test_defaults_are_the_papers():
    config = load_config()
    assert config == Config()
    assert (config.train.lr, config.train.batch_size, config.train.lr_patience) == (1e-4, 64, 10)
    assert config.preprocess.audio.features == 1024


def test_overrides_by_type(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("train:\n  lr: 1e-3\n  epochs: 7\n")
    config = load_config(recipe, ["train.lr=3e-4", "model.tcn_dilations=[1, 2]"], {"data.records": "1e5"})
    assert (config.train.lr, config.train.epochs) == (3e-4, 7)
    assert config.model.tcn_dilations == (1, 2)
    assert config.data.records == "1e5"  # a path that looks like a number stays a path


def test_inheritance_is_by_key_and_the_nearest_file_wins(tmp_path):
    (tmp_path / "a.yaml").write_text("train: {lr: 1e-3, epochs: 5}\n")
    (tmp_path / "b.yaml").write_text("train: {epochs: 6}\nruntime: {seed: 3}\n")
    (tmp_path / "c.yaml").write_text("base: [a.yaml, b.yaml]\nruntime: {seed: 4}\n")
    config = load_config(tmp_path / "c.yaml")
    assert (config.train.lr, config.train.epochs, config.runtime.seed) == (1e-3, 6, 4)


def test_a_saved_configuration_reads_back_equal(tmp_path):
    config = load_config(None, ["train.lr=0.00017", "model.emotions=[Calm, 'Happy, very']"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("override, message", [
    ("train.lrr=1", "unknown key 'train.lrr'; did you mean 'lr'"),
    ("trian.lr=1", "did you mean 'train'"),
    ("train.lr=fast", "train.lr: expected float, got 'fast'"),
    ("train.epochs=1.5", "train.epochs: expected int"),
    ("train.epochs=true", "train.epochs: expected int"),
    ("train.epochs=0", r"train.epochs: 0 is outside \[1, inf\]"),
    ("train.lr=.nan", "train.lr: nan is outside"),
    ("runtime.device=TPU", "'TPU' is not one of auto, CPU, GPU, Ascend"),
    ("model.emotions=Fear", "expected a list"),
    ("model.emotions=[]", "at least one value"),
    ("train=5", "train: expected a mapping"),
    ("train.lr", "expected key=value"),
    ("train.lr=[", "not a YAML value"),
    ("model.frames=16", "model.frames is 16 but preprocess.frames is 32"),
])
def test_refused_with_a_sentence(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(None, [override])


@pytest.mark.parametrize("text, message", [
    ("base: loop.yaml", "inherits from itself"), ("- 1", "expected a mapping"), ("a: [", "is not YAML"),
    ("base: gone.yaml", "gone.yaml: cannot be read"), (b"\xff\xfe\x00", "is not YAML")])
def test_broken_files_are_named(tmp_path, text, message):
    path = tmp_path / "loop.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def anything_of(cls):
    """Values of a dataclass of the configuration that its fields admit."""
    hints, fields = typing.get_type_hints(cls), {}
    for field in dataclasses.fields(cls):
        hint, limits = hints[field.name], field.metadata
        if dataclasses.is_dataclass(hint):
            fields[field.name] = anything_of(hint)
        elif "choices" in limits:
            fields[field.name] = st.sampled_from(limits["choices"])
        elif hint in (int, float):
            of = st.integers if hint is int else st.floats
            fields[field.name] = of(limits["low"], min(limits["high"], 2**60))
        elif hint is bool:
            fields[field.name] = st.booleans()
        elif hint == typing.Optional[str]:
            fields[field.name] = st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
    return st.builds(cls, **fields)


@pytest.mark.parametrize("section", ["preprocess", "train", "runtime", "data", "model"])
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no fault
@given(data=st.data())
def test_what_is_saved_reads_back_equal(section, data, tmp_path_factory):
    kind = typing.get_type_hints(Config)[section]
    part = data.draw(anything_of(kind))
    path = tmp_path_factory.mktemp("c") / "config.yaml"
    save_config(part, path)
    assert from_dict(kind, yaml.safe_load(path.read_text(encoding="utf-8"))) == part
