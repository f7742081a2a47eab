# SPDX-License-Identifier: Apache-2.0
"""Two processes under msrun train to the same weights as one: same global batches, same order, dropout off."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mindface_eri.config import save_config
from mindface_eri.evaluation.runs import read_history
from mindface_eri.runner.checkpoint import read_checkpoint

# Name -> network and options. Together they train every part, with running statistics and their averages, a loss that
# needs all clips at once, half precision, and both ways of averaging gradients.
TRAININGS = {
    "both": ("eri_dual_branch", {"train": {"end_to_end": True, "ema": 0.9, "label_noise": 0.05}}),
    "sound": ("eri_acoustic", {"train": {"loss": "ccc", "clip_norm": 0.1}, "runtime": {"loss_scale": "dynamic"}}),
    "half": ("eri_acoustic", {"train": {}, "runtime": {"amp_level": "O2"}}),
    "eager": ("eri_acoustic", {"train": {"accumulate": 2}, "runtime": {"all_reduce": "eager"}})}
# Weights that shift all scores of a softmax: their gradients are zero but for rounding, which Adam makes steps of.
# Those of the keys, a third of a bias, need half precision for it.
SCORES, KEYS = "pooling.score.bias", "qkv.bias"
WORK = """
import json, sys
from pathlib import Path
from mindface_eri.evaluation.evaluator import evaluate
from mindface_eri.runner.trainer import train
for name in sys.argv[2:]:
    result = train(Path(sys.argv[1]) / f"{name}.yaml", name, progress=False)
print("evaluated", json.dumps(evaluate(sys.argv[2]).mean))
"""


def work(folder, tiny, launcher):
    """Runs all trainings in one folder, as one process or as many, and gives what the last process said."""
    folder.mkdir()
    (folder / "work.py").write_text(WORK)
    for name, (network, options) in TRAININGS.items():
        recipe = {"model": {"name": network, "dropout": 0.0, "p_both": 1.0},
                  "train": {"epochs": 1, "lr": 1e-4, **options["train"]}, "runtime": options.get("runtime", {})}
        save_config(tiny.config(**recipe), folder / f"{name}.yaml")
    environment = {**os.environ, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]}
    done = subprocess.run([*launcher, "work.py", ".", *TRAININGS], cwd=folder, env=environment, capture_output=True,
                          text=True, timeout=600)
    logs = [path.read_text() for path in sorted(folder.glob("log/worker_*.log"))] or [done.stdout]
    assert done.returncode == 0, "\n".join(logs)[-3000:] + done.stderr[-2000:]
    return logs


@pytest.mark.slow
def test_two_processes_train_as_one(tiny, tmp_path):
    """24 clips in three global batches; 7 validation clips, which two processes cannot share evenly."""
    msrun = [os.path.join(os.path.dirname(sys.executable), "msrun"), "--worker_num=2", "--local_worker_num=2",
             f"--master_port={20000 + os.getpid() % 20000}", "--join=True", "--log_dir=log"]
    said = {"one": work(tmp_path / "one", tiny, [sys.executable]), "two": work(tmp_path / "two", tiny, msrun)}
    for name in TRAININGS:
        for file in ("last", "state"):
            one, two = (read_checkpoint(tmp_path / ranks / name / "checkpoints" / f"{file}.ckpt")[0] for ranks in said)
            without_effect = (SCORES, KEYS) if name == "half" else SCORES
            one, two = ({key: value for key, value in weights.items() if not key.endswith(without_effect)}
                        for weights in (one, two))
            assert set(one) == set(two)
            apart = {key: np.abs(one[key] - two[key]).max() for key in one}
            assert max(apart.values()) < 1e-5, (name, file, max(apart, key=apart.get), max(apart.values()))
        losses = [read_history(tmp_path / ranks / name)[0]["loss"] for ranks in said]
        assert losses[0] == pytest.approx(losses[1], abs=1e-6)  # that of all clips, not of the first process's
    scores = [json.loads(logs[-1].split("evaluated ")[1].splitlines()[0]) for logs in said.values()]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    assert len(said["two"]) == 2
