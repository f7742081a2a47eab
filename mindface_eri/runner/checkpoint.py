# SPDX-License-Identifier: Apache-2.0
"""Weights on disk: written whole or not at all, and read with every name and shape checked.

A checkpoint is a MindSpore `.ckpt` file that carries, besides the weights, a JSON note about itself: the model's
configuration, the epoch, the metric. So one file is enough to build the network it belongs to.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple, Union

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindface_eri.errors import CheckpointError
from mindface_eri.files import replacing, usual_mode

_NOTE = "mindface_eri"  # the key under which the JSON note lies
_SHOWN = 4  # mismatches listed in a message

Weights = Dict[str, np.ndarray]


def save_checkpoint(path: os.PathLike, weights: Union[nn.Cell, Mapping[str, Union[Parameter, np.ndarray]]],
                    note: Optional[Mapping] = None) -> None:
    """Writes weights and `note` (anything JSON takes) to `path`, atomically: a kill leaves the old file or the new one.

    Args:
        weights: a network, or values by name.
    """
    if isinstance(weights, nn.Cell):
        weights = {p.name: p for p in weights.get_parameters()}
    values = {name: value.asnumpy() if isinstance(value, Tensor) else np.asarray(value)
              for name, value in weights.items()}
    with replacing(path, durable=True) as temporary:
        try:
            ms.save_checkpoint([{"name": name, "data": Tensor(value)} for name, value in values.items()],
                               str(temporary), append_dict=None if note is None else {_NOTE: json.dumps(note)},
                               crc_check=True)
        finally:  # MindSpore's own temporary file, where the disk is full
            temporary.with_suffix(".tmp").unlink(missing_ok=True)
        usual_mode(temporary)  # MindSpore makes it read-only


def read_checkpoint(path: os.PathLike) -> Tuple[Weights, dict]:
    """Weights by name, and the note ({} for a file that others wrote).

    Raises:
        CheckpointError: the file is missing, damaged, or no checkpoint.
    """
    target = Path(path)
    if not target.is_file():
        raise CheckpointError(f"{target}: no such checkpoint")
    try:
        stored = ms.load_checkpoint(str(target), crc_check=True)
        note = stored.pop(_NOTE, "{}")
        note = json.loads(str(note))
    except (ValueError, RuntimeError, TypeError, OSError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{target}: is damaged or no MindSpore checkpoint ({reason[:160]}); "
                              "take another copy, or train again with --resume") from None
    return {name: value.asnumpy() for name, value in stored.items() if isinstance(value, Tensor)}, note


def load_weights(network: nn.Cell, weights: Mapping[str, np.ndarray], where: str, *, of: str = "") -> None:
    """Puts `weights` into `network`, which must have exactly these names and shapes.

    Args:
        where: the file, for messages.
        of: the model the weights were written from, if known, for messages.

    Raises:
        CheckpointError: a name is missing or left over, a shape differs, or a value is not finite.
    """
    parameters = {p.name: p for p in network.get_parameters()}
    check_weights({name: p.shape for name, p in parameters.items()}, weights, where, of=of)
    assign_weights(parameters, weights)


def check_weights(wanted: Mapping[str, tuple], weights: Mapping[str, np.ndarray], where: str, *, of: str = "") -> None:
    """Raises a `CheckpointError` that lists every way in which `weights` differ from names and shapes `wanted`."""
    problems = [f"{name} is missing" for name in wanted if name not in weights]
    problems += [f"{name} is left over" for name in weights if name not in wanted]
    problems += [f"{name} is {tuple(weights[name].shape)}, need {tuple(shape)}" for name, shape in wanted.items()
                 if name in weights and tuple(weights[name].shape) != tuple(shape)]
    problems += [f"{name} holds values that are not finite" for name, value in weights.items()
                 if name in wanted and not np.isfinite(value).all()]
    if problems:
        shown = "; ".join(problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        origin = f" (it was written from {of})" if of else ""
        raise CheckpointError(f"{where}: does not fit this network{origin}: {shown}{more}; "
                              "use the recipe it was trained with")


def assign_weights(parameters: Mapping[str, Parameter], weights: Mapping[str, np.ndarray]) -> None:
    """Copies values into parameters, also into those of a graph that is compiled already."""
    for name, value in weights.items():
        # Not set_data: a compiled graph that branches keeps reading the old value after it.
        ops.assign(parameters[name], Tensor(np.asarray(value), parameters[name].dtype))


def checkpoint_hash(weights: Mapping[str, np.ndarray]) -> str:
    """A short fingerprint of names and values, whatever file they lie in."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()[:16]
