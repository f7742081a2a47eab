# SPDX-License-Identifier: Apache-2.0
"""One update of the weights as a Cell: gradients, loss scaling, clipping, accumulation, Adam and averaged weights."""

from __future__ import annotations

from typing import Dict, List, Optional

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindface_eri.config import RuntimeConfig, TrainConfig
from mindface_eri.device.context import Context, in_mode
from mindface_eri.loss import create_loss, is_mean_over_clips
from mindface_eri.models.batch_norm import share_batch_statistics
from mindface_eri.models.dropout import seed_dropout
from mindface_eri.models.precision import set_precision
from mindface_eri.models.row_norm import use_row_norms
from mindface_eri.runner.optim import create_optimizer
from mindface_eri.runner.reduction import EagerMean, GatherRows, GraphMean

_FIXED_SCALE = 1024.0
_DYNAMIC_SCALE = 65536.0
_GROW_AFTER = 1000  # finite updates in a row before a dynamic scale is doubled

_divide = ops.MultitypeFuncGraph("divide")
_square = ops.MultitypeFuncGraph("square")
_finite = ops.MultitypeFuncGraph("finite")
_add = ops.MultitypeFuncGraph("add")
_zero = ops.MultitypeFuncGraph("zero")
_average = ops.MultitypeFuncGraph("average")


@_divide.register("Tensor", "Tensor")
def _divide_one(divisor, gradient):
    return gradient / ops.cast(divisor, gradient.dtype)


@_square.register("Tensor")
def _square_one(gradient):
    gradient = ops.cast(gradient, ms.float32)
    return ops.reduce_sum(gradient * gradient)


@_finite.register("Tensor")
def _finite_one(gradient):
    return ops.reduce_min(ops.cast(ops.isfinite(gradient), ms.float32))


@_add.register("Tensor", "Tensor")
def _add_one(accumulator, gradient):
    return ops.assign_add(accumulator, gradient)


@_zero.register("Tensor")
def _zero_one(accumulator):
    return ops.assign(accumulator, ops.zeros_like(accumulator))


@_average.register("Tensor", "Tensor", "Tensor")
def _average_one(decay, average, weight):
    return ops.assign(average, average * decay + weight * (1.0 - decay))


class _ScaledLoss(nn.Cell):
    """(scale, inputs..., labels) -> loss times scale; the scale is an input so that it can change between steps."""

    def __init__(self, network: nn.Cell, loss: nn.Cell, gather: Optional[nn.Cell]) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss
        self.gather = gather

    def construct(self, scale, *batch):
        predictions, labels = self.network(*batch[:-1]), batch[-1]
        if self.gather is not None:
            predictions, labels = self.gather(predictions), self.gather(labels)
        return self.loss(predictions, labels) * scale


class ApplyStep(nn.Cell):
    """Gradients -> new weights. Where a loss scale is on, an update with an infinite or NaN gradient is left out."""

    def __init__(self, network: nn.Cell, train: TrainConfig, runtime: RuntimeConfig) -> None:
        super().__init__(auto_prefix=False)
        self.optimizer = create_optimizer(network.trainable_params(), lr=train.lr, weight_decay=train.weight_decay)
        self.weights = self.optimizer.parameters
        self.clip_norm = train.clip_norm
        self.scaled = runtime.loss_scale != "none"
        self.dynamic = runtime.loss_scale == "dynamic"
        start = {"none": 1.0, "fixed": _FIXED_SCALE, "dynamic": _DYNAMIC_SCALE}[runtime.loss_scale]
        self.scale = _scalar("loss_scale", start)
        self.finite_updates = _scalar("finite_updates", 0.0)
        self.updates = _scalar("updates", 0.0)
        self.ema = train.ema
        averaged = [p for p in network.get_parameters() if p.dtype == ms.float32] if train.ema > 0 else []
        self.live = ParameterTuple(averaged)
        self.averages = ParameterTuple([_twin(p, "ema.") for p in averaged])
        self.batches = float(train.accumulate)
        self.each = ops.HyperMap()

    def construct(self, gradients):
        """How many updates there have been; 0 where an infinite or NaN gradient left this one out."""
        if self.scaled or self.batches > 1:
            gradients = self.each(ops.partial(_divide, self.scale * self.batches), gradients)
        if not self.scaled:
            return self._update(gradients)
        finite = ops.reduce_min(ops.stack(self.each(_finite, gradients))) > 0.5
        done = ops.zeros((), ms.float32)
        if finite:
            done = self._update(gradients)
        if self.dynamic:
            self._rescale(finite)
        return done

    def _update(self, gradients):
        if self.clip_norm > 0:
            norm = ops.sqrt(ops.reduce_sum(ops.stack(self.each(_square, gradients))))
            gradients = self.each(ops.partial(_divide, ops.maximum(norm / self.clip_norm, 1.0)), gradients)
        self.optimizer(gradients)
        updates = ops.assign_add(self.updates, 1.0)
        if self.ema > 0:  # a short memory at first, so that the initial weights are soon forgotten
            decay = ops.minimum((1.0 + updates) / (10.0 + updates), self.ema)
            self.each(ops.partial(_average, decay), self.averages, self.live)
        return updates

    def _rescale(self, finite):
        streak = ops.select(finite, self.finite_updates + 1.0, ops.zeros_like(self.finite_updates))
        grow = streak >= _GROW_AFTER
        factor = ops.select(finite, ops.select(grow, 2.0, 1.0), 0.5)
        ops.assign(self.scale, ops.clamp(self.scale * factor, 1.0, 2.0**24))
        ops.assign(self.finite_updates, ops.select(grow, ops.zeros_like(streak), streak))


class TrainStep(nn.Cell):
    """`step(inputs..., labels) -> loss`: forward, backward and, every `accumulate` batches, an update.

    In graph mode all of it is one graph; where `runtime.all_reduce` is eager, forward and backward pass are one, and
    the rest computes operator by operator. The batches of several processes count as one; each gets the loss of its own
    part where that is a mean over clips, else that of all.

    Args:
        network: takes the inputs and gives predictions (B, E).
        train, runtime: the recipe.
        context: this process among those that train together.
    """

    def __init__(self, network: nn.Cell, train: TrainConfig, runtime: RuntimeConfig = RuntimeConfig(),  # noqa: B008
                 context: Context = Context("CPU", "graph")) -> None:  # noqa: B008
        super().__init__(auto_prefix=False)
        self.network = set_precision(network, runtime.amp_level)
        self.apply_step = ApplyStep(network, train, runtime)
        self.eager = runtime.all_reduce == "eager" or runtime.mode == "pynative"
        if runtime.deterministic and context.device == "CPU":
            seed_dropout(network, (ms.get_seed() or 0) % 2**31)
        if context.device == "CPU" and runtime.amp_level == "O0":
            use_row_norms(network)
        self.reduce, loss = None, create_loss(train.loss)
        gather = None
        if context.world_size > 1:
            share_batch_statistics(network)
            self.reduce = (EagerMean if self.eager else GraphMean)(context.world_size)
            gather = None if is_mean_over_clips(loss) else GatherRows(context.rank, context.world_size)
        gradient = ops.value_and_grad(_ScaledLoss(network, loss, gather), None, self.apply_step.weights)
        self.gradient = ms.jit(gradient) if self.eager and runtime.mode == "graph" else gradient
        self.accumulate = train.accumulate
        self.sums = ParameterTuple([_twin(p, "accumulated.", zero=True) for p in self.apply_step.weights]
                                   if train.accumulate > 1 else [])
        self.seen = _scalar("accumulated_batches", 0.0)
        self.each = ops.HyperMap()

    def __call__(self, *batch: Tensor) -> Tensor:
        if not self.eager:
            return super().__call__(*batch)
        with in_mode("pynative"):
            return self.construct(*batch)

    def construct(self, *batch):
        """The loss of this batch."""
        scale = self.apply_step.scale * 1.0
        loss, gradients = self.gradient(scale, *batch)
        if self.accumulate == 1:
            return ops.depend(loss / scale, self._apply(gradients))
        sums = self.each(_add, self.sums, gradients)
        seen = ops.depend(ops.assign_add(self.seen, 1.0), sums)
        if seen >= self.accumulate:
            updated = self._apply(sums)
            ops.depend(self.each(_zero, self.sums), updated)
            ops.assign(self.seen, ops.zeros_like(self.seen))
        return loss / scale

    def _apply(self, gradients):
        if self.reduce is not None:
            gradients = self.reduce(gradients)
        return self.apply_step(gradients)

    def state(self) -> Dict[str, Parameter]:
        """Every Parameter that training changes, by a unique name: weights, moments, averages, scale, counters."""
        cells: List[nn.Cell] = [self.network, self.apply_step, self]
        return {p.name: p for cell in cells for p in cell.get_parameters()}


class AveragedWeights:
    """Lends the network its averaged weights: `with AveragedWeights(step): evaluate`. Does nothing where EMA is off."""

    def __init__(self, step: TrainStep) -> None:
        self.pairs = list(zip(step.apply_step.live, step.apply_step.averages))
        self.kept: Optional[list] = None

    def __enter__(self) -> None:
        self.kept = [live.asnumpy().copy() for live, _ in self.pairs]
        for live, average in self.pairs:
            ops.assign(live, Tensor(average.asnumpy()))

    def __exit__(self, *exception) -> None:
        for (live, _), value in zip(self.pairs, self.kept):
            ops.assign(live, Tensor(value))


def _scalar(name: str, value: float) -> Parameter:
    return Parameter(Tensor(value, ms.float32), name=name, requires_grad=False)


def _twin(parameter: Parameter, prefix: str, zero: bool = False) -> Parameter:
    values = Tensor(parameter.asnumpy() * (0 if zero else 1))
    return Parameter(values, name=prefix + parameter.name, requires_grad=False)
