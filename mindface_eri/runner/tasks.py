# SPDX-License-Identifier: Apache-2.0
"""What is trained on what: a branch alone, fusion on cached features, or everything end to end."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Sequence, Union

import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import Config
from mindface_eri.datasets.by_person import WARNING, with_person_statistics
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.presence import trainable, usable
from mindface_eri.datasets.records import Records
from mindface_eri.device.context import Context
from mindface_eri.errors import CheckpointError, ConfigError, DataError
from mindface_eri.loss import check_loss
from mindface_eri.models.batch_norm import has_batch_statistics
from mindface_eri.models.dual_branch import MultiBranchNetwork
from mindface_eri.models.registry import build_network
from mindface_eri.models.statistics import StatisticsNetwork
from mindface_eri.runner.batches import FeatureBatches, RecordBatches
from mindface_eri.runner.features import branch_features, open_features
from mindface_eri.runner.run_folder import TrainedModel, load_trained
from mindface_eri.runner.statistics import set_statistics, statistics_part
from mindface_eri.runner.stem_maps import check_cache, part_after_stem

_BRANCHES = {"visual": ("eri_visual", "train.visual_run"), "acoustic": ("eri_acoustic", "train.acoustic_run")}
_FEATURES = ("eri_features", "train.features_runs")


@dataclass
class Task:
    """A network to train and the batches to train it on."""

    trained_part: nn.Cell  # takes a batch's inputs, gives predictions (B, E); its weights are trained
    network: nn.Cell  # the whole network that checkpoints hold; often the same Cell
    batches: Union[RecordBatches, FeatureBatches]
    note: Dict[str, Any] = field(default_factory=dict)  # what checkpoints say besides the model


def complete(config: Config, records: Records) -> Config:
    """The recipe with what the records know: the widths of its feature sets, and how clips were taken apart.

    So the run, and whatever is exported of it, takes clips apart as those that it was trained on. Whom to follow stays
    the recipe's: it may be a photograph of somebody in these records. Where sizes differ the records do not fit.

    Raises:
        DataError: the records have no such set, or one of another width.
    """
    widths = tuple(open_feature_set(records, name).width for name in config.model.features)
    if config.model.feature_widths not in ((), widths):
        raise DataError(f"model.feature_widths is {list(config.model.feature_widths)} but the records' sets "
                        f"{', '.join(config.model.features)} have {list(widths)}; leave it out")
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, feature_widths=widths))
    follow = config.preprocess.face.follow
    made = dataclasses.replace(records.preprocess, face=dataclasses.replace(records.preprocess.face, follow=follow))
    try:
        return dataclasses.replace(config, preprocess=made)
    except ConfigError:  # `_check` says which size it is
        return config


def prepare_task(config: Config, records: Records, context: Context, notify: Callable[[str], None],
                 splits: Sequence[str] = ("train", "val")) -> Task:
    """Builds the network of `config.model` and opens its batches.

    Args:
        splits: those that the training needs.

    Raises:
        ConfigError: fusion without its branches, or an unknown loss.
        CheckpointError: a branch's run does not fit.
        DataError: the records do not fit the model, or have no training or validation clips.
    """
    records = with_person_statistics(records, config.model, config.data.group)
    view, left_out = usable(records, config.model.inputs, splits)
    view, unlabelled = trainable(view)
    warnings = [WARNING.format(records.by_person.column)] if records.by_person is not None else []
    for sentence in (*warnings, *left_out, *unlabelled):
        notify(sentence)
    _check(config, view, splits)
    network = build_network(config.model)
    if config.model.recompute_stem and has_batch_statistics(network) and (
            context.world_size > 1 or context.mode == "pynative"):
        raise ConfigError("model.recompute_stem counts each batch twice in the running statistics of batch "
                          "normalisation, in PyNative mode and with several processes; leave it out, or set "
                          "model.freeze_stem")
    set_statistics(network, config, records)
    sets = {name: dict(open_feature_set(records, name).about) for name in config.model.features}
    note = {**({"features": sets} if sets else {}), **({"about": records.note} if records.note else {})}
    if isinstance(network, StatisticsNetwork):
        trained_part, batches = statistics_part(network, config, view, context)
        return Task(trained_part, network, batches, note)
    if isinstance(network, MultiBranchNetwork):
        if config.model.takes and not config.train.end_to_end:
            raise ConfigError(f"model.takes is {list(config.model.takes)}: frozen branches are of crops, sound and "
                              "feature sets only; set train.end_to_end, or leave model.takes out")
        branches = _load_branches(config, required=not config.train.end_to_end)
        for modality, trained in branches.items():
            _adopt(network, modality, trained)
        if not config.train.end_to_end:
            if config.data.copies and records.copies.any():
                notify("fusion trains on features of the clips as they are: the records' copies of sound are left out "
                       "(train.end_to_end trains on them, too)")
            return Task(network.fusion, network, _cached_batches(branches, records, config, context, notify), note)
    if config.train.cache_stem:
        trained_part, stem_batches = part_after_stem(network, config, view, context, notify, splits)
        return Task(trained_part, network, stem_batches, note)
    return Task(network, network, RecordBatches(view, config.model.inputs, config, context), note)


def _check(config: Config, records: Records, splits: Sequence[str]) -> None:
    """Refuses a configuration that cannot be trained on these records."""
    check_loss(config.train.loss)
    check_cache(config)
    for split in splits:
        if split not in records.splits:
            raise DataError(f"the records have no clips in split {split!r} that {config.model.name} can use, and "
                            "training needs some")
    if tuple(records.emotions) != config.model.emotions:
        raise DataError(f"the records' emotions are {', '.join(records.emotions)}, the recipe's model.emotions "
                        f"{', '.join(config.model.emotions)}; set model.emotions to those of the records")
    _check_labels(records, splits)
    model, made = config.model, records.preprocess
    for name, need, have in (("frames", model.frames, made.frames), ("crop_size", model.crop_size, made.face.size),
                             ("mfcc_features", model.mfcc_features, made.audio.features),
                             ("mfcc_stack", model.mfcc_stack, made.audio.stack)):
        if need != have and (name != "mfcc_stack" or model.name == "eri_statistics"):
            raise DataError(f"model.{name} is {need} but the records were made with {have}; preprocess again with this "
                            "recipe, or train with the one they were made with")


def _check_labels(records: Records, splits: Sequence[str]) -> None:
    """An emotion that nobody labelled would teach nothing, and leave the metric without a value."""
    for split in splits:
        need = 1 if split == "train" else 2  # a correlation is of two clips at least
        known = (~np.isnan(records.labels(split))).sum(axis=0)
        for emotion, count in zip(records.emotions, known):
            if count < need <= known.max():  # the others have some
                raise DataError(f"{records.path}: {count} {split} clips have a label of {emotion}, need {need}; label "
                                "more, or take the column out of the table and preprocess again")


def _load_branches(config: Config, required: bool) -> Dict[str, TrainedModel]:
    """The trained branch of each modality that the recipe names, in the order of `config.model.modalities`."""
    branches = {}
    for modality, (name, key) in _BRANCHES.items():
        path = getattr(config.train, f"{modality}_run")
        if path is not None:
            branches[modality] = _load_branch(path, name, key, config)
    for path in config.train.features_runs:
        trained = _load_branch(path, *_FEATURES, config)
        features = trained.model.features[0]
        if features not in config.model.features or features in branches:
            raise ConfigError(f"{_FEATURES[1]}: {path} was trained on the feature set {features}; need one run for "
                              f"each of model.features, {', '.join(config.model.features) or 'none'}")
        branches[features] = trained
    for modality in config.model.modalities:
        if required and modality not in branches:
            name, key = _BRANCHES.get(modality, _FEATURES)
            which = "" if modality in _BRANCHES else f" for {modality}"
            raise ConfigError(f"{key} is not set{which}: fusion trains on the features of its trained branches; give "
                              f"the run folder of {name}, or set train.end_to_end")
    return {modality: branches[modality] for modality in config.model.modalities if modality in branches}


def _load_branch(path: str, name: str, key: str, config: Config) -> TrainedModel:
    """A trained branch that fits the fusion's configuration."""
    trained = load_trained(path)
    if trained.model.name != name:
        raise CheckpointError(f"{key}: {trained.path} holds {trained.model.name}, need {name}")
    if trained.model.emotions != config.model.emotions:
        raise CheckpointError(f"{key}: {trained.path} was trained on {', '.join(trained.model.emotions)}, the "
                              f"recipe's model.emotions are {', '.join(config.model.emotions)}")
    if trained.model.temporal != config.model.temporal:
        raise CheckpointError(f"{key}: {trained.path} has model.temporal {trained.model.temporal}, the recipe "
                              f"{config.model.temporal}; set model.temporal={trained.model.temporal}, or train the "
                              "branch anew")
    return trained


def _adopt(network: nn.Cell, modality: str, trained: TrainedModel) -> None:
    try:
        network.load_branch(modality, {name: Tensor(value) for name, value in trained.weights.items()})
    except CheckpointError as error:
        raise CheckpointError(f"{trained.path}: {error}") from None


def _cached_batches(branches: Dict[str, TrainedModel], records: Records, config: Config, context: Context,
                    notify: Callable[[str], None]) -> FeatureBatches:
    features = {}
    for split in ("train", "val"):
        files = [branch_features(trained, records, split, config, context, notify) for trained in branches.values()]
        features[split] = [*(open_features(file) for file in files), _present(records, split, config, context)]
    return FeatureBatches(records, features, config, context)


def _present(records: Records, split: str, config: Config, context: Context) -> np.ndarray:
    """Which modalities each clip of a split has, (N, modalities) float32."""
    lone = Context(context.device, context.mode)  # small: every process reads all of it
    batches = RecordBatches(records, ("present",), config, lone)
    seen = [b.inputs[0][: len(b.positions)] for b in batches.inputs(split, 256)]
    rows = records.rows(records.ids(split))
    sets = [open_feature_set(records, name).present[rows] for name in config.model.features]
    return np.column_stack([np.concatenate(seen), *sets]).astype(np.float32)


def frozen_names(task: Task) -> set:
    """Names of the whole network's parameters that this task does not train."""
    return {p.name for p in task.network.get_parameters()} - {p.name for p in task.trained_part.get_parameters()}
