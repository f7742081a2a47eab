# SPDX-License-Identifier: Apache-2.0
"""Every field of the configuration: its default, its limits, and the combinations that are refused."""

import dataclasses

import pytest
import yaml

from mindface_eri.config import Config, FaceConfig, ModelConfig, load_config, model_of_file
from mindface_eri.constants import EMOTIONS
from mindface_eri.errors import ConfigError
from mindface_eri.fields import from_dict, to_dict

INF = float("inf")
NUMBERS = {  # default, lowest, highest
    "preprocess.frames": (32, 1, 4096), "preprocess.jpeg_quality": (95, 1, 100),
    "preprocess.face.size": (112, 32, 448), "preprocess.face.margin": (0.2, 0.0, 2.0),
    "preprocess.face.gap_window": (12, 0, INF),
    "preprocess.face.min_share": (0.05, 0.0, 1.0), "preprocess.face.smoothing": (1.5, 0.0, INF),
    "preprocess.face.redetect_every": (30, 1, INF), "preprocess.face.track_stride": (0, 0, INF),
    "preprocess.face.detect_height": (240, 60, INF),
    "preprocess.audio.sample_rate": (16000, 4000, 192000), "preprocess.audio.coefficients": (128, 1, 512),
    "preprocess.audio.stack": (8, 1, INF), "preprocess.audio.n_fft": (2048, 64, INF),
    "preprocess.audio.hop_length": (512, 16, INF), "preprocess.audio.silence": (1e-4, 0.0, INF),
    "preprocess.augment.noise": (0.0, 0.0, 100.0),
    "model.frames": (32, 1, 4096), "model.crop_size": (112, 32, 448), "model.mfcc_features": (1024, 1, INF),
    "model.mfcc_stack": (8, 1, INF), "model.hidden_dropout": (0.5, 0.0, 0.95),
    "model.stem_width": (64, 4, INF), "model.spatial_depth": (4, 1, INF), "model.spatial_heads": (4, 1, INF),
    "model.width": (128, 4, INF), "model.tcn_kernel": (3, 1, INF), "model.temporal_depth": (4, 1, INF),
    "model.temporal_heads": (4, 1, INF), "model.ffn_ratio": (4.0, 0.25, INF), "model.dropout": (0.1, 0.0, 0.95),
    "model.temporal_ffn_ratio": (None, 0.25, INF), "model.temporal_dropout": (None, 0.0, 0.95),
    "model.p_both": (0.9, 0.0, 1.0), "model.p_visual": (0.5, 0.0, 1.0),
    "data.workers": (2, 1, INF), "data.prefetch": (4, 1, INF), "data.folds": (0, 0, INF), "data.fold": (0, 0, INF),
    "data.fold_val": (0.15, 0.0, 0.9), "data.fold_seed": (0, 0, INF), "data.flip": (0.0, 0.0, 1.0),
    "data.turn": (0.0, 0.0, 180.0), "data.scale": (0.0, 0.0, 0.9), "data.erase": (0.0, 0.0, 1.0),
    "data.colour": (0.0, 0.0, 1.0), "data.time_jitter": (0.0, 0.0, 0.5), "data.mfcc_time_masks": (0, 0, INF),
    "data.mfcc_time_mask_width": (4, 1, INF), "data.mfcc_feature_masks": (0, 0, INF),
    "data.mfcc_feature_mask_width": (16, 1, INF),
    "train.epochs": (100, 1, INF), "train.batch_size": (64, 1, INF), "train.lr": (1e-4, 0.0, INF),
    "train.warmup": (0, 0, INF), "train.lr_factor": (0.5, 0.0, 1.0), "train.lr_patience": (10, 1, INF),
    "train.weight_decay": (0.0, 0.0, INF), "train.clip_norm": (0.0, 0.0, INF), "train.accumulate": (1, 1, INF),
    "train.ema": (0.0, 0.0, 1.0), "train.label_noise": (0.0, 0.0, INF), "train.early_stop": (0, 0, INF),
    "runtime.seed": (0, 0, INF), "runtime.threads": (0, 0, INF)}
WORDS = {  # the first is the default
    "preprocess.audio.cover": ("centred", "all"),
    "preprocess.storage": ("jpeg", "raw"), "preprocess.face.mode": ("track", "every-frame"),
    "data.fold_as": ("test", "val"), "model.temporal": ("temma", "plain"), "train.schedule": ("plateau", "cosine"),
    "runtime.device": ("auto", "CPU", "GPU", "Ascend"),
    "runtime.mode": ("graph", "pynative"), "runtime.amp_level": ("O0", "O2", "O3"),
    "runtime.loss_scale": ("none", "fixed", "dynamic"), "runtime.all_reduce": ("graph", "eager")}
OTHERS = {
    "preprocess.face.detector": "auto", "preprocess.face.align": False, "preprocess.face.follow": "longest",
    "preprocess.augment.speeds": [], "preprocess.augment.splits": ["train"], "data.copies": True,
    "model.name": "eri_dual_branch",
    "model.emotions": list(EMOTIONS), "model.stem_checkpoint": None, "model.freeze_stem": False,
    "model.recompute_stem": False, "model.normalise_by_person": False,
    "model.tcn_dilations": [1, 2, 4, 8, 16], "model.features": [],
    "model.feature_widths": [], "model.p_alone": [], "model.takes": [], "data.records": None, "data.group": None,
    "data.fold_of": ["train", "val"], "train.loss": "mse", "train.visual_run": None, "train.acoustic_run": None,
    "train.features_runs": [], "train.end_to_end": False, "train.cache_stem": False, "runtime.deterministic": False}


def flat(tree, where=""):
    for key, value in tree.items():
        yield from flat(value, f"{where}{key}.") if isinstance(value, dict) else [(where + key, value)]


def section(key, value):
    """The section of the configuration that `key` names, alone, with that value."""
    first, *parts = key.split(".")
    tree = value
    for part in reversed(parts):
        tree = {part: tree}
    kind = {f.name: f.default_factory for f in dataclasses.fields(Config)}[first]
    return dict(flat(to_dict(from_dict(kind, tree, first)), first + "."))[key]


def test_every_default():
    expected = {**{key: value[0] for key, value in (*NUMBERS.items(), *WORDS.items())}, **OTHERS}
    assert dict(flat(to_dict(Config()))) == expected
    for name, value in flat(to_dict(Config())):
        assert type(value) is type(expected[name]), name


@pytest.mark.parametrize("key", NUMBERS)
def test_limits_of_every_number(key):
    default, low, high = NUMBERS[key]
    step = 1 if isinstance(default, int) else 1e-6
    assert section(key, low) == low
    with pytest.raises(ConfigError, match=f"^{key}: .* is outside"):
        section(key, low - step)
    if high < INF:
        assert section(key, high) == high
        with pytest.raises(ConfigError, match=f"^{key}: .* is outside"):
            section(key, high + step)
    else:
        assert section(key, 10**9) == 10**9


@pytest.mark.parametrize("key", WORDS)
def test_words_of_every_choice(key):
    assert [section(key, word) for word in WORDS[key]] == list(WORDS[key])
    with pytest.raises(ConfigError, match=f"{key}: 'other' is not one of {', '.join(WORDS[key])}$"):
        section(key, "other")


@pytest.mark.parametrize("key, good, bad", [
    ("preprocess.augment.speeds", [0.25, 4.0], 4.01), ("preprocess.augment.speeds", [0.9], 0.24),
    ("model.feature_widths", [1, 10**6], 0), ("model.p_alone", [0.0, 1.0], 1.01), ("model.p_alone", [0.3], -0.01)])
def test_limits_of_what_lists_hold(key, good, bad):
    assert section(key, good) == good and section(key, []) == []
    with pytest.raises(ConfigError, match=rf"{key}\[1\]: {bad} is outside"):
        section(key, [good[0], bad])


def test_lists_that_may_not_be_empty():
    for key in ("model.emotions", "model.tcn_dilations", "data.fold_of"):
        with pytest.raises(ConfigError, match=f"{key}: expected a list of at least one value"):
            section(key, [])
    assert section("model.features", ["fau"]) == ["fau"] and section("train.features_runs", []) == []


def test_what_the_temporal_part_takes():
    """Reference 3's values in its module, those of the whole network in the plain one; its own where they are given."""
    whole = {"ffn_ratio": 3.0, "dropout": 0.4}
    assert ModelConfig().temporal_settings == ModelConfig(**whole).temporal_settings == (2.0, 0.2)
    assert ModelConfig(temporal="plain", **whole).temporal_settings == (3.0, 0.4)
    for temporal in ("temma", "plain"):
        own = ModelConfig(temporal=temporal, temporal_ffn_ratio=0.5, temporal_dropout=0.0, **whole)
        assert own.temporal_settings == (0.5, 0.0)


def test_what_version_0_1_wrote_means_the_plain_module(tmp_path):
    """A resolved recipe, a checkpoint's note and an exported file's description; a recipe by hand means today's."""
    old = to_dict(Config())
    for name in ("temporal", "temporal_ffn_ratio", "temporal_dropout"):
        old["model"].pop(name)
    save = tmp_path / "config.yaml"
    save.write_text(yaml.safe_dump(old), encoding="utf-8")
    assert load_config(save).model == model_of_file(old["model"]) == ModelConfig(temporal="plain")
    assert load_config(save, ["model.temporal=temma"]).model == ModelConfig()
    assert model_of_file(to_dict(ModelConfig())) == ModelConfig()
    save.write_text("model: {tcn_dilations: [1, 2], ffn_ratio: 2, p_alone: []}", encoding="utf-8")
    assert load_config(save).model.temporal == "temma"
    with pytest.raises(ConfigError, match="model: expected a mapping"):
        model_of_file(["plain"])


def test_what_a_configuration_tells_of_itself():
    assert load_config(None, ["preprocess.audio.coefficients=20", "preprocess.audio.stack=3",
                              "model.mfcc_features=60"]).preprocess.audio.features == 60
    model = ModelConfig("eri_multi_branch", features=("fau", "egemaps"))
    assert model.modalities == ("visual", "acoustic", "fau", "egemaps")
    assert model.inputs == ("frames", "mfcc", "fau", "egemaps", "present")
    assert ModelConfig().inputs == ("frames", "mfcc", "present")
    assert dataclasses.replace(model, name="eri_visual").inputs == ("frames",)
    assert dataclasses.replace(model, name="eri_acoustic").inputs == ("mfcc",)
    assert dataclasses.replace(model, name="eri_features").inputs == ("fau", "egemaps")


@pytest.mark.parametrize("overrides, message", [
    (["model.frames=8"], "model.frames is 8 but preprocess.frames is 32: the network takes what preprocessing makes; "
                         "leave the model's out, or set both alike"),
    (["preprocess.face.size=64", "model.crop_size=112"], "model.crop_size is 112 but preprocess.face.size is 64: "),
    (["preprocess.audio.stack=4", "model.mfcc_features=1024"],
     "model.mfcc_features is 1024 but preprocess.audio.features is 512: "),
    (["data.folds=1"], "data.fold is 0 and data.folds 1: folds are at least 2, counted from 0"),
    (["data.folds=5", "data.fold=5"], "data.fold is 5 and data.folds 5: "),
    (["data.fold=1"], "data.fold is 1 and data.folds 0: ")])
def test_settings_that_contradict_each_other(overrides, message):
    with pytest.raises(ConfigError) as caught:
        load_config(None, overrides)
    assert str(caught.value).startswith(message)


def test_settings_that_go_together():
    config = load_config(None, ["data.folds=2", "data.fold=1", "model.frames=8", "preprocess.frames=8",
                                "preprocess.face.size=64", "model.crop_size=64"])
    assert (config.data.folds, config.data.fold, config.model.frames, config.model.crop_size) == (2, 1, 8, 64)
    assert load_config(None, ["data.folds=5", "data.fold=4"]).data.fold == 4
    assert config.preprocess.face == FaceConfig(size=64)
