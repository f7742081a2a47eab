# SPDX-License-Identifier: Apache-2.0
"""A raw clip to intensities, everything included: our ONNX path beside the plain script and the eager twin."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Callable, List, Sequence

import numpy as np

from mindface_eri.benchmark.clips import drawn_clip
from mindface_eri.benchmark.harness import Row, in_turns, row
from mindface_eri.benchmark.literal import literal_clip
from mindface_eri.benchmark.networks import export_all, twin_network
from mindface_eri.config import Config, ModelConfig, RuntimeConfig
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.threads import cores


def benchmark_predict(paths: Sequence[os.PathLike] = (), *, repeats: int = 3, threads: int = cores(),
                      config: Config = Config()) -> List[Row]:  # noqa: B008
    """One row a clip, with models and libraries loaded; weights are random, which costs the same time.

    Args:
        paths: video files; without any, one of a drawn person at 1280x720 is made.

    Raises:
        MediaError: a clip cannot be decoded.
    """
    from mindface_eri.device.context import setup

    setup(RuntimeConfig(threads=threads))
    with tempfile.TemporaryDirectory() as folder:
        backends = export_all(config.model, Path(folder), threads)
        name = "onnx" if "onnx" in backends else "mindir"
        ours, twin = backends[name].run, twin_network(config.model, threads)
        rows = []
        for path in paths or [drawn_clip(folder)]:
            calls = {"ours": lambda p=path: _answer(extract_clip(p, config.preprocess), config.model, ours)}
            if twin:
                calls["theirs"] = lambda p=path: _answer(literal_clip(p, config.preprocess), config.model, twin)
            times, _ = in_turns(calls, repeats)
            rows.append(row(f"{Path(path).name} to intensities, {name}", times,
                            yardstick="plain OpenCV and dlib script, eager PyTorch twin"))
    return rows


def _answer(clip: Any, model: ModelConfig, network: Callable) -> np.ndarray:
    arrays = {"frames": clip.frames[None], "mfcc": clip.mfcc[None], "present": np.ones((1, 2), np.float32)}
    return network([arrays[name] for name in model.inputs])
