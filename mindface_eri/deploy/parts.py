# SPDX-License-Identifier: Apache-2.0
"""A network as two backends, one for each frame alone and one for what follows over time, and what describes them.

Windows that overlap share their frames: the first part, nearly all of the arithmetic, runs once a frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import ModelConfig
from mindface_eri.deploy.backends import CellBackend, input_shapes, open_backend
from mindface_eri.errors import CheckpointError
from mindface_eri.files import file_hash

KINDS = ("frames", "temporal")  # `eri_visual.onnx` has `eri_visual.frames.onnx` and `eri_visual.temporal.onnx`
VECTORS = "vectors"  # what goes from the one to the other
_Shapes = List[Tuple[tuple, type]]


class Parts:
    """Two backends as one; `run` is the whole network.

    Args:
        fill: whether the first one wants as many crops in each call: a graph of fixed shapes, or one that is compiled
            anew for each.
    """

    def __init__(self, encoder, temporal, fill: bool) -> None:
        self._encoder, self.temporal, self._fill = encoder, temporal, fill

    def encode(self, crops: np.ndarray, size: int, rest: Optional[int] = None, attention: bool = False
               ) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """Vectors (N, C) of crops (N, S, S, 3) and, where it is asked for and known, spatial weights (N, h, w).

        Args:
            size: crops of a call.
            rest: crops of each call for what no longer fills one of `size`; None is `size` too.
        """
        found, start = [], 0
        while start < len(crops):
            places = np.arange(start, start + (size if rest is None or start + size <= len(crops) else rest))
            start = places[-1] + 1
            some = crops[np.minimum(places, len(crops) - 1) if self._fill else places[places < len(crops)]]
            weighed = self._encoder.attention([some]) if attention else None
            found.append((self._encoder.run([some]), None) if weighed is None else weighed[:2])
        vectors, weights = (None if answers[0] is None else np.concatenate(answers)[:len(crops)]
                            for answers in zip(*found))  # without what filled the last call up
        if vectors.ndim != 2 or len(vectors) != len(crops):
            raise CheckpointError(f"the first part's answer has shape {vectors.shape} for {len(crops)} crops; "
                                  "export again")
        return vectors, weights

    def run(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Intensities (B, E) for the network's inputs."""
        place = next(i for i, array in enumerate(inputs) if array.ndim == 5)  # (B, T, S, S, 3)
        crops = inputs[place]
        vectors, _ = self.encode(crops.reshape(-1, *crops.shape[2:]), len(crops) * crops.shape[1])
        given = list(inputs)
        given[place] = vectors.reshape(*crops.shape[:2], -1)
        return self.temporal.run(given)


def cell_parts(network) -> Optional[Parts]:
    """Those of a network of this process; None of one that has none."""
    from mindface_eri.models.parts import parts_of

    cells = parts_of(network)
    return None if cells is None else Parts(*map(CellBackend, cells), fill=True)


def open_parts(paths: Sequence[Path], batch: Optional[int], threads: int = 0, device: str = "auto"
               ) -> Optional[Parts]:
    """Those of two exported files, in the order of `KINDS`; None of no files.

    Args:
        batch: clips that they take in a call; None is any number.
    """
    if not paths:
        return None
    return Parts(*(open_backend(path, threads, device) for path in paths), fill=batch is not None)


def part_shapes(model: ModelConfig, kind: str, batch: Optional[int]) -> _Shapes:
    """Shape and type of each input of a part, in the order of its call; `batch` counts clips."""
    whole = dict(zip(model.inputs, input_shapes(model, batch)))
    (_, times, *crop), kind_of = whole["frames"]
    if kind == "frames":
        return [((None if batch is None else batch * times, *crop), kind_of)]
    whole["frames"] = (batch, times, 4 * model.stem_width), np.float32
    return list(whole.values())


def part_names(model: ModelConfig, kind: str) -> List[str]:
    """The names of a part's inputs, in the order of its call."""
    return ["frames"] if kind == "frames" else [VECTORS if name == "frames" else name for name in model.inputs]


def part_path(file: Path, kind: str) -> Path:
    """`eri_visual.onnx` -> `eri_visual.frames.onnx`."""
    return file.with_name(f"{file.stem}.{kind}{file.suffix}")


def describe_parts(model: ModelConfig, target: Path, written: Sequence[Path], batch: Optional[int], difference: float
                   ) -> Dict[str, Any]:
    """What the description of an exported file says of its parts, which will lie beside `target`."""
    said: Dict[str, Any] = {}
    for kind, file in zip(KINDS, written):
        said[kind] = {
            "file": part_path(target, kind).name, "sha256": file_hash(file),
            "inputs": [{"name": name, "shape": ["batch" if size is None else size for size in shape],
                        "dtype": dtype.__name__}
                       for name, (shape, dtype) in zip(part_names(model, kind), part_shapes(model, kind, batch))]}
    frames = said["frames"]["inputs"][0]["shape"][0]
    said["frames"]["output"] = {"name": VECTORS, "shape": [frames, 4 * model.stem_width], "dtype": "float32"}
    said["temporal"]["output"] = {"name": "intensities", "shape": [batch or "batch", len(model.emotions)],
                                  "dtype": "float32"}
    return {**said, "max_difference": difference}


def find_parts(file: Path, said: Mapping[str, Any]) -> Tuple[Path, ...]:
    """The files of the parts that a description names, none where neither lies there: the whole file does alone.

    Raises:
        CheckpointError: only one is there, or one is not the file that is described.
        KeyError, TypeError, ValueError: the description cannot be used.
    """
    paths = []
    for kind in KINDS:
        name = said[kind]["file"]
        if Path(name).name != name:
            raise ValueError(f"parts.{kind}.file is {name!r}, need the name of a file beside it")
        paths.append(file.with_name(name))
    there = [path for path in paths if path.is_file()]
    if not there:
        return ()
    for kind, path in zip(KINDS, paths):
        if path not in there:
            raise CheckpointError(f"{path}: is missing, and {there[0].name} alone is of no use; copy both, or neither: "
                                  f"{file.name} is whole")
        if said[kind]["sha256"] != file_hash(path):
            raise CheckpointError(f"{path}: is not the file that {file.name}.json describes, or was damaged since; "
                                  "copy all of them again, or export again")
    return tuple(paths)
