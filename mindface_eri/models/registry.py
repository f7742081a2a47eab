# SPDX-License-Identifier: Apache-2.0
"""Networks by name."""

from __future__ import annotations

import difflib
from typing import Any, Dict, List

import mindspore as ms
from mindspore import nn

from mindface_eri.config import ModelConfig, from_dict
from mindface_eri.errors import CheckpointError, ConfigError
from mindface_eri.models.dual_branch import (
    AcousticNetwork,
    DualBranchNetwork,
    FeatureNetwork,
    MultiBranchNetwork,
    VisualNetwork,
)

_NETWORKS: Dict[str, type] = {"eri_visual": VisualNetwork, "eri_acoustic": AcousticNetwork,
                              "eri_features": FeatureNetwork, "eri_dual_branch": DualBranchNetwork,
                              "eri_multi_branch": MultiBranchNetwork}


def list_models() -> List[str]:
    """The names that `create_model` knows."""
    return sorted(_NETWORKS)


def create_model(name: str, **config: Any) -> nn.Cell:
    """Builds a network; `config` holds fields of `ModelConfig`, whose defaults are the paper's.

    `create_model("eri_visual", stem_checkpoint="dan.ckpt", freeze_stem=True)` starts from converted weights.

    Raises:
        ConfigError: an unknown name or field, or values that do not fit together.
        CheckpointError: `stem_checkpoint` cannot be read or does not fit.
    """
    return build_network(from_dict(ModelConfig, {**config, "name": name}, "model"))


def build_network(config: ModelConfig, *, read_stem: bool = True) -> nn.Cell:
    """Builds the network that `config` describes.

    Args:
        read_stem: whether to read `config.stem_checkpoint`. Pass False where a whole checkpoint is loaded afterwards:
            the file that training started from need not exist any more.
    """
    check(config)
    if len(config.feature_widths) != len(config.features):
        raise ConfigError(f"model.feature_widths is {list(config.feature_widths)}, need one width for each of "
                          f"model.features, {list(config.features)} (training takes them from the records)")
    network = _NETWORKS[config.name](config)
    if config.stem_checkpoint is not None and read_stem:
        load_stem(network, config.stem_checkpoint)
    return network


def check(config: ModelConfig) -> None:
    """Refuses settings that do not fit together, with a ConfigError that says which."""
    if config.name not in _NETWORKS:
        near = difflib.get_close_matches(config.name, _NETWORKS, n=1)
        raise ConfigError(f"unknown model {config.name!r}" + (f"; did you mean {near[0]!r}?" if near else
                                                              f"; known: {', '.join(list_models())}"))
    if len(set(config.emotions)) != len(config.emotions):
        raise ConfigError(f"model.emotions names one twice: {', '.join(config.emotions)}")
    for width, heads, names in ((4 * config.stem_width, config.spatial_heads, "4 * stem_width and spatial_heads"),
                                (config.width, config.temporal_heads, "width and temporal_heads")):
        if width % heads:
            raise ConfigError(f"model.{names}: {width} channels cannot be shared evenly by {heads} heads; choose a "
                              "number of heads that divides the channels")
    if min(config.tcn_dilations) < 1:
        raise ConfigError(f"model.tcn_dilations: {min(config.tcn_dilations)} is below 1")
    if config.name in ("eri_acoustic", "eri_features"):
        for field in ("stem_checkpoint", "freeze_stem", "recompute_stem"):
            if getattr(config, field):
                raise ConfigError(f"model.{field} is set, but {config.name} has no visual stem; leave it out, or "
                                  "choose eri_visual or eri_dual_branch")
    _check_features(config)


def _check_features(config: ModelConfig) -> None:
    sets = len(config.features)
    taken = {"eri_features": "exactly one", "eri_multi_branch": "at least one"}.get(config.name, "none")
    if not {"exactly one": sets == 1, "at least one": sets > 0, "none": sets == 0}[taken]:
        raise ConfigError(f"model.features is {list(config.features)}, but {config.name} takes {taken} of the records' "
                          "feature sets (eri_features one, eri_multi_branch any number)")
    if len(set(config.modalities) | {"present"}) <= len(config.modalities):
        raise ConfigError(f"model.features is {list(config.features)}: the names must differ, and differ from visual, "
                          "acoustic and present")
    if config.p_alone and (len(config.p_alone) != len(config.modalities) or abs(sum(config.p_alone) - 1) > 1e-6):
        raise ConfigError(f"model.p_alone is {list(config.p_alone)}, need one chance for each of "
                          f"{', '.join(config.modalities)}, with a sum of 1")


def load_stem(network: nn.Cell, path: str) -> None:
    """Loads the stem's weights from a checkpoint written by `mindface-eri convert-weights`, or from a visual run's.

    Raises:
        CheckpointError: the file cannot be read, or a parameter of the stem is missing or has another shape.
    """
    try:
        weights = ms.load_checkpoint(path)
    except (ValueError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as a MindSpore checkpoint ({str(error).splitlines()[0]}); "
                              "convert PyTorch weights with `mindface-eri convert-weights` first") from None
    branch = getattr(network, "visual", network)
    for name, parameter in branch.stem.parameters_and_names():
        source = next((weights[key] for key in (f"stem.{name}", f"visual.stem.{name}") if key in weights), None)
        if source is None or tuple(source.shape) != tuple(parameter.shape):
            found = "is missing" if source is None else f"has shape {tuple(source.shape)}"
            raise CheckpointError(f"{path}: stem.{name} {found}, the network needs {tuple(parameter.shape)}; "
                                  "check model.stem_width, or convert the weights again")
        parameter.set_data(ms.Tensor(source.asnumpy()))
