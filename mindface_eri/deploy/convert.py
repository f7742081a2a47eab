# SPDX-License-Identifier: Apache-2.0
"""PyTorch weights to MindSpore checkpoints: the stem the paper starts from, or a whole network of ours.

Files are read as tensors only: safetensors best, or PyTorch's own files by `weights_only`, whose reader has kept that
promise since PyTorch 2.6 (CVE-2025-32434). Nothing in them is executed.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np

from mindface_eri.config import ModelConfig
from mindface_eri.errors import CheckpointError, MissingDependencyError

_SAFE_TORCH = (2, 6)  # the first version whose `weights_only` runs nothing that a file brings
_WRAPPERS = ("state_dict", "model_state_dict", "model")
# DAN keeps torchvision's ResNet-18 as nn.Sequential(*children): conv1, bn1, relu, maxpool, layer1 ... layer4.
_DAN = {"features.0.": "conv1.", "features.1.": "bn1.", "features.4.": "layer1.", "features.5.": "layer2.",
        "features.6.": "layer3."}
_STEM_PARTS = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.")
_NORM_FIELDS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_NORM = re.compile(r"(.*\b(?:bn\d|norm\d?|downsample\.1))\.(weight|bias|running_mean|running_var)$")
_RENAMED = ((re.compile(r"\.encoder\.layers\.(\d+)\."), r".encoder.blocks.\1."),
            (re.compile(r"\.self_attn\.in_proj_(weight|bias)$"), r".attention.qkv.\1"),
            (re.compile(r"\.self_attn\.out_proj\."), ".attention.out."),
            (re.compile(r"\btemporal\.convs\.(\d+)\.weight"), r"temporal.tcn.convolutions.\1.product.weight"),
            (re.compile(r"\btemporal\.convs\.(\d+)\.bias"), r"temporal.tcn.convolutions.\1.bias"),
            (re.compile(r"\btemporal\.levels\."), "temporal.tcn.levels."),
            (re.compile(r"\.parametrizations\.weight\.original0$"), ".magnitude"),
            (re.compile(r"\.parametrizations\.weight\.original1$"), ".product.weight"))


@dataclass(frozen=True)
class ConversionReport:
    """What `convert_weights` did: `kind` is "stem" or "network"; `used` maps new names to the source's."""

    source: str
    target: str
    kind: str
    used: Dict[str, str]
    left: List[str]
    parameters: int


def convert_weights(source: Union[str, os.PathLike], target: Union[str, os.PathLike], *,
                    config: Optional[ModelConfig] = None) -> ConversionReport:
    """Converts a PyTorch file to a MindSpore checkpoint.

    Understood: torchvision's ResNet-18, DAN's (`features.0` to `features.7`, heads ignored), both giving the stem
    alone for `create_model("eri_visual", stem_checkpoint=target)`; and the networks of `benchmark.torch_twin`, giving a
    whole network, whose checkpoint can be evaluated, exported and predicted with. A `state_dict` or `model_state_dict`
    wrapping and a leading `module.` are taken off.

    Args:
        source: .pth, .pt, .bin or .safetensors file.
        target: .ckpt file to write; replaced at once when it is complete.
        config: sizes and emotions of a whole network, and the names of its feature sets; the paper's if None.

    Raises:
        CheckpointError: the source cannot be read, holds no network that is known, or lacks a tensor that is needed,
            or has one more than its network.
        MissingDependencyError: safetensors, or a PyTorch of version 2.6 at least, is not installed.
    """
    from mindface_eri.runner.checkpoint import save_checkpoint
    from mindface_eri.runner.run_folder import note_of

    if Path(target).suffix != ".ckpt":
        raise CheckpointError(f"{target}: the target must end in .ckpt")
    tensors = {_bare(name): value for name, value in read_tensors(source).items()}
    kind, renamed = _recognize(tensors, Path(source))
    used: Dict[str, str] = {}
    converted: Dict[str, np.ndarray] = {}
    for name, origin in renamed.items():
        converted[name] = _relayout(name, tensors[origin])
        used[name] = origin
    note = None
    if kind == "stem":
        _require_stem(converted, Path(source))
    else:
        note = note_of(_require_network(converted, config or ModelConfig(), Path(source)))
    save_checkpoint(target, converted, note)
    left = sorted(set(tensors) - set(used.values()))
    return ConversionReport(str(source), str(target), kind, used, left, sum(v.size for v in converted.values()))


def read_tensors(source: os.PathLike) -> Dict[str, np.ndarray]:
    """The named tensors of a .safetensors, .pth, .pt or .bin file as NumPy arrays, floating point ones as float32."""
    path = Path(source)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    reader = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    tensors = reader(path)
    if not tensors:
        raise CheckpointError(f"{path}: holds no named tensors; give a file saved from `model.state_dict()`")
    return {name: value.astype(np.float32) if value.dtype.kind == "f" else value for name, value in tensors.items()}


def _read_safetensors(path: Path) -> Dict[str, np.ndarray]:
    """The tensors of a .safetensors file by name."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise MissingDependencyError("reading .safetensors needs the package safetensors: "
                                     "pip install 'mindface_eri[convert]'") from None
    try:
        return load_file(str(path))
    except (SafetensorError, OSError, TypeError, KeyError) as error:  # bfloat16 has no NumPy type: a KeyError
        raise CheckpointError(f"{path}: cannot be read as safetensors ({error}); save it again in float32") from None


def _read_torch(path: Path) -> Dict[str, np.ndarray]:
    """The tensors of a PyTorch file by name, without running what lies in it."""
    try:
        import torch
    except ImportError:
        raise MissingDependencyError(f"reading {path.suffix or path.name} needs PyTorch: pip install "
                                     "'mindface_eri[convert]', or save the weights as .safetensors") from None
    import pickle

    if tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < _SAFE_TORCH:
        raise MissingDependencyError(f"{path}: PyTorch {torch.__version__} can be made to run code that such a file "
                                     "brings; pip install 'torch>=2.6', or save the weights as .safetensors")
    try:
        content: Any = torch.load(str(path), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read as PyTorch weights ({str(error).splitlines()[0]}); save "
                              "`model.state_dict()`, since whole pickled models are refused: they could run any code"
                              ) from None
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a table of named tensors")
    return {name: value.detach().to(torch.float32 if value.is_floating_point() else value.dtype).numpy()
            for name, value in content.items() if isinstance(name, str) and isinstance(value, torch.Tensor)}


def _bare(name: str) -> str:
    return name[len("module."):] if name.startswith("module.") else name


def _recognize(tensors: Mapping[str, np.ndarray], path: Path) -> Tuple[str, Dict[str, str]]:
    """The kind of network in `tensors`, and our name -> its name for each tensor to take."""
    if any(name.startswith(("temporal.", "visual.", "acoustic.")) for name in tensors):
        return "network", {our_name(name): name for name in tensors if not name.endswith("num_batches_tracked")}
    renamed = {}
    for name in tensors:
        plain = next((new + name[len(old):] for old, new in _DAN.items() if name.startswith(old)), name)
        if plain.startswith(_STEM_PARTS) and not plain.endswith("num_batches_tracked"):
            renamed["stem." + our_name(plain)] = name
    if "stem.conv1.weight" not in renamed:
        shown = ", ".join(list(tensors)[:4])
        raise CheckpointError(f"{path}: neither torchvision's ResNet-18 (conv1.weight ...) nor DAN's "
                              f"(features.0.weight ...) nor a network of ours; its names begin {shown}")
    return "stem", renamed


def our_name(name: str) -> str:
    """The MindSpore parameter that a PyTorch tensor becomes."""
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    norm = _NORM.match(name)
    return f"{norm.group(1)}.{_NORM_FIELDS[norm.group(2)]}" if norm else name


def _relayout(name: str, value: np.ndarray) -> np.ndarray:
    """Causal convolutions keep their weight as (kernel * out, in); PyTorch as (out, in, kernel), also of one tap."""
    if name.endswith((".product.weight", ".shortcut.weight")):
        value = value.transpose(2, 0, 1).reshape(-1, value.shape[1])
    elif name.endswith(".magnitude"):
        value = value.reshape(-1)
    return np.ascontiguousarray(value)


def _require_stem(converted: Mapping[str, np.ndarray], path: Path) -> None:
    from mindface_eri.models.resnet import ResNetStem

    first = converted["stem.conv1.weight"]
    if first.ndim != 4 or first.shape[1:] != (3, 7, 7):
        raise CheckpointError(f"{path}: the first convolution is {first.shape}, ResNet-18's is (64, 3, 7, 7)")
    needed = {f"stem.{name}": tuple(p.shape) for name, p in ResNetStem(len(first)).parameters_and_names()}
    _require(needed, converted, path, "the stem")


def _require_network(converted: Mapping[str, np.ndarray], config: ModelConfig, path: Path) -> ModelConfig:
    """The configuration of the network, found by its parts, whose parameters these are."""
    from mindface_eri.models import build_network

    name = ("eri_multi_branch" if any(key.startswith("feature_branches.") for key in converted) else
            "eri_dual_branch" if any(key.startswith("fusion.") for key in converted) else
            "eri_visual" if "stem.conv1.weight" in converted else
            "eri_features" if "feature_mean" in converted else "eri_acoustic")
    means = [key for key in converted if key.endswith("feature_mean")]
    means.sort(key=lambda key: int(key.split(".")[1]) if "." in key else 0)  # feature_branches.10 after .9
    widths = tuple(len(converted[key]) for key in means)
    temporal = "temma" if any(".levels." in key for key in converted) else "plain"
    model = dataclasses.replace(config, name=name, feature_widths=widths, temporal=temporal)
    network = build_network(model, read_stem=False)
    needed = {key: tuple(parameter.shape) for key, parameter in network.parameters_and_names()}
    _require(needed, converted, path, name)
    return model


def _require(needed: Mapping[str, tuple], converted: Mapping[str, np.ndarray], path: Path, what: str) -> None:
    """Refuses weights in which a tensor is missing or has another shape."""
    missing = [name for name in needed if name not in converted]
    if missing:
        raise CheckpointError(f"{path}: {len(missing)} of the {len(needed)} tensors that {what} needs are missing: "
                              f"{', '.join(missing[:4])}{' ...' if len(missing) > 4 else ''}; this is another network")
    more = [name for name in converted if name not in needed]
    if more:
        raise CheckpointError(f"{path}: {len(more)} tensors for which {what} has no place: {', '.join(more[:4])}"
                              f"{' ...' if len(more) > 4 else ''}; this is another network")
    for name, shape in needed.items():
        if converted[name].shape != shape:
            raise CheckpointError(f"{path}: {name} has shape {converted[name].shape}, {what} needs {shape}; "
                                  "this is another network")
