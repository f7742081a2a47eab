# SPDX-License-Identifier: Apache-2.0
"""Raw corpus to fused model, the paper's three stages: our commands beside a plain PyTorch script, both end to end."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional

from mindface_eri.benchmark.harness import Row, Timing, find_torch, row
from mindface_eri.benchmark.processes import run_module
from mindface_eri.config import Config, FaceConfig, ModelConfig, PreprocessConfig, TrainConfig, save_config
from mindface_eri.threads import cores

STAGES = ("preprocess", "visual", "acoustic", "fusion")

# The demonstration's sizes, with the paper's loss and nothing beyond Adam, so that both sides do the same.
SMALL = Config(
    preprocess=PreprocessConfig(frames=8, face=FaceConfig(size=48)),
    model=ModelConfig(temporal="plain", frames=8, crop_size=48, stem_width=16, spatial_depth=1, width=64,
                      temporal_depth=1),
    train=TrainConfig(epochs=5, batch_size=8, lr=5e-4))


def benchmark_route(corpus: Optional[os.PathLike] = None, *, workers: int = cores(), config: Config = SMALL,
                    clips: int = 32) -> List[Row]:
    """A row a stage, and the sum; ours is measured from the start of each command to its end, compilation included.

    Args:
        corpus: data set in Hume-Reaction's layout; None draws one of `clips` clips of 4 to 6 s, 640x360.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        corpus = Path(corpus) if corpus is not None else _drawn(root / "corpus", clips, workers)
        sides = {"ours": _ours(corpus, root / "ours", config, workers)}
        if find_torch() is not None:
            sides["theirs"] = _plain(corpus, root / "theirs", config, workers)
    named = {side: {**seconds, "all stages": sum(seconds.values())} for side, seconds in sides.items()}
    return [row(f"route: {stage}", {side: Timing((seconds[stage],)) for side, seconds in named.items()},
                yardstick="plain PyTorch script, plain OpenCV and dlib script") for stage in named["ours"]]


def _drawn(folder: Path, clips: int, workers: int) -> Path:
    from mindface_eri.synthetic.corpus import synthesize

    synthesize(folder, clips=clips, duration=(4.0, 6.0), fps=(25, 25), size=(640, 360), workers=workers, progress=False)
    return folder


def _ours(corpus: Path, out: Path, config: Config, workers: int) -> Dict[str, float]:
    """Seconds of each step of the route, by our commands."""
    out.mkdir()
    recipes = {stage: out / f"{stage}.yaml" for stage in STAGES}
    for stage, recipe in recipes.items():
        name = f"eri_{stage}" if stage in ("visual", "acoustic") else "eri_dual_branch"
        save_config(dataclasses.replace(config, model=dataclasses.replace(config.model, name=name)), recipe)

    def command(name: str, stage: str, *words: Any) -> float:
        return run_module("mindface_eri.cli", name, *words, "--config", recipes[stage]).seconds

    seconds = {"preprocess": command("preprocess", "preprocess", corpus, out / "records", "--workers", workers)}
    branches = ("--visual-run", out / "visual", "--acoustic-run", out / "acoustic")
    for stage in STAGES[1:]:
        seconds[stage] = command("train", stage, "--data", out / "records", "--out", out / stage,
                                 *(branches if stage == "fusion" else ()))
    return seconds


def _plain(corpus: Path, out: Path, config: Config, workers: int) -> Dict[str, float]:
    out.mkdir()
    save_config(config, out / "recipe.yaml")
    done = run_module("mindface_eri.benchmark.torch_route", corpus, out, out / "recipe.yaml", workers)
    stages = json.loads(done.output.strip().splitlines()[-1])
    return {**stages, "start-up": done.seconds - sum(stages.values())}
