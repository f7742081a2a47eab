# SPDX-License-Identifier: Apache-2.0
"""The mean of all processes' gradients, in two ways, and what else makes their batches one.

Within the compiled step each gradient has an AllReduce written out; MindSpore's parallel modes, whose end it has
announced for static graphs, are not used. Where graphs take no communication, or on request (`runtime.all_reduce`),
only forward and backward pass are compiled; their gradients are reduced as one message, and applied, outside.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Callable, Sequence, Tuple

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindface_eri.config import RuntimeConfig
from mindface_eri.device.context import Context
from mindface_eri.loss import create_loss, is_mean_over_clips
from mindface_eri.models.batch_norm import has_batch_statistics

_FUSION = 1  # all-reduces of one number may become one message where the device's compiler can do that


class GraphMean(nn.Cell):
    """Each process's gradients, a tuple -> their means: one AllReduce for each, for a compiled step."""

    def __init__(self, ranks: int) -> None:
        super().__init__(auto_prefix=False)
        self.share = 1.0 / ranks
        self.all_reduce = ops.AllReduce().add_prim_attr("fusion", _FUSION)

    def construct(self, gradients):
        means = ()
        for gradient in gradients:
            means = means + (self.all_reduce(gradient) * self.share,)
        return means


class EagerMean:
    """The same outside any graph: all gradients as one flat float32 message."""

    def __init__(self, ranks: int) -> None:
        self.share = 1.0 / ranks
        self.all_reduce, self.concat = ops.AllReduce(), ops.Concat()

    def __call__(self, gradients: Sequence[Tensor]) -> Tuple[Tensor, ...]:
        flat = self.concat(tuple(gradient.astype(ms.float32).reshape((-1,)) for gradient in gradients))
        flat = self.all_reduce(flat) * self.share
        means, start = [], 0
        for gradient in gradients:
            part = flat[start:start + gradient.size]
            means.append(part.reshape(gradient.shape).astype(gradient.dtype))
            start += gradient.size
        return tuple(means)


class GatherRows(nn.Cell):
    """Each process's rows (b, E) -> those of all (ranks * b, E), the same for all, with their gradient.

    An AllReduce of rows among zeros: MindSpore has no AllGather on CPU.
    """

    def __init__(self, rank: int, ranks: int) -> None:
        super().__init__(auto_prefix=False)
        self.before, self.behind = rank, ranks - rank - 1
        self.all_reduce, self.concat = ops.AllReduce(), ops.Concat()

    def construct(self, rows):
        zeros = ops.zeros_like(rows)
        return self.all_reduce(self.concat((zeros,) * self.before + (rows,) + (zeros,) * self.behind))


class _Sum(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.all_reduce = ops.AllReduce()

    def construct(self, x):
        return self.all_reduce(x)


def refusal() -> str:
    """Why this MindSpore takes no communication in graphs, tried with all processes; "" where it does."""
    try:
        _Sum()(Tensor([1.0], ms.float32)).asnumpy()
    except Exception as error:  # whatever a later release raises
        return str(error).strip().split("\n", 1)[0] or type(error).__name__
    return ""


def shared_within(network: nn.Cell, loss: str) -> str:
    """What of a network and its loss needs all processes' clips in the forward pass; "" where nothing does."""
    if has_batch_statistics(network):
        return "batch normalisation"
    return "" if is_mean_over_clips(create_loss(loss)) else f"the loss {loss}"


def settle(runtime: RuntimeConfig, context: Context, within: str, notify: Callable[[str], None]) -> RuntimeConfig:
    """`runtime` as this MindSpore and this network can have it, said where that is not as asked.

    Args:
        within: what in the forward pass needs the other processes, "" if nothing does: no compiled graph then, where
            graphs take no communication.
    """
    if context.world_size == 1 or runtime.mode == "pynative":
        return runtime
    if runtime.all_reduce == "graph":
        reason = refusal()
        if not reason:
            return runtime
        logging.getLogger("mindface_eri").warning("no communication in graphs: %s", reason)
        notify(f"this MindSpore takes no communication in graphs ({reason}): gradients are averaged outside "
               "(runtime.all_reduce: eager)")
        runtime = dataclasses.replace(runtime, all_reduce="eager")
    if within:
        notify(f"runtime.all_reduce is eager, and {within} needs the other processes within the network, so that "
               "nothing is compiled (runtime.mode: pynative)")
        runtime = dataclasses.replace(runtime, mode="pynative")
    return runtime
