# SPDX-License-Identifier: Apache-2.0
"""Predictors: clips in, intensities out, whatever file the network lies in."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import ModelConfig, PreprocessConfig, RuntimeConfig
from mindface_eri.deploy.backends import CellBackend, input_shapes, open_backend, run_batches
from mindface_eri.deploy.sidecar import preprocess_of, read_sidecar
from mindface_eri.errors import CheckpointError, DataError, ERIError

_EXPORTS = (".mindir", ".onnx")
_NEEDED = {"eri_visual": [0], "eri_acoustic": [1]}  # modalities of which a network needs one; others take either
_WORDS = ("a face", "sound")


class Predictor:
    """A network that answers for clips; made by `load_predictor`.

    Attributes:
        emotions: names of the intensities, in order.
        model: the network's ModelConfig.
        preprocess: how `predict` takes clips apart.
        features: of each feature set, its columns and how they are aligned.
    """

    def __init__(self, backend: Any, model: ModelConfig, preprocess: PreprocessConfig, batch: Optional[int] = None,
                 features: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.emotions: Tuple[str, ...] = model.emotions
        self.model = model
        self.preprocess = preprocess
        self.features = features
        self._backend = backend
        self._batch = batch

    def predict_arrays(self, frames: Optional[np.ndarray] = None, mfcc: Optional[np.ndarray] = None,
                       present: Optional[np.ndarray] = None, **features: np.ndarray) -> np.ndarray:
        """Intensities (B, E) in (0, 1).

        Args:
            frames: (B, T, S, S, 3) uint8 RGB crops; not needed by the acoustic network.
            mfcc: (B, T, M) MFCC stacks; not needed by the visual network.
            present: (B, 2) visual, acoustic, and a column for each feature set; ones if left out.
            features: by name of its feature set, (B, T, F).

        Raises:
            DataError: an array that the network needs is missing or has another shape or type.
        """
        names = self.model.inputs
        given = {"frames": frames, "mfcc": mfcc, "present": present, **features}
        first = next((given[name] for name in names if given.get(name) is not None), None)
        if present is None and first is not None:
            given["present"] = np.ones((len(first), len(self.model.modalities)), np.float32)
        arrays = []
        for name, (shape, kind) in zip(names, input_shapes(self.model, None)):
            arrays.append(_checked(name, given.get(name), (len(first) if first is not None else 0, *shape[1:]), kind))
        return run_batches(self._backend, arrays, self._batch)

    def attention(self, frames: Optional[np.ndarray] = None, mfcc: Optional[np.ndarray] = None,
                  present: Optional[np.ndarray] = None, **features: np.ndarray) -> Optional[Tuple[np.ndarray, ...]]:
        """What the network looked at: intensities (B, E), temporal (B, T) and spatial weights (B, T, h, w) or None.

        None for an exported file, which carries only the way to the intensities. Arguments as for `predict_arrays`.
        """
        given = {"frames": frames, "mfcc": mfcc, "present": present, **features}
        return self._backend.attention([given[name] for name in self.model.inputs])

    def predict(self, paths: Sequence[os.PathLike], features: Mapping[str, os.PathLike] = MappingProxyType({})
                ) -> List[Dict[str, Any]]:
        """One row a media file: `File_ID` (the file's name without its ending), then an intensity for each emotion.

        A clip that cannot be used gets `File_ID` and `error`; the others are answered all the same.

        Args:
            paths: media files, or pairs of a video and a separate sound file.
            features: by name of its feature set, a folder with a CSV for each clip, named after it.

        Raises:
            DataError: the network takes a feature set and no folder, or one that is not there, is named for it.
        """
        for name in self.model.features:
            if name not in features:
                raise DataError(f"{self.model.name} takes the feature set {name!r}, which other programs compute: name "
                                f"the folder of its CSV files, one a clip ({name}=FOLDER), or evaluate the network on "
                                "records that have it")
            if not Path(features[name]).is_dir():
                raise DataError(f"feature set {name!r}: {features[name]} is no folder; name the one of its CSV files")
        return [self._row(*(path if isinstance(path, tuple) else (path, None)), features) for path in paths]

    def _row(self, path: os.PathLike, audio_path: Optional[os.PathLike], features: Mapping[str, os.PathLike]
             ) -> Dict[str, Any]:
        from mindface_eri.preprocess.clip import extract_clip

        row: Dict[str, Any] = {"File_ID": Path(path).stem}
        try:
            clip = extract_clip(path, self.preprocess, audio_path=audio_path)
            missing = need_of(self, clip)
            if missing:
                raise DataError(f"{path}: {missing}")
            found = {name: self._read_features(name, Path(features[name]), row["File_ID"], clip.timestamps)
                     for name in self.model.features}
        except ERIError as error:
            return {**row, "error": str(error)}
        there = [found[name] is not None for name in self.model.features]
        empty = [np.zeros((self.model.frames, width), np.float32) for width in self.model.feature_widths]
        arrays = {name: (empty[i] if found[name] is None else found[name])[None] for i, name in enumerate(found)}
        present = np.append(clip.present, there).astype(np.float32)
        values = self.predict_arrays(clip.frames[None], clip.mfcc[None], present[None], **arrays)[0]
        return {**row, **{name: float(value) for name, value in zip(self.emotions, values)}}

    def _read_features(self, name: str, folder: Path, clip_id: str, timestamps: np.ndarray) -> Optional[np.ndarray]:
        """A clip's features (T, F); None where it has no file and the network can do without."""
        from mindface_eri.datasets.feature_files import Layout

        path = features_file(folder, clip_id)
        if path is not None:
            return Layout.of(self.features[name]).read(path, timestamps)
        if "present" in self.model.inputs:
            return None
        raise DataError(f"{folder}: no {clip_id}.csv there, and {self.model.name} needs it")


def features_file(folder: os.PathLike, clip_id: str) -> Optional[Path]:
    """The CSV file of a clip's features in a set's folder, if there is one."""
    paths = (Path(folder) / name for name in (f"{clip_id}.csv", f"[{clip_id}].csv"))
    return next((path for path in paths if path.is_file()), None)


def modalities_needed(predictor: Any) -> List[int]:
    """Of which modalities, 0 visual and 1 acoustic, the network cannot do without one."""
    return _NEEDED.get(predictor.model.name, [0, 1])


def need_of(predictor: Any, clip: Any) -> str:
    """What the network cannot do without and the clip lacks, as a sentence; "" where it has all it needs."""
    needed = modalities_needed(predictor)
    if clip.present[needed].any():
        return ""
    return (f"{predictor.model.name} needs {' or '.join(_WORDS[i] for i in needed)}, and none was found ({clip.note}); "
            "use a model of both modalities")


def load_predictor(path: os.PathLike, *, which: str = "best", threads: int = 0) -> Predictor:
    """A predictor over a run folder, a .ckpt, a .mindir or an .onnx file.

    Args:
        which: "best" or "last" checkpoint of a run folder.
        threads: of onnxruntime; 0 is as many as there are cores.

    Raises:
        CheckpointError: nothing usable lies there, or an exported file's .json is missing.
        MissingDependencyError: an .onnx file without onnxruntime installed.
    """
    target = Path(path)
    if not target.exists():
        raise CheckpointError(f"{target}: no such run folder or file")
    if target.suffix in _EXPORTS:
        sidecar = read_sidecar(target)
        return Predictor(open_backend(target, threads), sidecar.model, sidecar.preprocess, sidecar.batch,
                         sidecar.features)
    if target.is_file() and target.suffix != ".ckpt":
        raise CheckpointError(f"{target}: not a run folder, .ckpt, .mindir or .onnx file")
    from mindface_eri.device.context import setup

    setup(RuntimeConfig())
    from mindface_eri.deploy.fold import fold_batch_norm
    from mindface_eri.runner.run_folder import load_trained

    trained = load_trained(target, which)
    return Predictor(CellBackend(fold_batch_norm(trained.build())), trained.model, preprocess_of(trained),
                     features=trained.note.get("features", {}))


def _checked(name: str, array: Optional[np.ndarray], shape: tuple, kind: type) -> np.ndarray:
    wanted = f"({', '.join(map(str, ('B', *shape[1:])))}) {kind.__name__}"
    if array is None:
        raise DataError(f"{name} is missing: this network needs {wanted}")
    array = np.asarray(array)
    if array.shape != shape:
        raise DataError(f"{name} has shape {array.shape}, this network needs {wanted} with the same B for all inputs")
    if kind is np.uint8 and array.dtype != np.uint8:
        raise DataError(f"{name} is {array.dtype}, this network needs {wanted}: plain RGB crops, not normalised")
    return np.ascontiguousarray(array, dtype=kind)
