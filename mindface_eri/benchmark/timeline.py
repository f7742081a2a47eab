# SPDX-License-Identifier: Apache-2.0
"""A long clip in overlapping windows: frames that these share, beside windows that each compute their own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from mindface_eri.benchmark.clips import drawn_clip
from mindface_eri.benchmark.harness import Row, in_turns, row
from mindface_eri.benchmark.networks import formats_here, random_run
from mindface_eri.config import Config, RuntimeConfig
from mindface_eri.deploy.backends import CellBackend, OnnxBackend
from mindface_eri.deploy.parts import Parts, cell_parts, open_parts
from mindface_eri.deploy.sidecar import read_sidecar
from mindface_eri.errors import ConfigError, MediaError
from mindface_eri.prediction.extraction import take_apart
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.predictor import Predictor
from mindface_eri.prediction.windows import Windows
from mindface_eri.threads import cores

SECONDS = 60.0  # of the drawn clip; the longer, the nearer each frame is to being in two windows


def benchmark_timeline(paths: Sequence[os.PathLike] = (), *, repeats: int = 3, threads: int = cores(),
                       config: Config = Config()) -> List[Row]:  # noqa: B008
    """A row a clip and a form of the network, without the time that taking the clip apart costs; weights are random.

    Args:
        paths: video files longer than 30 s; without any, one of a drawn person is made.

    Raises:
        ConfigError: the recipe's network has no part that sees each frame alone.
        MediaError: a clip cannot be decoded.
    """
    from mindface_eri.device.context import setup

    setup(RuntimeConfig(threads=threads))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        networks = _networks(config, Path(folder), threads)
        for path in paths or [drawn_clip(folder, height=360, seconds=SECONDS, fps=10)]:
            taken = take_apart(config.preprocess, Windows(window=12.0), Job(Path(path).name, video=Path(path)))
            if taken.error:
                raise MediaError(taken.error)
            for name, (backend, parts) in networks.items():
                rows.append(_row(f"timeline of {Path(path).name}: {name}", backend, parts, taken, config, repeats))
    return rows


def _networks(config: Config, folder: Path, threads: int) -> Dict[str, tuple]:
    """By its form, the whole network and its parts, with the same random weights."""
    from mindface_eri.deploy.exporter import export
    from mindface_eri.deploy.fold import fold_normalisation
    from mindface_eri.runner.run_folder import load_trained

    random_run(config.model, folder)
    network = fold_normalisation(load_trained(folder).build())
    parts = cell_parts(network)
    if parts is None:
        raise ConfigError(f"benchmark timeline: {config.model.name} does nothing with each frame alone")
    found = {"checkpoint": (CellBackend(network), parts)}
    if "onnx" in formats_here():
        whole = export(folder, formats=("onnx",), parts=True).files[0].path
        found["onnx"] = OnnxBackend(whole, threads), open_parts(read_sidecar(whole).parts, None, threads)
    return found


def _row(what: str, backend, parts: Parts, taken, config: Config, repeats: int) -> Row:
    def asks(shared: Optional[Parts]) -> Callable[[], object]:
        predictor = Predictor(backend, config.model, config.preprocess, parts=lambda: shared)
        return lambda: next(predictor.predict([taken.clip], taken=[taken])).rows()

    times, _ = in_turns({"ours": asks(parts), "theirs": asks(None),
                         "limit": lambda: parts.encode(taken.clip.frames, taken.grid.frames)}, repeats)
    return row(what, times, yardstick="each window computes its frames", limit="each frame once, nothing else",
               note=f"{taken.grid.samples} frames, {len(taken.grid.starts)} windows of {taken.grid.frames}")
