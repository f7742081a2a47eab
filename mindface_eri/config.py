"""The configuration: frozen dataclasses, read from YAML with inheritance and command-line overrides.

A recipe may name one or several `base:` files (relative to itself) whose keys it overrides. Unknown keys and values
of the wrong type or range are refused with a `ConfigError` that names the key, the value and the nearest known key.
Defaults are the paper's where the paper speaks; `# not in the paper` marks our own choices.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple

import yaml

from mindface_eri.constants import EMOTIONS, MODALITIES
from mindface_eri.errors import ConfigError
from mindface_eri.files import write_text


def _one_of(default: str, *others: str) -> Any:
    return field(default=default, metadata={"choices": (default, *others)})


def _number(default: Any, low: float, high: float = float("inf")) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


def _list(**limits: float) -> Any:
    """A list that may be empty, as it is by default."""
    return field(default=(), metadata={"empty": True, **limits})


@dataclass(frozen=True)
class FaceConfig:
    """How faces are found, followed and cropped (paper section 4.2, "data preprocessing")."""

    detector: str = "auto"  # dlib, mtcnn or a registered one; auto: dlib, and MTCNN where dlib finds no face in a clip
    mode: str = _one_of("track", "every-frame")  # every-frame is the paper's letter; track is many times faster
    follow: str = _one_of("largest", "center", "longest")  # which person, where there are several; not in the paper
    size: int = _number(112, 32, 448)  # side of the square crop, pixels
    margin: float = _number(0.20, 0.0, 2.0)  # added to the landmarks' extent on each side; not in the paper
    align: bool = False  # rotate the crop so that the eyes are level; not in the paper
    gap_window: int = _number(12, 0)  # frames: gaps up to this long are interpolated
    hold_window: int = _number(30, 0)  # frames: beyond the gap window the nearest geometry is held; not in the paper
    min_share: float = _number(0.05, 0.0, 1.0)  # a face in less of the clip than this is no face; not in the paper
    smoothing: float = _number(1.5, 0.0)  # standard deviation of the Gaussian over time, frames; not in the paper
    redetect_every: int = _number(30, 1)  # frames between detections in track mode; not in the paper
    track_stride: int = _number(0, 0)  # frames between examined frames in track mode, 0: 10 a second; not in the paper
    detect_height: int = _number(240, 60)  # frames are reduced to this height to look for faces; not in the paper


@dataclass(frozen=True)
class AudioConfig:
    """How sound becomes MFCC stacks (paper section 4.2)."""

    sample_rate: int = _number(16000, 4000, 192000)  # not in the paper
    coefficients: int = _number(128, 1, 512)
    stack: int = _number(8, 1)  # adjacent MFCC frames joined into one feature vector
    n_fft: int = _number(2048, 64)  # librosa's default; not in the paper
    hop_length: int = _number(512, 16)  # librosa's default; not in the paper
    silence: float = _number(1e-4, 0.0)  # a peak below this share of full scale counts as no sound; not in the paper

    @property
    def features(self) -> int:
        """Width of one MFCC stack: 128 x 8 = 1024 in the paper."""
        return self.coefficients * self.stack


@dataclass(frozen=True)
class PreprocessConfig:
    """From a clip file to crops and MFCC stacks."""

    frames: int = _number(32, 1, 4096)  # sampled linearly over the clip
    face: FaceConfig = field(default_factory=FaceConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    storage: str = _one_of("jpeg", "raw")  # how crops lie in the records; not in the paper
    jpeg_quality: int = _number(95, 1, 100)  # not in the paper


@dataclass(frozen=True)
class ModelConfig:
    """The network (paper section 3). `create_model(name, **fields)` takes these fields."""

    name: str = "eri_dual_branch"
    emotions: Tuple[str, ...] = EMOTIONS
    frames: int = _number(32, 1, 4096)
    crop_size: int = _number(112, 32, 448)
    mfcc_features: int = _number(1024, 1)
    stem_width: int = _number(64, 4)  # ResNet-18's first width; its third stage has four times as many channels
    stem_checkpoint: Optional[str] = None  # made by `mindface-eri convert-weights`
    freeze_stem: bool = False
    recompute_stem: bool = False  # trade time for memory in training; not in the paper
    spatial_depth: int = _number(4, 1)
    spatial_heads: int = _number(4, 1)
    width: int = _number(128, 4)  # d of the temporal part
    tcn_kernel: int = _number(3, 1)
    tcn_dilations: Tuple[int, ...] = (1, 2, 4, 8, 16)  # not in the paper
    temporal_depth: int = _number(4, 1)  # not in the paper
    temporal_heads: int = _number(4, 1)  # not in the paper
    ffn_ratio: float = _number(4.0, 0.25)  # width of the feed-forward layers over d; not in the paper
    dropout: float = _number(0.1, 0.0, 0.95)  # not in the paper
    p_both: float = _number(0.9, 0.0, 1.0)  # p_m of eq. 7; of more than two branches, that all are kept
    p_visual: float = _number(0.5, 0.0, 1.0)  # p_v of eq. 7
    features: Tuple[str, ...] = _list()  # feature sets of the records, each a branch; not in the paper
    feature_widths: Tuple[int, ...] = _list(low=1, high=float("inf"))  # training takes them from the records
    # More than two branches: the chance of each of `modalities` to be the one left; (): p_visual and the others alike.
    p_alone: Tuple[float, ...] = _list(low=0.0, high=1.0)  # not in the paper

    @property
    def modalities(self) -> Tuple[str, ...]:
        """What the columns of `present` stand for."""
        return (*MODALITIES, *self.features)

    @property
    def inputs(self) -> Tuple[str, ...]:
        """Names of the network's inputs, which are columns of `create_dataset`, in the order of its call."""
        single = {"eri_visual": ("frames",), "eri_acoustic": ("mfcc",), "eri_features": self.features}
        return single.get(self.name, ("frames", "mfcc", *self.features, "present"))


@dataclass(frozen=True)
class DataConfig:
    """Where the records lie and how MindData reads them."""

    records: Optional[str] = None  # folder written by `mindface-eri preprocess`
    workers: int = _number(2, 1)
    prefetch: int = _number(4, 1)
    folds: int = _number(0, 0)  # parts into which labelled clips are cut anew, 0: the table's own splits
    fold: int = _number(0, 0)  # the part that is held out, from 0
    group: Optional[str] = None  # column, such as Subject, whose values never straddle two parts
    fold_as: str = _one_of("test", "val")  # test: validation clips are cut from the rest; val: as in table 3
    fold_of: Tuple[str, ...] = ("train", "val")  # splits that are pooled
    fold_val: float = _number(0.15, 0.0, 0.9)  # share of the rest for validation where the part is the test split
    fold_seed: int = _number(0, 0)  # of the cut, so that trainings with several seeds share it
    flip: float = _number(0.0, 0.0, 1.0)  # probability to mirror all frames of a clip; not in the paper
    colour: float = _number(0.0, 0.0, 1.0)  # strength of brightness and contrast jitter; not in the paper
    time_jitter: float = _number(0.0, 0.0, 0.5)  # how far an instant may move, share of the clip; not in the paper
    mfcc_time_masks: int = _number(0, 0)  # SpecAugment-like masks; not in the paper
    mfcc_time_mask_width: int = _number(4, 1)  # stacks
    mfcc_feature_masks: int = _number(0, 0)
    mfcc_feature_mask_width: int = _number(16, 1)  # coefficients


@dataclass(frozen=True)
class TrainConfig:
    """The recipe (paper section 4.3)."""

    epochs: int = _number(100, 1)  # not in the paper
    batch_size: int = _number(64, 1)
    lr: float = _number(1e-4, 0.0)
    schedule: str = _one_of("plateau", "cosine")  # what becomes of lr; the paper's is plateau
    warmup: int = _number(0, 0)  # cosine: epochs over which lr rises; not in the paper
    lr_factor: float = _number(0.5, 0.0, 1.0)
    lr_patience: int = _number(10, 1)  # epochs without a better validation metric before lr is multiplied by lr_factor
    weight_decay: float = _number(0.0, 0.0)  # not in the paper
    clip_norm: float = _number(0.0, 0.0)  # 0: no clipping; not in the paper
    accumulate: int = _number(1, 1)  # batches whose gradients make one update; not in the paper
    ema: float = _number(0.0, 0.0, 1.0)  # decay of the averaged weights, 0: none; not in the paper
    label_noise: float = _number(0.0, 0.0)  # deviation of noise added to labels; not in the paper
    early_stop: int = _number(0, 0)  # epochs without a better metric before stopping, 0: never; not in the paper
    loss: str = "mse"  # mse, pearson, ccc or a registered one
    visual_run: Optional[str] = None  # fusion: run folder or checkpoint of the trained visual branch
    acoustic_run: Optional[str] = None  # fusion: likewise of the acoustic branch
    features_runs: Tuple[str, ...] = _list()  # fusion: likewise of a branch for each of model.features, in any order
    end_to_end: bool = False  # fusion: train the branches too; the paper freezes them


@dataclass(frozen=True)
class RuntimeConfig:
    """Device, mode, precision and seed; only `runner/context.py` acts on them."""

    device: str = _one_of("auto", "CPU", "GPU", "Ascend")
    mode: str = _one_of("graph", "pynative")
    amp_level: str = _one_of("O0", "O2", "O3")
    loss_scale: str = _one_of("none", "fixed", "dynamic")
    seed: int = _number(0, 0)
    threads: int = _number(0, 0)  # 0: as many as there are cores


@dataclass(frozen=True)
class Config:
    """All of a recipe."""

    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        for ours, theirs in (("model.frames", "preprocess.frames"), ("model.crop_size", "preprocess.face.size"),
                             ("model.mfcc_features", "preprocess.audio.features")):
            left, right = _lookup(self, ours), _lookup(self, theirs)
            if left != right:
                raise ConfigError(f"{ours} is {left} but {theirs} is {right}: the network takes what preprocessing "
                                  "makes; set both alike")
        folds, fold = self.data.folds, self.data.fold
        if folds == 1 or fold >= max(folds, 1):
            raise ConfigError(f"data.fold is {fold} and data.folds {folds}: folds are at least 2, counted from 0 (and "
                              "data.folds 0 keeps the table's own splits)")


def load_config(path: Optional[os.PathLike] = None, overrides: Sequence[str] = (),
                values: Optional[Mapping[str, Any]] = None) -> Config:
    """Reads a recipe.

    Args:
        path: YAML file; None gives the paper's defaults.
        overrides: `section.key=value` strings, each value in YAML.
        values: dotted keys and their values as they are (a path stays a path), applied last.

    Raises:
        ConfigError: a file is missing or not YAML, a key is unknown, or a value has the wrong type or range.
    """
    tree: dict = _read_tree(Path(path)) if path is not None else {}
    for key, value in (*map(_parse_override, overrides), *(values or {}).items()):
        for part in reversed(key.split(".")):
            value = {part: value}
        tree = _merge(tree, value)
    return from_dict(Config, tree)


def save_config(config: Config, path: os.PathLike) -> None:
    """Writes the resolved configuration; `load_config` reads it back equal."""
    write_text(path, yaml.safe_dump(to_dict(config), sort_keys=False))


def to_dict(config: Any) -> dict:
    """A dataclass as plain dicts, lists and scalars, ready for YAML or JSON."""
    return {key: list(value) if isinstance(value, tuple) else to_dict(value) if dataclasses.is_dataclass(value)
            else value for key, value in ((f.name, getattr(config, f.name)) for f in dataclasses.fields(config))}


def from_dict(cls: type, tree: Mapping, where: str = "") -> Any:
    """Builds the dataclass `cls` from nested mappings; the reverse of `to_dict`."""
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where or 'the recipe'}: expected a mapping of keys, got {tree!r}")
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}
    values = {}
    for key, value in tree.items():
        name = f"{where}.{key}" if where else str(key)
        if key not in known:
            raise ConfigError(f"unknown key {name!r}{_suggest(str(key), known)}")
        values[key] = _coerce(value, hints[key], known[key].metadata, name)
    return cls(**values)


def _parse_override(text: str) -> Tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--set {text!r}: expected key=value, such as train.lr=3e-4")
    try:
        return key.strip(), yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"--set {text!r}: {value!r} is not a YAML value") from None


def _coerce(value: Any, hint: Any, metadata: Mapping, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value or {}, name)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:  # Optional[X]
        return None if value is None else _coerce(value, arguments[0], metadata, name)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence) or not (value or metadata.get("empty")):
            raise ConfigError(f"{name}: expected a list of at least one value, got {value!r}")
        return tuple(_coerce(item, arguments[0], metadata, f"{name}[{i}]") for i, item in enumerate(value))
    value = _scalar(value, hint, name)
    choices = metadata.get("choices")
    if choices and value not in choices:
        raise ConfigError(f"{name}: {value!r} is not one of {', '.join(choices)}")
    if "low" in metadata and (not metadata["low"] <= value <= metadata["high"] or math.isinf(value)):
        raise ConfigError(f"{name}: {value!r} is outside [{metadata['low']}, {metadata['high']}]")
    return value


def _scalar(value: Any, kind: type, name: str) -> Any:
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    if kind in (int, float) and not isinstance(value, bool):
        try:  # PyYAML reads 1e-4 as a string
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is not None and (kind is float or number.is_integer()):
            return value if isinstance(value, kind) else kind(number)
    raise ConfigError(f"{name}: expected {kind.__name__}, got {value!r}")


def _suggest(key: str, known: Mapping) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"


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
    if path.resolve() in seen:
        raise ConfigError(f"{path}: inherits from itself through 'base:'")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
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
        merged = _merge(merged, _read_tree(path.parent / base, (*seen, path.resolve())))
    return _merge(merged, tree)
