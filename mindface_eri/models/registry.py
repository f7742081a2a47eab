# SPDX-License-Identifier: Apache-2.0
"""Networks by name."""

from __future__ import annotations

import re
from typing import Any, Callable, List, Sequence, Type, TypeVar

import mindspore as ms
from mindspore import nn

from mindface_eri.config import NETWORK_INPUTS, USUAL_INPUTS, ModelConfig, from_dict, inputs_of
from mindface_eri.errors import CheckpointError, ConfigError
from mindface_eri.models.dual_branch import (
    AcousticNetwork,
    DualBranchNetwork,
    FeatureNetwork,
    MultiBranchNetwork,
    VisualNetwork,
)
from mindface_eri.models.statistics import StatisticsNetwork
from mindface_eri.plugins import Registry

MODELS = Registry("model")
OWN = {"eri_visual": VisualNetwork, "eri_acoustic": AcousticNetwork, "eri_features": FeatureNetwork,
       "eri_dual_branch": DualBranchNetwork, "eri_multi_branch": MultiBranchNetwork,
       "eri_statistics": StatisticsNetwork}
for _name, _network in OWN.items():
    MODELS.register(_name)(_network)

_INPUTS = ("frames", "mfcc", "landmarks", "features", "present")
Network = TypeVar("Network", bound=Type[nn.Cell])


def register_model(name: str, *, inputs: Sequence[str]) -> Callable[[Network], Network]:
    """A decorator of a Cell class, which becomes a network that `model.name` and `create_model` know.

    The class is called with a `ModelConfig`; its Cell takes `inputs`, in that order, and gives intensities (B, E) in
    (0, 1), E being `len(config.emotions)`. Zeros stand for what a clip lacks. Before training, a Cell that has
    `set_mfcc_statistics(mean, std)`, both (M,), `set_landmark_statistics(mean, scale)`, the mean shape (68, 2) and the
    deviation of faces laid on it (1,), or `set_feature_statistics(mean, std)`, both (F,), receives those of the
    training clips; the last call comes once for each of `config.features`, in their order.

    Args:
        name: letters, digits, `_`, `-` and `.`: exported files bear it.
        inputs: some of "frames" (B, T, S, S, 3) uint8 RGB, "mfcc" (B, T, M) float32, "landmarks" (B, T, 68, 2) float32
            pixels, zeros without a face, "features" (B, T, F) float32, one for each of `config.features`, and "present"
            (B, N) float32, 1 where a clip has the modality.

    Raises:
        ConfigError: the name cannot be a file's or is another network's, or an input is none of these or named twice.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ConfigError(f"model {name!r}: a name has letters, digits, _, - and . in it; exported files bear it")
    inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    if not inputs or set(inputs) - set(_INPUTS) or len(set(inputs)) < len(inputs):
        raise ConfigError(f"model {name!r}: inputs are {list(inputs)}, need some of {', '.join(_INPUTS)}, each once")

    def add(network: Network) -> Network:
        MODELS.register(name)(network)
        NETWORK_INPUTS[name] = inputs
        return network
    return add


def list_models() -> List[str]:
    """The names that `create_model` knows, those of plugins included."""
    return sorted(MODELS.names())


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
    network = MODELS.find(config.name)(config)
    if config.stem_checkpoint is not None and read_stem:
        load_stem(network, config.stem_checkpoint)
    return network


def check(config: ModelConfig) -> None:
    """Refuses settings that do not fit together, with a ConfigError that says which."""
    MODELS.find(config.name)
    if len(set(config.emotions)) != len(config.emotions):
        raise ConfigError(f"model.emotions names one twice: {', '.join(config.emotions)}")
    for width, heads, names in ((4 * config.stem_width, config.spatial_heads, "4 * stem_width and spatial_heads"),
                                (config.width, config.temporal_heads, "width and temporal_heads")):
        if width % heads and config.name in OWN and config.name != "eri_statistics":  # which has no attention
            raise ConfigError(f"model.{names}: {width} channels cannot be shared evenly by {heads} heads; choose a "
                              "number of heads that divides the channels")
    if min(config.tcn_dilations) < 1:
        raise ConfigError(f"model.tcn_dilations: {min(config.tcn_dilations)} is below 1")
    if "frames" not in config.inputs:
        for field in ("stem_checkpoint", "freeze_stem", "recompute_stem"):
            if getattr(config, field):
                raise ConfigError(f"model.{field} is set, but {config.name} has no visual stem; leave it out, or "
                                  "choose eri_visual or eri_dual_branch")
    _check_takes(config)
    if config.normalise_by_person and (config.name != "eri_statistics" or "mfcc" not in config.streams):
        raise ConfigError("model.normalise_by_person is for the sound of eri_statistics; leave it out, or let that "
                          "take mfcc")
    _check_features(config)


def _check_takes(config: ModelConfig) -> None:
    """Refuses inputs that the network cannot take, or not alone."""
    if config.takes and config.name not in USUAL_INPUTS:
        raise ConfigError(f"model.takes is {list(config.takes)}, but the inputs of {config.name} are given; leave "
                          "it out")
    known = [name for name in inputs_of(config.name) if name != "present"]
    if set(config.takes) - set(known) or len(set(config.takes)) < len(config.takes):
        raise ConfigError(f"model.takes is {list(config.takes)}, need some of {', '.join(known)}, each once")
    if "features" in config.takes and not config.features:
        raise ConfigError("model.takes names features, but model.features names no feature set")
    if config.name == "eri_multi_branch" and "present" not in config.inputs:
        raise ConfigError(f"eri_multi_branch joins branches, and model.takes leaves it {config.inputs[0]} alone")


def _check_features(config: ModelConfig) -> None:
    """Refuses feature sets that do not fit the network."""
    sets = len(config.features)
    taken = ("exactly one" if config.name == "eri_features" else
             "any" if config.name == "eri_statistics" or config.takes else
             "at least one" if "features" in inputs_of(config.name) else "none")
    if not {"exactly one": sets == 1, "at least one": sets > 0, "none": sets == 0, "any": True}[taken]:
        raise ConfigError(f"model.features is {list(config.features)}, but {config.name} takes {taken} of the records' "
                          "feature sets (eri_features one, eri_multi_branch and eri_statistics any number)")
    if len(set(config.modalities) | {"present", "landmarks", "person"}) <= len(config.modalities) + 2:
        raise ConfigError(f"model.features is {list(config.features)}: the names must differ, and differ from visual, "
                          "acoustic, landmarks, person and present")
    if config.p_alone and (len(config.p_alone) != len(config.modalities) or abs(sum(config.p_alone) - 1) > 1e-6):
        raise ConfigError(f"model.p_alone is {list(config.p_alone)}, need one chance for each of "
                          f"{', '.join(config.modalities)}, with a sum of 1")


def load_stem(network: nn.Cell, path: str) -> None:
    """Loads the stem's weights from a checkpoint written by `mindface-eri convert-weights`, or from a visual run's.

    Raises:
        CheckpointError: the file cannot be read, or a parameter of the stem is missing or has another shape.
        ConfigError: the network has no stem.
    """
    branch = getattr(network, "visual", network)
    if not hasattr(branch, "stem"):
        raise ConfigError(f"model.stem_checkpoint is set, but {type(network).__name__} has no `stem`; leave it out")
    try:
        weights = ms.load_checkpoint(path)
    except (ValueError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as a MindSpore checkpoint ({str(error).splitlines()[0]}); "
                              "convert PyTorch weights with `mindface-eri convert-weights` first") from None
    for name, parameter in branch.stem.parameters_and_names():
        source = next((weights[key] for key in (f"stem.{name}", f"visual.stem.{name}") if key in weights), None)
        if source is None or tuple(source.shape) != tuple(parameter.shape):
            found = "is missing" if source is None else f"has shape {tuple(source.shape)}"
            raise CheckpointError(f"{path}: stem.{name} {found}, the network needs {tuple(parameter.shape)}; "
                                  "check model.stem_width, or convert the weights again")
        parameter.set_data(ms.Tensor(source.asnumpy()))
