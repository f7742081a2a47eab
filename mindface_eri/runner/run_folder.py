# SPDX-License-Identifier: Apache-2.0
"""The run folder: where training writes and where everything after it reads.

    config.yaml                   the resolved recipe
    environment.json              versions, device, seed, records
    metrics.jsonl                 one line an epoch
    checkpoints/{last,best}.ckpt  weights of the network; `best` by validation metric
    checkpoints/state.ckpt        all that --resume needs
    predictions_<split>.csv       one row a clip
    learning_curves.png           drawn by the command when training ends
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ContextManager, List, Mapping, Optional, Tuple, Union

from mindspore import nn

from mindface_eri.config import Config, ModelConfig, load_config, model_of_file, to_dict
from mindface_eri.errors import CheckpointError, ConfigError
from mindface_eri.files import folder_lock, remove_leftovers, tell_of_link
from mindface_eri.models.registry import build_network
from mindface_eri.runner.checkpoint import Weights, load_weights, read_checkpoint
from mindface_eri.version import versions


@dataclass(frozen=True)
class RunFolder:
    """Names of the files in a run folder."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved recipe."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """Versions and device."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """One JSON line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def state(self) -> Path:
        """All that resuming needs."""
        return self.path / "checkpoints" / "state.ckpt"

    def checkpoint(self, which: str = "best") -> Path:
        """`best` or `last`."""
        return self.path / "checkpoints" / f"{which}.ckpt"

    def predictions(self, split: str) -> Path:
        """The table of a split's predictions."""
        return self.path / f"predictions_{split}.csv"

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def lock(self) -> ContextManager[None]:
        """Keeps a second training out (a `BusyError`)."""
        return folder_lock(self.path / ".lock", "a training")

    def make(self) -> RunFolder:
        """Creates the folders, without what a killed training left half-written."""
        (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        tell_of_link(self.path / "checkpoints")
        remove_leftovers(self.path)
        remove_leftovers(self.path / "checkpoints")
        return self


@dataclass(frozen=True)
class TrainedModel:
    """A checkpoint, read and checked."""

    path: Path  # the file
    model: ModelConfig
    weights: Weights
    note: dict
    run: Optional[RunFolder] = None  # None for a lone file

    def build(self) -> nn.Cell:
        """The network with these weights, in inference mode."""
        network = build_network(self.model, read_stem=False)
        load_weights(network, self.weights, str(self.path), of=self.model.name)
        return network.set_train(False)


def find_checkpoint(path: os.PathLike, which: str = "best") -> Tuple[Path, Optional[RunFolder]]:
    """The checkpoint that `path` (a run folder or a `.ckpt` file) stands for, and its run folder if it lies in one.

    Raises:
        CheckpointError: there is none.
    """
    target = Path(path)
    if target.is_dir():
        file = RunFolder(target).checkpoint(which)
        if not file.is_file():
            raise CheckpointError(f"{target}: no checkpoints/{which}.ckpt in it; is it a run folder, and has its first "
                                  "epoch ended?")
        return file, RunFolder(target)
    if not target.exists():
        raise CheckpointError(f"{target}: no such run folder or checkpoint")
    if target.suffix in (".onnx", ".mindir", ".air"):
        raise CheckpointError(f"{target}: is an exported file, which can predict; this needs a run folder or a .ckpt "
                              "file")
    folder = RunFolder(target.resolve().parent.parent)
    return target, folder if folder.config.is_file() else None


def load_trained(path: os.PathLike, which: str = "best") -> TrainedModel:
    """Reads a run folder or a `.ckpt` file and finds out which model it holds.

    Raises:
        CheckpointError: nothing there, damaged, or a checkpoint that does not say its model and lies in no run folder.
    """
    file, run = find_checkpoint(path, which)
    weights, note = read_checkpoint(file)
    try:
        if "model" in note:
            model = model_of_file(note["model"])
        elif run is not None:
            model = load_config(run.config).model
        else:
            raise CheckpointError(f"{file}: does not say which model it holds and lies in no run folder; "
                                  "give a checkpoint that `mindface-eri train` wrote")
    except ConfigError as error:
        raise CheckpointError(f"{file}: its configuration cannot be used ({error})") from None
    return TrainedModel(path=file, model=model, weights=weights, note=note, run=run)


def load_network(path: os.PathLike, which: str = "best") -> Tuple[nn.Cell, ModelConfig]:
    """The trained network of a run folder or `.ckpt` file, in inference mode, and its configuration."""
    trained = load_trained(path, which)
    return trained.build(), trained.model


def run_config(path: os.PathLike) -> Config:
    """The resolved recipe of a run folder.

    Raises:
        CheckpointError: `path` is no run folder.
    """
    folder = RunFolder(Path(path))
    if not folder.config.is_file():
        raise CheckpointError(f"{path}: no config.yaml in it; give the folder that `mindface-eri train` wrote")
    return load_config(folder.config)


def config_of(config: Union[Config, str, os.PathLike]) -> Config:
    """A configuration as it is, or read from a recipe or a run folder.

    Raises:
        ConfigError: the recipe cannot be used.
        CheckpointError: the folder is no run.
    """
    if isinstance(config, Config):
        return config
    return run_config(config) if Path(config).is_dir() else load_config(config)


def describe_environment(**more: Any) -> dict:
    """Versions of what numbers depend on, for environment.json."""
    return {**versions(), "platform": platform.platform(), "cores": os.cpu_count(),
            "onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA"), **more}


def differences(old: Mapping, new: Mapping, prefix: str = "") -> List[str]:
    """Keys whose values differ between two configurations as `to_dict` gives them: "train.lr: 0.001 -> 0.0003"."""
    found = []
    for key, value in new.items():
        if isinstance(value, Mapping):
            found += differences(old.get(key, {}), value, f"{prefix}{key}.")
        elif key in old and old[key] != value:
            found.append(f"{prefix}{key}: {old[key]} -> {value}")
    return found


# Settings that change where and how fast, not what is trained.
_FREE = ("runtime.device", "runtime.threads", "data.records", "data.workers", "data.prefetch", "train.visual_run",
         "train.acoustic_run", "train.features_runs", "model.feature_widths")


def trained_otherwise(old: Mapping, new: Mapping) -> List[str]:
    """`differences` in what is trained, so that results of both must not be mixed."""
    return [text for text in differences(old, new) if text.split(":")[0] not in _FREE]


def note_of(model: ModelConfig, **more: Any) -> dict:
    """The note a checkpoint carries."""
    return {"model": to_dict(model), **more}
