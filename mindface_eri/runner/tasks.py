"""What is trained on what: a branch alone, fusion on cached features, or everything end to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Union

import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import Config
from mindface_eri.datasets.records import Records
from mindface_eri.errors import CheckpointError, ConfigError, DataError
from mindface_eri.loss import check_loss
from mindface_eri.models.registry import build_network
from mindface_eri.runner.batches import INPUTS, FeatureBatches, RecordBatches
from mindface_eri.runner.context import Context
from mindface_eri.runner.features import branch_features, open_features
from mindface_eri.runner.run_folder import TrainedModel, load_trained

_BRANCHES = {"visual": ("eri_visual", "train.visual_run"), "acoustic": ("eri_acoustic", "train.acoustic_run")}


@dataclass
class Task:
    """A network to train and the batches to train it on."""

    trained_part: nn.Cell  # takes a batch's inputs, gives predictions (B, E); its weights are trained
    network: nn.Cell  # the whole network that checkpoints hold; often the same Cell
    batches: Union[RecordBatches, FeatureBatches]


def prepare_task(config: Config, records: Records, context: Context, notify: Callable[[str], None]) -> Task:
    """Builds the network of `config.model` and opens its batches.

    Raises:
        ConfigError: fusion without its branches, or an unknown loss.
        CheckpointError: a branch's run does not fit.
        DataError: the records do not fit the model, or have no training or validation clips.
    """
    _check(config, records)
    network = build_network(config.model)
    if hasattr(network, "set_mfcc_statistics"):
        network.set_mfcc_statistics(records.mfcc_mean, records.mfcc_std)
    if config.model.name != "eri_dual_branch":
        return Task(network, network, RecordBatches(records, INPUTS[config.model.name], config, context))
    network.acoustic.set_mfcc_statistics(records.mfcc_mean, records.mfcc_std)
    branches = _load_branches(config, required=not config.train.end_to_end)
    for modality, trained in branches.items():
        _adopt(network, modality, trained)
    if config.train.end_to_end:
        return Task(network, network, RecordBatches(records, INPUTS[config.model.name], config, context))
    return Task(network.fusion, network, _cached_batches(branches, records, config, context, notify))


def _check(config: Config, records: Records) -> None:
    check_loss(config.train.loss)
    for split in ("train", "val"):
        if split not in records.splits:
            raise DataError(f"the records have no clips in split {split!r}, which training needs")
    if tuple(records.emotions) != config.model.emotions:
        raise DataError(f"the records' emotions are {', '.join(records.emotions)}, the recipe's model.emotions "
                        f"{', '.join(config.model.emotions)}; set model.emotions to those of the records")
    model, made = config.model, records.preprocess
    for name, need, have in (("frames", model.frames, made.frames), ("crop_size", model.crop_size, made.face.size),
                             ("mfcc_features", model.mfcc_features, made.audio.features)):
        if need != have:
            raise DataError(f"model.{name} is {need} but the records were made with {have}; preprocess again with this "
                            "recipe, or train with the one they were made with")


def _load_branches(config: Config, required: bool) -> Dict[str, TrainedModel]:
    branches = {}
    for modality, (name, key) in _BRANCHES.items():
        path = getattr(config.train, f"{modality}_run")
        if path is None:
            if required:
                raise ConfigError(f"{key} is not set: fusion trains on the features of both trained branches; give the "
                                  f"run folder of {name}, or set train.end_to_end")
            continue
        trained = load_trained(path)
        if trained.model.name != name:
            raise CheckpointError(f"{key}: {trained.path} holds {trained.model.name}, need {name}")
        if trained.model.emotions != config.model.emotions:
            raise CheckpointError(f"{key}: {trained.path} was trained on {', '.join(trained.model.emotions)}, the "
                                  f"recipe's model.emotions are {', '.join(config.model.emotions)}")
        branches[modality] = trained
    return branches


def _adopt(network: nn.Cell, modality: str, trained: TrainedModel) -> None:
    try:
        network.load_branch(modality, {name: Tensor(value) for name, value in trained.weights.items()})
    except CheckpointError as error:
        raise CheckpointError(f"{trained.path}: {error}") from None


def _cached_batches(branches: Dict[str, TrainedModel], records: Records, config: Config, context: Context,
                    notify: Callable[[str], None]) -> FeatureBatches:
    features = {}
    for split in ("train", "val"):
        files = [branch_features(branches[m], records, split, config, context, notify) for m in _BRANCHES]
        features[split] = [*(open_features(file) for file in files), _present(records, split, config, context)]
    return FeatureBatches(records, features, config, context)


def _present(records: Records, split: str, config: Config, context: Context) -> np.ndarray:
    """Which modalities each clip of a split has, (N, 2) float32."""
    lone = Context(context.device, context.mode)  # small: every process reads all of it
    batches = RecordBatches(records, ("present",), config, lone)
    return np.concatenate([b.inputs[0][: len(b.positions)] for b in batches.inputs(split, 256)]).astype(np.float32)


def frozen_names(task: Task) -> set:
    """Names of the whole network's parameters that this task does not train."""
    return {p.name for p in task.network.get_parameters()} - {p.name for p in task.trained_part.get_parameters()}
