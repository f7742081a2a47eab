"""Runs an exported file in a process of its own: `python -m mindface_eri.deploy.verify FILE BATCH IN.npz OUT.npy`.

A fresh process has no compiled graph, cached kernel or parameter left over from the export, so it sees the file as
the deployer's program will.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Optional, Sequence

import numpy as np

from mindface_eri.deploy.backends import open_backend, run_batches
from mindface_eri.errors import ExportError


def run_in_fresh_process(file: os.PathLike, inputs: Sequence[np.ndarray], batch: Optional[int]) -> np.ndarray:
    """Answers of an exported file, computed by a new Python process: all clips at once, then each alone.

    Returns:
        (2, N, E) for N clips.

    Raises:
        ExportError: the process failed; the message carries the end of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "in.npz", Path(folder) / "out.npy"
        np.savez(given, *inputs)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run([sys.executable, "-m", "mindface_eri.deploy.verify", str(file), str(batch or 0),
                               str(given), str(answer)], capture_output=True, text=True, env=environment, check=False)
        if done.returncode or not answer.is_file():
            said = " / ".join(done.stderr.strip().splitlines()[-3:])
            raise ExportError(f"{file}: a fresh process could not run it: {said[-600:]}")
        return np.load(answer, allow_pickle=False)


def check_inputs(config, statistics: Dict[str, np.ndarray], seed: int = 0) -> Dict[str, np.ndarray]:
    """Inputs in the real range and at its edges, for seven clips.

    Rows: two ordinary clips, one without sound, one without a face, one with neither, one of white crops with loud
    sound, one of black crops with silence.

    Args:
        config: the ModelConfig.
        statistics: "mean" and "std" (M,) of the training set's MFCC stacks.
    """
    rng = np.random.default_rng(seed)
    side, times = config.crop_size, config.frames
    frames = rng.integers(0, 256, (7, times, side, side, 3), dtype=np.uint8)
    mfcc = rng.normal(size=(7, times, config.mfcc_features)) * statistics["std"] + statistics["mean"]
    present = np.array([[1, 1], [1, 1], [1, 0], [0, 1], [0, 0], [1, 1], [1, 1]], np.float32)
    frames[5], frames[6] = 255, 0
    mfcc[5] = statistics["mean"] + 6 * statistics["std"]
    mfcc[6] = statistics["mean"] - 6 * statistics["std"]
    frames[present[:, 0] == 0] = 0
    mfcc[present[:, 1] == 0] = 0
    return {"frames": frames, "mfcc": mfcc.astype(np.float32), "present": present}


def main(arguments: Sequence[str]) -> None:
    """Entry of the fresh process."""
    file, batch, given, answer = arguments
    with np.load(given, allow_pickle=False) as stored:
        inputs = [stored[name] for name in stored.files]
    backend = open_backend(file)
    size = int(batch) or None
    together = run_batches(backend, inputs, size)
    alone = [run_batches(backend, [array[i:i + 1] for array in inputs], size) for i in range(len(inputs[0]))]
    np.save(answer, np.stack([together, np.concatenate(alone)]))


if __name__ == "__main__":
    main(sys.argv[1:])
