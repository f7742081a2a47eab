# SPDX-License-Identifier: Apache-2.0
"""The .json beside exported files: what goes in, what comes out, and where it came from."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Mapping, Optional, Tuple

from mindface_eri.config import (
    AudioConfig,
    FaceConfig,
    ModelConfig,
    PreprocessConfig,
    from_dict,
    model_of_file,
    to_dict,
)
from mindface_eri.deploy.backends import input_shapes
from mindface_eri.deploy.lowered import Lowered, lowered_of
from mindface_eri.deploy.parts import KINDS, find_parts
from mindface_eri.errors import CheckpointError, ConfigError
from mindface_eri.files import file_hash, write_json
from mindface_eri.version import versions

_MEANING = {
    "frames": "face crops, RGB, 0 to 255, channels last; zeros where no face was found",
    "mfcc": "stacked MFCCs as librosa gives them, not normalised; zeros without sound",
    "landmarks": "dlib's 68 points of the face, x and y in pixels of the picture; zeros where no face was found",
    "person": "mean and deviation, over many clips of the person that hold a like mixture of reactions, of the mean, "
              "deviation, deviation of differences and means of the three thirds over time of each MFCC "
              "(mindface_eri.datasets.by_person.person_statistics); zeros without sound",
    "present": "1 where the clip has the modality, 0 where zeros stand for it; order: ",
}
_FEATURES = "per-frame features at the instants of the frames, not normalised; zeros where the clip has none"


@dataclass(frozen=True)
class Sidecar:
    """What a predictor needs to know of an exported file."""

    model: ModelConfig
    preprocess: PreprocessConfig
    batch: Optional[int]  # None: any
    features: Mapping[str, Any] = field(default_factory=dict)  # of each feature set, its columns and alignment
    note: str = ""  # what people should know of what it was trained on
    parts: Tuple[Path, ...] = ()  # the files of its two parts, where they were exported and lie there
    precision: Optional[Lowered] = None  # None: float32


def sidecar_path(file: os.PathLike) -> Path:
    """`eri_visual.onnx` is described by `eri_visual.onnx.json`."""
    return Path(f"{os.fspath(file)}.json")


def write_sidecar(file: Path, model: ModelConfig, preprocess: PreprocessConfig, *, batch: Optional[int],
                  difference: float, tolerance: float, digest: str, checkpoint: Mapping[str, Any],
                  features: Mapping[str, Any] = MappingProxyType({}), parts: Optional[Mapping[str, Any]] = None
                  ) -> Path:
    """Writes the description of an exported file, whose `file_hash` is `digest`; returns its path.

    Args:
        parts: what `describe_parts` says, where the file has such.
    """
    inputs = [{"name": name, "shape": ["batch" if size is None else size for size in shape],
               "dtype": kind.__name__, "meaning": _MEANING.get(name, _FEATURES)}
              for name, (shape, kind) in zip(model.inputs, input_shapes(model, batch))]
    for described in inputs:
        if described["name"] == "present":
            described["meaning"] += ", ".join(model.modalities)
        elif described["name"] in features:
            described["columns"] = features[described["name"]]["columns"]
    content = {
        "inputs": inputs,
        "output": {"name": "intensities", "shape": [batch or "batch", len(model.emotions)], "dtype": "float32",
                   "meaning": "intensities in (0, 1), in the order of `emotions`"},
        "emotions": list(model.emotions), "batch": batch, "model": to_dict(model), "preprocess": to_dict(preprocess),
        "features": dict(features), "checkpoint": checkpoint, "sha256": digest,
        "max_difference": difference if math.isfinite(difference) else None, "tolerance": tolerance,
        "versions": versions(), **({} if parts is None else {"parts": parts}),
    }
    return write_json(sidecar_path(file), content)


def read_sidecar(file: os.PathLike) -> Sidecar:
    """The description that lies beside an exported file.

    Raises:
        CheckpointError: it is missing or damaged, or the exported file is not the one it describes.
    """
    path = sidecar_path(file)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("sha256") not in (None, file_hash(file)):
            raise CheckpointError(f"{file}: is not the file that {path.name} describes, or was damaged since; copy "
                                  "both again, or export again")
        model = model_of_file(content["model"])
        if len(set(model.emotions)) < len(model.emotions):
            raise ValueError(f"model.emotions names one twice: {', '.join(model.emotions)}")
        return Sidecar(model, from_dict(PreprocessConfig, content["preprocess"], "preprocess"),
                       _batch(content["batch"]), dict(content.get("features", {})), _note(content),
                       find_parts(Path(file), content["parts"]) if "parts" in content else (),
                       lowered_of(content.get("precision")))
    except OSError:
        part = Path(file).stem.endswith(tuple(f".{kind}" for kind in KINDS))
        raise CheckpointError(f"{path}: is missing; " + (
            "this looks like one part of an exported network: name the whole file" if part else
            f"keep the .json that the export wrote beside {Path(file).name}")) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise CheckpointError(f"{path}: cannot be used ({error}); export again") from None


def _note(content: Mapping[str, Any]) -> str:
    checkpoint = content.get("checkpoint") or {}
    return str((checkpoint.get("note") or {}).get("about", ""))


def _batch(value: Any) -> Optional[int]:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ValueError(f"batch is {value!r}")
    return value


def infer_preprocess(model: ModelConfig) -> PreprocessConfig:
    """The paper's preprocessing with the sizes of `model`, for a checkpoint that lies in no run folder.

    Raises:
        CheckpointError: the model's MFCC stacks are not a whole number of the paper's 128 coefficients.
    """
    coefficients = AudioConfig().coefficients
    if model.mfcc_features % coefficients:
        raise CheckpointError(f"the checkpoint takes {model.mfcc_features} MFCC features, which {coefficients} "
                              "coefficients a frame do not explain; put the run's config.yaml beside its checkpoints")
    return PreprocessConfig(frames=model.frames, face=FaceConfig(size=model.crop_size),
                            audio=AudioConfig(stack=model.mfcc_features // coefficients))


def preprocess_of(trained) -> PreprocessConfig:
    """How clips become inputs of a `runner.run_folder.TrainedModel`: as its run or note says, else the paper."""
    if trained.run is None and "preprocess" in trained.note:
        return from_dict(PreprocessConfig, trained.note["preprocess"], "preprocess")
    if trained.run is None:
        return infer_preprocess(trained.model)
    from mindface_eri.runner.run_folder import run_config

    return run_config(trained.run.path).preprocess
