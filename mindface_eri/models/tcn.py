"""The temporal convolutional network: causal dilated convolutions (paper section 3.2, eq. 6)."""

from __future__ import annotations

from typing import Sequence

from mindspore import Tensor, nn, ops

from mindface_eri.models.layers import Linear


class CausalConv1d(nn.Cell):
    """Output t is a linear map of inputs t, t - dilation, ..., t - (kernel - 1) * dilation (eq. 6).

    (B, T, in) -> (B, T, out). Computed as one matrix product over the delayed copies of the sequence laid side by
    side: sequences stay channels last, and neither transposes nor a convolution kernel are needed. The weight is
    (out, kernel * in), the oldest delay first, which is PyTorch's (out, in, kernel) with the last two axes swapped.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.dilation = dilation
        self.past = (kernel - 1) * dilation  # zeros on the left: same length out, nothing from the future
        self.pad = nn.Pad(((0, 0), (self.past, 0), (0, 0))) if self.past else nn.Identity()
        self.product = Linear(kernel * in_channels, out_channels)
        self.concat = ops.Concat(axis=-1)

    def construct(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        padded = self.pad(x)  # (B, past + T, in)
        delayed = ()
        for tap in range(self.kernel):
            start = tap * self.dilation
            delayed = delayed + (padded[:, start:start + length],)  # (B, T, in)
        return self.product(self.concat(delayed))  # (B, T, out)


class TemporalConvNet(nn.Cell):
    """One causal convolution for each dilation, each with ReLU and dropout after it: (B, T, in) -> (B, T, width).

    `receptive_field` counts the instants that an output depends on: 1 + (kernel - 1) * sum(dilations), 63 for the
    default dilations 1, 2, 4, 8, 16, which covers the paper's 32 frames.
    """

    def __init__(self, in_channels: int, width: int, kernel: int, dilations: Sequence[int], *,
                 dropout: float = 0.0) -> None:
        super().__init__()
        self.receptive_field = 1 + (kernel - 1) * sum(dilations)
        widths = (in_channels, *(width for _ in dilations))
        self.convolutions = nn.CellList([CausalConv1d(widths[i], width, kernel, dilation)
                                         for i, dilation in enumerate(dilations)])
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(p=dropout)

    def construct(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = self.dropout(self.relu(convolution(x)))  # (B, T, width)
        return x
