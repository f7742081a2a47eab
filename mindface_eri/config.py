# SPDX-License-Identifier: Apache-2.0
"""The configuration: frozen dataclasses, read from YAML with inheritance and command-line overrides.

A recipe may name one or several `base:` files (beside itself, or recipes of the package) whose keys it overrides.
Unknown keys and values of the wrong type or range are refused with a `ConfigError` that names the key, the value and
the nearest known key.
Defaults are the paper's where the paper speaks; `# not in the paper` marks our own choices.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mindface_eri.constants import EMOTIONS, MODALITIES, SPLITS
from mindface_eri.errors import ConfigError
from mindface_eri.fields import from_dict, listed, number, one_of, to_dict
from mindface_eri.files import write_text
from mindface_eri.plugins import import_plugins, unknown
from mindface_eri.recipes import find_recipe, hint


@dataclass(frozen=True)
class FaceConfig:
    """How faces are found, followed and cropped (paper section 3.1)."""

    RETIRED = ("hold_window",)  # read and passed over: recipes and runs of version 0.1

    detector: str = "auto"  # dlib, mtcnn or a registered one; auto: dlib, and MTCNN where dlib finds no face in a clip
    mode: str = one_of("track", "every-frame")  # every-frame is the paper's letter; track is many times faster
    follow: str = "longest"  # seen, or largest, first, center; or the photograph of a person; not in the paper
    size: int = number(112, 32, 448)  # side of the square crop, pixels
    margin: float = number(0.20, 0.0, 2.0)  # added to the landmarks' extent on each side; not in the paper
    align: bool = False  # rotate the crop so that the eyes are level; not in the paper
    gap_window: int = number(12, 0)  # frames: gaps up to this long are interpolated
    min_share: float = number(0.05, 0.0, 1.0)  # a face in less of the clip than this is no face; not in the paper
    smoothing: float = number(1.5, 0.0)  # standard deviation of the Gaussian over time, frames; not in the paper
    redetect_every: int = number(30, 1)  # frames between detections in track mode; not in the paper
    track_stride: int = number(0, 0)  # frames between examined frames in track mode, 0: 10 a second; not in the paper
    detect_height: int = number(240, 60)  # frames are reduced to this height to look for faces; not in the paper


@dataclass(frozen=True)
class AudioConfig:
    """How sound becomes MFCC stacks (paper section 3.3)."""

    sample_rate: int = number(16000, 4000, 192000)  # not in the paper
    coefficients: int = number(128, 1, 512)
    stack: int = number(8, 1)  # adjacent MFCC frames joined into one feature vector
    n_fft: int = number(2048, 64)  # librosa's default; not in the paper
    hop_length: int = number(512, 16)  # librosa's default; not in the paper
    # all: the hop is each clip's own, so that its stacks leave out no sound; centred: stacks of the hop above
    cover: str = one_of("centred", "all")  # not in the paper
    silence: float = number(1e-4, 0.0)  # a peak below this share of full scale counts as no sound; not in the paper

    @property
    def features(self) -> int:
        """Width of one MFCC stack: 128 x 8 = 1024 in the paper."""
        return self.coefficients * self.stack


@dataclass(frozen=True)
class AugmentConfig:
    """Copies of clips' sound that training sees besides the clips, and nothing else does; not in the paper."""

    speeds: Tuple[float, ...] = listed(low=0.25, high=4.0)  # a copy for each, played as a tape: 2 is an octave higher
    noise: float = number(0.0, 0.0, 100.0)  # white noise in each copy, share of the sound's root mean square
    splits: Tuple[str, ...] = ("train",)  # whose clips get copies; folds train on clips of every split that they pool

    def __post_init__(self) -> None:
        if len(set(self.speeds)) < len(self.speeds) or 1.0 in self.speeds and not self.noise:
            raise ConfigError(f"preprocess.augment.speeds {list(self.speeds)}: each copy needs a speed of its own, and "
                              "at speed 1 some preprocess.augment.noise, else it is the clip itself")
        if not set(self.splits) <= set(SPLITS):
            raise ConfigError(f"preprocess.augment.splits {list(self.splits)}: expected some of {', '.join(SPLITS)}")


@dataclass(frozen=True)
class PreprocessConfig:
    """From a clip file to crops and MFCC stacks."""

    frames: int = number(32, 1, 4096)  # sampled linearly over the clip
    face: FaceConfig = field(default_factory=FaceConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    storage: str = one_of("jpeg", "raw")  # how crops lie in the records; not in the paper
    jpeg_quality: int = number(95, 1, 100)  # not in the paper


# What each network takes, in the order of its call; "features" stands for all of model.features. They lie here so that
# a configuration knows them where MindSpore is not installed; `models.register_model` adds those of other networks.
NETWORK_INPUTS: Dict[str, Tuple[str, ...]] = {
    "eri_visual": ("frames",), "eri_acoustic": ("mfcc",), "eri_features": ("features",),
    "eri_dual_branch": ("frames", "mfcc", "present"),
    "eri_multi_branch": ("frames", "mfcc", "landmarks", "features", "present"),
    "eri_statistics": ("mfcc", "landmarks", "features", "present")}
# Of networks that take what `model.takes` says, what they take where it says nothing.
USUAL_INPUTS = {"eri_statistics": ("mfcc", "landmarks"), "eri_multi_branch": ("frames", "mfcc")}
# The modality that an input belongs to: without a face there are neither crops nor landmarks. A feature set is its own.
MODALITY_OF = {"frames": "visual", "landmarks": "visual", "mfcc": "acoustic", "person": "acoustic"}


@dataclass(frozen=True)
class ModelConfig:
    """The network (paper section 3). `create_model(name, **fields)` takes these fields."""

    name: str = "eri_dual_branch"
    emotions: Tuple[str, ...] = EMOTIONS
    frames: int = number(32, 1, 4096)
    crop_size: int = number(112, 32, 448)
    mfcc_features: int = number(1024, 1)
    mfcc_stack: int = number(8, 1)  # MFCC frames in those features, one after another; eri_statistics tells them apart
    stem_width: int = number(64, 4)  # ResNet-18's first width; its third stage has four times as many channels
    stem_checkpoint: Optional[str] = None  # made by `mindface-eri convert-weights`
    freeze_stem: bool = False
    recompute_stem: bool = False  # trade time for memory in training; not in the paper
    spatial_depth: int = number(4, 1)
    spatial_heads: int = number(4, 1)
    width: int = number(128, 4)  # d of the temporal part
    tcn_kernel: int = number(3, 1)
    tcn_dilations: Tuple[int, ...] = (1, 2, 4, 8, 16)  # of the paper's reference 3
    temporal: str = one_of("temma", "plain")  # the module that the paper adopts from its reference 3, or version 0.1's
    temporal_depth: int = number(4, 1)  # of reference 3
    temporal_heads: int = number(4, 1)  # of reference 3
    temporal_ffn_ratio: Optional[float] = number(None, 0.25)  # None: 2.0 of reference 3, or for plain ffn_ratio
    temporal_dropout: Optional[float] = number(None, 0.0, 0.95)  # None: 0.2 of reference 3, or for plain dropout
    ffn_ratio: float = number(4.0, 0.25)  # width of the feed-forward layers over d; not in the paper
    dropout: float = number(0.1, 0.0, 0.95)  # not in the paper
    hidden_dropout: float = number(0.5, 0.0, 0.95)  # eri_statistics: of its hidden layer; not in the paper
    # eri_statistics and eri_multi_branch: which of frames, mfcc and landmarks they take, (): USUAL_INPUTS; beside them
    # all of `features`.
    takes: Tuple[str, ...] = listed()  # not in the paper
    # eri_statistics: those of sound count by how they differ from the other clips of their person. It needs many clips
    # of each person, at prediction too, that hold a like mixture of reactions.
    normalise_by_person: bool = False  # not in the paper
    p_both: float = number(0.9, 0.0, 1.0)  # p_m of eq. 7; of more than two branches, that all are kept
    p_visual: float = number(0.5, 0.0, 1.0)  # p_v of eq. 7
    features: Tuple[str, ...] = listed()  # feature sets of the records, each a branch; not in the paper
    feature_widths: Tuple[int, ...] = listed(low=1, high=float("inf"))  # training takes them from the records
    # More than two branches: the chance of each of `modalities` to be the one left; (): p_visual and the others alike.
    p_alone: Tuple[float, ...] = listed(low=0.0, high=1.0)  # not in the paper

    @property
    def temporal_settings(self) -> Tuple[float, float]:
        """Of the temporal part: width of the feed-forward layers over d, and dropout."""
        ratio, dropout = (2.0, 0.2) if self.temporal == "temma" else (self.ffn_ratio, self.dropout)
        return (ratio if self.temporal_ffn_ratio is None else self.temporal_ffn_ratio,
                dropout if self.temporal_dropout is None else self.temporal_dropout)

    @property
    def modalities(self) -> Tuple[str, ...]:
        """What the columns of `present` stand for."""
        return (*MODALITIES, *self.features)

    @property
    def inputs(self) -> Tuple[str, ...]:
        """Names of the network's inputs, which are columns of `create_dataset`, in the order of its call.

        Raises:
            ConfigError: no network has this name, even among the plugins.
        """
        streams = self.streams
        if self.name not in USUAL_INPUTS:
            return streams
        person = ["person"] if self.normalise_by_person else []
        return (*streams, *person, *(["present"] if len(streams) > 1 else []))

    @property
    def streams(self) -> Tuple[str, ...]:
        """Those of the inputs that go over time; of networks that do not know `model.takes`, all."""
        found: List[str] = []
        for name in inputs_of(self.name):
            found += self.features if name == "features" else (name,)
        if self.name not in USUAL_INPUTS:
            return tuple(found)
        taken = (*(self.takes or USUAL_INPUTS[self.name]), *self.features)
        return tuple(name for name in found if name in taken)

    def column_of(self, name: str) -> int:
        """Which column of `present` speaks of an input."""
        return self.modalities.index(MODALITY_OF.get(name, name))


def inputs_of(name: str) -> Tuple[str, ...]:
    """What the network of this name takes, "features" for all the feature sets together.

    Raises:
        ConfigError: there is none, even among the plugins.
    """
    if name not in NETWORK_INPUTS:
        import_plugins()
    if name not in NETWORK_INPUTS:
        raise unknown("model", name, NETWORK_INPUTS)
    return NETWORK_INPUTS[name]


def model_of_file(tree: Any) -> ModelConfig:
    """The network that a checkpoint's note or an exported file's description tells, of whichever version.

    Raises:
        ConfigError: it cannot be used.
    """
    return from_dict(ModelConfig, named_temporal(tree) if isinstance(tree, Mapping) else tree, "model")


def named_temporal(model: Mapping) -> Mapping:
    """Version 0.1 had one temporal module, and wrote no name for it."""
    return {"temporal": "plain", **model}


@dataclass(frozen=True)
class DataConfig:
    """Where the records lie and how MindData reads them."""

    records: Optional[str] = None  # folder written by `mindface-eri preprocess`
    workers: int = number(2, 1)
    prefetch: int = number(4, 1)
    folds: int = number(0, 0)  # parts into which labelled clips are cut anew, 0: the table's own splits
    fold: int = number(0, 0)  # the part that is held out, from 0
    group: Optional[str] = None  # column, such as Subject, whose values never straddle two parts, or none
    fold_as: str = one_of("test", "val")  # test: validation clips are cut from the rest; val: as in table 3
    fold_of: Tuple[str, ...] = ("train", "val")  # splits that are pooled
    fold_val: float = number(0.15, 0.0, 0.9)  # share of the rest for validation where the part is the test split
    fold_seed: int = number(0, 0)  # of the cut, so that trainings with several seeds share it
    flip: float = number(0.0, 0.0, 1.0)  # probability to mirror all frames and landmarks of a clip; not in the paper
    turn: float = number(0.0, 0.0, 180.0)  # most degrees by which all frames of a clip are turned; not in the paper
    scale: float = number(0.0, 0.0, 0.9)  # most by which they are made larger or smaller, share; not in the paper
    erase: float = number(0.0, 0.0, 1.0)  # probability to erase a rectangle of all frames of a clip; not in the paper
    colour: float = number(0.0, 0.0, 1.0)  # strength of brightness and contrast jitter; not in the paper
    time_jitter: float = number(0.0, 0.0, 0.5)  # how far an instant may move, share of the clip; not in the paper
    copies: bool = True  # whether training also sees the copies of sound that the records hold; not in the paper
    mfcc_time_masks: int = number(0, 0)  # SpecAugment-like masks; not in the paper
    mfcc_time_mask_width: int = number(4, 1)  # stacks
    mfcc_feature_masks: int = number(0, 0)
    mfcc_feature_mask_width: int = number(16, 1)  # coefficients


@dataclass(frozen=True)
class TrainConfig:
    """The recipe (paper section 4.2)."""

    epochs: int = number(100, 1)  # not in the paper
    batch_size: int = number(64, 1)
    lr: float = number(1e-4, 0.0)
    schedule: str = one_of("plateau", "cosine")  # what becomes of lr; the paper's is plateau
    warmup: int = number(0, 0)  # cosine: epochs over which lr rises; not in the paper
    lr_factor: float = number(0.5, 0.0, 1.0)
    lr_patience: int = number(10, 1)  # epochs without a better validation metric before lr is multiplied by lr_factor
    weight_decay: float = number(0.0, 0.0)  # not in the paper
    clip_norm: float = number(0.0, 0.0)  # 0: no clipping; not in the paper
    accumulate: int = number(1, 1)  # batches whose gradients make one update; not in the paper
    ema: float = number(0.0, 0.0, 1.0)  # decay of the averaged weights, 0: none; not in the paper
    label_noise: float = number(0.0, 0.0)  # deviation of noise added to labels; not in the paper
    early_stop: int = number(0, 0)  # epochs without a better metric before stopping, 0: never; not in the paper
    loss: str = "mse"  # mse, pearson, ccc or a registered one
    visual_run: Optional[str] = None  # fusion: run folder or checkpoint of the trained visual branch
    acoustic_run: Optional[str] = None  # fusion: likewise of the acoustic branch
    features_runs: Tuple[str, ...] = listed()  # fusion: likewise of a branch for each of model.features, in any order
    cache_stem: bool = False  # eri_visual: keep what a frozen stem makes of each frame; not in the paper
    end_to_end: bool = False  # fusion: train the branches too; the paper freezes them


@dataclass(frozen=True)
class RuntimeConfig:
    """Device, mode, precision and seed; only `device/context.py` acts on them."""

    device: str = one_of("auto", "CPU", "GPU", "Ascend")
    mode: str = one_of("graph", "pynative")
    amp_level: str = one_of("O0", "O2", "O3")
    loss_scale: str = one_of("none", "fixed", "dynamic")
    all_reduce: str = one_of("graph", "eager")  # where processes average gradients: in the compiled step, or outside it
    deterministic: bool = False  # the same seed, the same weights, as far as the device can; slower
    seed: int = number(0, 0)
    threads: int = number(0, 0)  # 0: as many as there are cores


# Options of the model that only a resolved recipe names all.
_RESOLVED = ("name", "emotions", "stem_checkpoint", "recompute_stem", "tcn_kernel", "ffn_ratio", "p_both",
             "feature_widths", "p_alone")
# Sizes of the network, and where preprocessing makes them.
_SIZES = {"frames": "frames", "crop_size": "face.size", "mfcc_features": "audio.features",
          "mfcc_stack": "audio.stack"}


@dataclass(frozen=True)
class Config:
    """All of a recipe."""

    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        for ours, theirs in _SIZES.items():
            left, right = getattr(self.model, ours), _lookup(self.preprocess, theirs)
            if left != right and (ours != "mfcc_stack" or self.model.name == "eri_statistics"):  # others need not know
                raise ConfigError(f"model.{ours} is {left} but preprocess.{theirs} is {right}: the network takes what "
                                  "preprocessing makes; leave the model's out, or set both alike")
        folds, fold = self.data.folds, self.data.fold
        if folds == 1 or fold >= max(folds, 1):
            raise ConfigError(f"data.fold is {fold} and data.folds {folds}: folds are at least 2, counted from 0 (and "
                              "data.folds 0 keeps the table's own splits)")


def load_config(path: Optional[Union[str, os.PathLike]] = None, overrides: Sequence[str] = (),
                values: Optional[Mapping[str, Any]] = None) -> Config:
    """Reads a recipe.

    Args:
        path: YAML file, or the name of a recipe that comes with the package; None gives the paper's defaults.
        overrides: `section.key=value` strings, each value in YAML.
        values: dotted keys and their values as they are (a path stays a path), applied last.

    Raises:
        ConfigError: a file is missing or not YAML, a key is unknown, or a value has the wrong type or range.
    """
    tree: dict = _read_tree(find_recipe(path)) if path is not None else {}
    for key, value in (*map(override_of, overrides), *(values or {}).items()):
        for part in reversed(key.split(".")):
            value = {part: value}
        tree = _merge(tree, value)
    return from_dict(Config, _with_sizes(_of_version(tree)))


def _of_version(tree: dict) -> dict:
    """A run's config.yaml of version 0.1 means what it meant then: it names every option of the model but this one."""
    model = tree.get("model")
    whole = isinstance(model, Mapping) and all(name in model for name in _RESOLVED)
    return {**tree, "model": named_temporal(model)} if whole else tree


def _with_sizes(tree: dict) -> dict:
    """The network takes what preprocessing makes: its sizes follow, and need not be given twice."""
    if not isinstance(tree.get("preprocess"), Mapping) or not isinstance(tree.get("model", {}), Mapping):
        return tree
    made = from_dict(PreprocessConfig, tree["preprocess"], "preprocess")
    sizes = {name: _lookup(made, source) for name, source in _SIZES.items()}
    return {**tree, "model": {**sizes, **tree.get("model", {})}}


def save_config(config: Config, path: Union[str, os.PathLike]) -> None:
    """Writes the resolved configuration; `load_config` reads it back equal."""
    import yaml  # here and below: whoever reads no recipe, as workers do, does without

    write_text(path, yaml.safe_dump(to_dict(config), sort_keys=False))


def override_of(text: str) -> Tuple[str, Any]:
    """Key and value of `section.key=value`.

    Raises:
        ConfigError: it is of another form, or its value is not YAML.
    """
    import yaml

    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--set {text!r}: expected key=value, such as train.lr=3e-4")
    try:
        return key.strip(), yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"--set {text!r}: {value!r} is not a YAML value") from None


def _lookup(config: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        config = getattr(config, part)
    return config


def _merge(base: Mapping, over: Mapping) -> dict:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _read_tree(path: Path, seen: Tuple[Path, ...] = ()) -> dict:
    """A recipe's keys over those of the recipes that it is based on."""
    import yaml

    if path.resolve() in seen:
        raise ConfigError(f"{path}: inherits from itself through 'base:'")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}){hint(path)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date or number that cannot be
        raise ConfigError(f"{path}: is not YAML ({error})") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a mapping of keys, got {type(tree).__name__}")
    bases = tree.pop("base", [])
    merged: dict = {}
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigError(f"{path}: base: {bases!r} is neither a file's name nor a list of names")
    for base in bases:
        merged = _merge(merged, _read_tree(find_recipe(base, path.parent), (*seen, path.resolve())))
    return _merge(merged, tree)
