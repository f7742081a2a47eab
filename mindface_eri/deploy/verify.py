# SPDX-License-Identifier: Apache-2.0
"""Runs an exported file in a process of its own: `python -m mindface_eri.deploy.verify FILE BATCH DEVICE IN OUT`.

Behind these comes, where FILE is the first part of a network, the file of the second.
A fresh process has no compiled graph, cached kernel or parameter left over from the export, so it sees the file as
the deployer's program will.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri import children
from mindface_eri.config import ModelConfig
from mindface_eri.constants import LANDMARKS
from mindface_eri.deploy.backends import open_backend, run_batches
from mindface_eri.deploy.parts import open_parts
from mindface_eri.errors import ExportError
from mindface_eri.files import write_bytes

Statistics = Tuple[np.ndarray, np.ndarray]  # mean and deviation


def run_in_fresh_process(file: os.PathLike, inputs: Sequence[np.ndarray], batch: Optional[int],
                         device: str = "auto", second: Optional[os.PathLike] = None) -> np.ndarray:
    """Answers of an exported file, computed by a new Python process: all clips at once, then each alone.

    Args:
        second: where `file` is the part of a network for each frame alone, the file of what follows.

    Returns:
        (2, N, E) for N clips.

    Raises:
        ExportError: the process failed; the message carries the end of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "in.npz", Path(folder) / "out.npy"
        packed = io.BytesIO()  # on a full disk a ZIP file that is written to directly ends in two errors
        np.savez(packed, *inputs)
        write_bytes(given, packed.getvalue())
        command = children.python("mindface_eri.deploy.verify", file, batch or 0, device, given, answer,
                                  *([] if second is None else [second]))
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace",
                              env=children.environment(), check=False)
        if done.returncode or not answer.is_file():
            said = " / ".join(done.stderr.strip().splitlines()[-3:])
            raise ExportError(f"{file}: a fresh process could not run it: {said[-600:]}")
        return np.load(answer, allow_pickle=False)


def check_inputs(config: ModelConfig, statistics: Mapping[str, Statistics] = MappingProxyType({}), seed: int = 0
                 ) -> Dict[str, np.ndarray]:
    """Inputs in the real range and at its edges, for seven clips, and an eighth where there are feature sets.

    Rows: two ordinary clips, one without sound, one without a face, one with neither, one of white crops with loud
    sound, one of black crops with silence and without other features, and one with nothing but other features.

    Args:
        statistics: mean and deviation over the training set of the MFCC stacks ("mfcc") and of each feature set, (F,)
            each, 0 and 1 where they are not given; of "landmarks" the mean shape (68, 2) and the deviation around it;
            of "person" mean and deviation of the statistics of sound, (6, F) each.
    """
    rng = np.random.default_rng(seed)
    side, times, sets = config.crop_size, config.frames, len(config.features)
    present = [[1, 1, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 0], [1, 1, 1], [1, 1, 0], [0, 0, 1]]
    present = np.array([[*row[:2], *row[2:] * sets] for row in present[:8 if sets else 7]], np.float32)
    frames = rng.integers(0, 256, (len(present), times, side, side, 3), dtype=np.uint8)
    frames[5], frames[6] = 255, 0
    frames[present[:, 0] == 0] = 0
    inputs = {"frames": frames, "present": present, "landmarks": _landmarks(present[:, 0], times, statistics, rng)}
    widths = {"mfcc": config.mfcc_features, **dict(zip(config.features, config.feature_widths))}
    for column, (name, width) in enumerate(widths.items(), start=1):
        mean, std = statistics.get(name, (np.zeros(width), np.ones(width)))
        values = rng.normal(size=(len(present), times, width)) * std + mean
        values[5], values[6] = mean + 6 * std, mean - 6 * std
        values[present[:, column] == 0] = 0
        inputs[name] = values.astype(np.float32)
    if config.normalise_by_person:
        inputs["person"] = _person(config, present[:, 1], statistics)
    return inputs


def _person(config: ModelConfig, heard: np.ndarray, statistics: Mapping[str, Statistics]) -> np.ndarray:
    """Mean and deviation of the statistics of sound (N, 2, 6, F), in one clip those of somebody else."""
    shape = 6, config.mfcc_features // config.mfcc_stack
    usual = np.stack(statistics.get("person", (np.zeros(shape), np.ones(shape))))
    person = np.repeat(usual[None], len(heard), axis=0)
    person[1] *= 1.1
    return (person * heard[:, None, None, None]).astype(np.float32)


def _landmarks(seen: np.ndarray, times: int, statistics: Mapping[str, Statistics], rng: np.random.Generator
               ) -> np.ndarray:
    """Faces (N, T, 68, 2) somewhere in a picture, turned and of different sizes; in one of a clip's instants none."""
    mean, deviation = statistics.get("landmarks", (rng.normal(size=LANDMARKS), np.full(1, 0.1)))
    angle, size = rng.normal(0, 0.3, (len(seen), times)), rng.uniform(20, 200, (len(seen), times, 1, 1))
    turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], -1).reshape(len(seen), times, 2, 2)
    # A face differs from the mean shape far more than it moves: what were noise in each instant no network has seen.
    form, movement = rng.normal(size=(len(seen), 1, *LANDMARKS)), rng.normal(size=(len(seen), times, *LANDMARKS))
    faces = (mean + (form + 0.1 * movement) * deviation) @ turn
    faces = faces * size + rng.uniform(100, 900, (len(seen), times, 1, 2))
    faces[1, times // 2] = 0
    return (faces * (seen > 0)[:, None, None, None]).astype(np.float32)


def main(arguments: Sequence[str]) -> None:
    """Entry of the fresh process."""
    file, batch, device, given, answer, *second = arguments
    with np.load(given, allow_pickle=False) as stored:
        inputs = [stored[name] for name in stored.files]
    if device != "CPU" and not file.endswith(".onnx"):  # which needs no MindSpore
        from mindface_eri.device.context import use_device, use_full_float32

        use_full_float32(use_device(device))
    size = int(batch) or None
    backend = open_parts([file, *second], size, device=device) if second else open_backend(file, device=device)
    together = run_batches(backend, inputs, size)
    alone = [run_batches(backend, [array[i:i + 1] for array in inputs], size) for i in range(len(inputs[0]))]
    np.save(answer, np.stack([together, np.concatenate(alone)]))


if __name__ == "__main__":
    main(sys.argv[1:])
