# SPDX-License-Identifier: Apache-2.0
"""A clip and the features that other programs computed for it, as the network's inputs."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import ModelConfig, PreprocessConfig
from mindface_eri.constants import LANDMARKS
from mindface_eri.datasets.feature_files import Layout
from mindface_eri.errors import DataError, MediaError
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.timeline import Inputs
from mindface_eri.preprocess.clip import Clip

_WORDS = ("a face", "sound")


@dataclass(frozen=True)
class Prepared:
    """One clip of N instants, and its features."""

    clip: Clip
    features: Dict[str, np.ndarray]  # of each feature set (N, F), zeros where the clip has none
    there: Tuple[bool, ...]  # which of them it has
    person: Optional[np.ndarray] = None  # (2, 6, F) statistics of its person's sound, where the network takes them

    @property
    def present(self) -> np.ndarray:
        """(modalities,) float32."""
        return np.append(self.clip.present, self.there).astype(np.float32)

    def every(self, step: int) -> Prepared:
        """With every `step`-th instant."""
        return Prepared(self.clip.every(step), {name: x[::step] for name, x in self.features.items()}, self.there)


def stacked(clips: Sequence[Prepared]) -> Inputs:
    """A batch of clips."""
    features = {name: np.stack([one.features[name] for one in clips]) for name in clips[0].features}
    frames, mfcc, landmarks = (np.stack([getattr(one.clip, name) for one in clips])
                               for name in ("frames", "mfcc", "landmarks"))
    person = None if clips[0].person is None else np.stack([one.person for one in clips])
    return Inputs(frames, mfcc, landmarks, np.stack([one.present for one in clips]), features, person)


def check_folders(model: ModelConfig, folders: Mapping[str, os.PathLike]) -> None:
    """Refuses a feature set without a folder (a `DataError`)."""
    for name in model.features:
        if name not in folders:
            raise DataError(f"{model.name} takes the feature set {name!r}, which other programs compute: name "
                            f"the folder of its CSV files, one a clip ({name}=FOLDER), or evaluate the network on "
                            "records that have it")
        if not Path(folders[name]).is_dir():
            raise DataError(f"feature set {name!r}: {folders[name]} is no folder; name the one of its CSV files")


def prepare(model: ModelConfig, layouts: Mapping[str, Any], job: Job, clip: Clip,
            folders: Mapping[str, os.PathLike], person: Optional[np.ndarray] = None) -> Prepared:
    """The clip with its features at its instants.

    Args:
        layouts: by name of its feature set, its columns and how they are aligned.
        person: (2, 6, F) statistics of the sound of the clip's person; None where the network takes none, or the clip
            has no sound.

    Raises:
        DataError: a file cannot be used, or is missing and the network cannot do without.
        MediaError: the clip lacks what the network cannot do without.
    """
    check_need(model, job, clip)
    features, there = {}, []
    for name, width in zip(model.features, model.feature_widths):
        path = features_file(folders[name], job.name)
        if path is None and "present" not in model.inputs:
            raise DataError(f"{folders[name]}: no {job.name}.csv there, and {model.name} needs it")
        there.append(path is not None)
        features[name] = (np.zeros((len(clip.timestamps), width), np.float32) if path is None
                          else Layout.of(layouts[name]).read(path, clip.timestamps))
    if person is None and "person" in model.inputs:
        person = np.zeros((2, 6, model.mfcc_features // model.mfcc_stack), np.float32)
    return Prepared(clip, features, tuple(there), person)


def features_file(folder: os.PathLike, clip_id: str) -> Optional[Path]:
    """The CSV file of a clip's features in a set's folder, if there is one."""
    names = (unicodedata.normalize(form, clip_id) for form in ("NFC", "NFD"))  # as Macs write it, too
    paths = (Path(folder) / file for name in names for file in (f"{name}.csv", f"[{name}].csv"))
    return next((path for path in paths if path.is_file()), None)


def modalities_needed(model: ModelConfig) -> List[int]:
    """Of which columns of `present` the network cannot do without one: those of its inputs."""
    return sorted({model.column_of(name) for name in model.inputs if name != "present"})


def need_of(model: ModelConfig, clip: Clip) -> str:
    """What the network cannot do without and the clip lacks, as a sentence; "" where it has all it needs."""
    needed = [i for i in modalities_needed(model) if i < len(_WORDS)]
    if not needed or clip.present[needed].any():
        return ""
    reason = f" ({clip.note})" if clip.note else ""
    return (f"{model.name} needs {' or '.join(_WORDS[i] for i in needed)}, and none was found{reason}; "
            "use a model of both modalities")


def check_need(model: ModelConfig, job: Job, clip: Clip) -> None:
    """Refuses a clip without what the network needs (a `MediaError`)."""
    missing = need_of(model, clip)
    if missing:
        raise MediaError(f"{job.source or job.name}: {missing}")


def check_given(config: PreprocessConfig, job: Job) -> None:
    """Refuses a `Clip` that was taken apart in another way than the network's (a `DataError`)."""
    count, size = config.frames, config.face.size
    for name, shape in (("frames", (count, size, size, 3)), ("mfcc", (count, config.audio.features)),
                        ("landmarks", (count, *LANDMARKS))):
        found = getattr(job.clip, name)
        if found.shape != shape or (name == "frames" and found.dtype != np.uint8):
            raise DataError(f"{job.name}: {name} of {found.shape} {found.dtype}, the network takes {shape}; "
                            "take it apart by extract_clip(path, predictor.preprocess)")
