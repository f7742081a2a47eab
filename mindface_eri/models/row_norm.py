# SPDX-License-Identifier: Apache-2.0
"""Layer normalisation for training on the CPU, where the gradient of MindSpore's kernel takes half of a fusion step.

Same parameters, names and numbers, out of operations on whole arrays: statistics of rows are tiled before use, since an
operation that broadcasts takes about ten times as long there as one on arrays of one shape. GPU and Ascend keep
MindSpore's.
"""

from __future__ import annotations

from typing import Tuple

from mindspore import Tensor, nn, ops

from mindface_eri.models.layers import NORM_EPSILON


class AddBias(nn.Cell):
    """(rows, D) + (D,) by BiasAdd, on the CPU three times as fast as a sum that broadcasts.

    Its gradient is written out, since the kernel's takes four times as long there as a plain sum over rows.
    """

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.add = ops.BiasAdd()
        self.sum = ops.ReduceSum()

    def construct(self, x: Tensor, bias: Tensor) -> Tensor:
        return self.add(x, bias)

    def bprop(self, x: Tensor, bias: Tensor, out: Tensor, gradient: Tensor) -> Tuple[Tensor, Tensor]:
        """What each value of `x` and `bias` adds to the loss."""
        # pylint: disable=unused-argument
        return gradient, self.sum(gradient, 0)


class _Rows(nn.Cell):
    """Arrays as rows (R, D), their means, and a value of each row or column spread over all."""

    def __init__(self, epsilon: float) -> None:
        super().__init__(auto_prefix=False)
        self.epsilon = epsilon
        self.mean, self.sum = ops.ReduceMean(keep_dims=True), ops.ReduceSum()
        self.bias_add, self.tile = ops.BiasAdd(), ops.Tile()
        self.zeros = ops.ZerosLike()  # in a gradient, MindSpore cannot compile the function of that name


class RowNorm(_Rows):
    """What `ops.LayerNorm` gives over the last axis: (x (..., D), gamma (D,), beta (D,)) -> (y, mean, variance)."""

    def __init__(self, epsilon: float) -> None:
        super().__init__(epsilon)
        self.norm = ops.LayerNorm(-1, -1, epsilon)

    def construct(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        return self.norm(x, gamma, beta)

    def bprop(self, x: Tensor, gamma: Tensor, beta: Tensor, out: tuple, gradient: tuple) -> Tuple[Tensor, ...]:
        """What each value of `x`, `gamma` and `beta` adds to the loss."""
        # pylint: disable=unused-argument
        shape, width = x.shape, x.shape[-1]
        x, gradient = x.reshape((-1, width)), gradient[0].reshape((-1, width))  # (R, D)
        mean, inverse = out[1].reshape((-1, 1)), 1 / ops.sqrt(out[2].reshape((-1, 1)) + self.epsilon)  # (R, 1)
        inverse = self.tile(inverse, (1, width))
        normal = (x - self.tile(mean, (1, width))) * inverse
        scaled = gradient * self.bias_add(self.zeros(gradient), gamma)  # gamma spread over the rows
        along = self.tile(self.mean(scaled * normal, -1), (1, width))
        of_x = (scaled - self.tile(self.mean(scaled, -1), (1, width)) - normal * along) * inverse
        return of_x.reshape(shape), self.sum(gradient * normal, 0), self.sum(gradient, 0)


class RowAffine(_Rows):
    """x * scale + shift, each column with its own: (x (..., D), scale (D,), shift (D,)) -> (..., D)."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def construct(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        rows = x.reshape((-1, x.shape[-1]))  # (R, D)
        return self.bias_add(rows * self.bias_add(self.zeros(rows), scale), shift).reshape(x.shape)

    def bprop(self, x: Tensor, scale: Tensor, shift: Tensor, out: Tensor, gradient: Tensor) -> Tuple[Tensor, ...]:
        """What each value of `x`, `scale` and `shift` adds to the loss."""
        # pylint: disable=unused-argument
        rows, gradient = x.reshape((-1, x.shape[-1])), gradient.reshape((-1, x.shape[-1]))  # (R, D)
        of_x = gradient * self.bias_add(self.zeros(rows), scale)
        return of_x.reshape(x.shape), self.sum(gradient * rows, 0), self.sum(gradient, 0)


class NormedProjection(_Rows):
    """A linear map of normalised rows, the normalisation folded into it.

    (x (..., D), gamma (D,), beta (D,), weight (O, D), bias (O,)) -> (y (..., O), centred rows (R, D), one over their
    deviations (R, 1)), of which the latter two serve the gradient. Rows are divided by their deviations after the
    product. They are centred before it, and the scaled weight's rows too: the one keeps the digits of rows whose mean
    is large, the other takes away what rounding has left of it.
    """

    def __init__(self, epsilon: float) -> None:
        super().__init__(epsilon)
        self.product, self.outer = ops.MatMul(), ops.MatMul(transpose_a=True)
        self.project = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor, gamma: Tensor, beta: Tensor, weight: Tensor, bias: Tensor
                  ) -> Tuple[Tensor, Tensor, Tensor]:
        inner = x.shape[1:-1]
        x = x.reshape((-1, x.shape[-1]))  # (R, D)
        centred = x - self.tile(self.mean(x, -1), (1, x.shape[1]))
        inverse = 1 / ops.sqrt(self.mean(centred * centred, -1) + self.epsilon)  # (R, 1)
        y = self.project(centred, self._scaled(gamma, weight)) * self.tile(inverse, (1, weight.shape[0]))  # (R, O)
        y = self.bias_add(y, self._shift(beta, weight, bias))
        return y.reshape((-1, *inner, weight.shape[0])), centred, inverse

    def bprop(self, x: Tensor, gamma: Tensor, beta: Tensor, weight: Tensor, bias: Tensor, out: tuple,
              gradient: tuple) -> Tuple[Tensor, ...]:
        """What each value of the five adds to the loss."""
        outputs, width = weight.shape
        y, centred, inverse = out[0].reshape((-1, outputs)), out[1], out[2]
        gradient = gradient[0].reshape((-1, outputs))  # (R, O)
        divided = gradient * self.tile(inverse, (1, outputs))  # (R, O)
        before = self.bias_add(y, -self._shift(beta, weight, bias))  # (R, O), y without what is added to all rows
        along = self.mean(gradient * before, -1) * (-outputs / width) * inverse * inverse  # (R, 1)
        of_x = self.product(divided, self._scaled(gamma, weight)) + centred * self.tile(along, (1, width))
        of_scaled = self.outer(divided, centred)  # (O, D)
        of_bias = self.sum(gradient, 0)  # (O,)
        of_weight = of_scaled * gamma + of_bias.reshape((-1, 1)) * beta
        of_beta = self.product(of_bias.reshape((1, -1)), weight).reshape((-1,))
        return of_x.reshape(x.shape), self.sum(of_scaled * weight, 0), of_beta, of_weight, of_bias

    def _scaled(self, gamma: Tensor, weight: Tensor) -> Tensor:
        """The weight of normalised rows without gamma, its own rows centred, (O, D)."""
        scaled = weight * gamma
        return scaled - self.mean(scaled, -1)

    def _shift(self, beta: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """What all rows have added: the bias and the projected beta, (O,)."""
        return bias + self.project(beta.reshape((1, -1)), weight).reshape((-1,))


def use_row_norms(network: nn.Cell) -> nn.Cell:
    """Lets every layer normalisation of `network` take a gradient of whole arrays, in place, and folds it into the
    projection behind it where nothing else reads it; biases and scales of columns too. For training in float32 on CPU.

    Returns:
        The same network.
    """
    for _, cell in list(network.cells_and_names()):
        if isinstance(cell, nn.LayerNorm):
            cell.layer_norm = RowNorm(cell.epsilon)  # what its `construct` calls
        elif hasattr(cell, "fold_norms"):
            cell.fold_norms(NormedProjection(NORM_EPSILON))
        elif hasattr(cell, "scale_columns"):
            cell.scale_columns(RowAffine())
        elif hasattr(cell, "add_bias_by"):
            cell.add_bias_by(AddBias())
    return network
