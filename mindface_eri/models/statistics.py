# SPDX-License-Identifier: Apache-2.0
"""A small network on statistics over time, for corpora of some hundred clips (not in the paper)."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindface_eri.config import ModelConfig
from mindface_eri.errors import ConfigError
from mindface_eri.models.fusion import ModalityDropout, chances_alone
from mindface_eri.models.landmarks import AXES, POINTS, LandmarkAlignment
from mindface_eri.models.layers import Linear

KINDS = 6  # of statistics: mean, deviation, deviation of differences, means of the three thirds
_TINY = 1e-6  # a deviation below it is none


class TimeStatistics(nn.Cell):
    """Features over time (B, N, F) -> six statistics of each over time (B, 6, F).

    They are the mean, the deviation, the deviation of the differences from instant to instant, and the means of the
    three thirds of time.

    Args:
        instants: N; where there are fewer than three, thirds share them.
        moving: the thirds are what they differ from the mean by, and the mean itself is left at zero: what moves, not
            what the face is.
    """

    def __init__(self, instants: int, moving: bool = False) -> None:
        super().__init__()
        self.moving, self.several = moving, instants > 1
        first = [third * instants // 3 for third in range(4)]
        self.thirds = tuple((low, max(high, low + 1)) for low, high in zip(first, first[1:]))
        self.mean = ops.ReduceMean(keep_dims=True)
        self.concat = ops.Concat(axis=1)

    def construct(self, x: Tensor) -> Tensor:
        mean = self.mean(x, 1)  # (B, 1, F)
        centred = x - mean
        source = centred if self.moving else x
        change = x[:, 1:] - x[:, :-1] if self.several else centred  # (B, N - 1, F)
        found = (mean * 0.0 if self.moving else mean, self._deviation(centred),
                 self._deviation(change - self.mean(change, 1)))
        for low, high in self.thirds:
            found = found + (self.mean(source[:, low:high], 1),)
        return self.concat(found)  # (B, 6, F)

    def _deviation(self, centred: Tensor) -> Tensor:
        return ops.sqrt(self.mean(centred * centred, 1))  # (B, 1, F)


class Stream(nn.Cell):
    """One input over time -> its statistics, standardised (B, 6 * F).

    `statistics_mean` and `statistics_std` (6, F), over the training set, are parameters without gradient.
    """

    def __init__(self, instants: int, width: int, moving: bool = False) -> None:
        super().__init__()
        self.shape, self.features = (-1, instants, width), KINDS * width
        self.statistics = TimeStatistics(instants, moving)
        self.statistics_mean, self.statistics_std = (
            Parameter(Tensor(np.full((KINDS, width), value, np.float32)), name=f"statistics_{kind}",
                      requires_grad=False) for kind, value in (("mean", 0), ("std", 1)))

    def measure(self, x: Tensor) -> Tensor:
        """The statistics as they are, (B, 6, F)."""
        return self.statistics(x.reshape(self.shape))

    def construct(self, x: Tensor) -> Tensor:
        standard = (self.measure(x) - self.statistics_mean) / self.statistics_std  # (B, 6, F)
        return standard.reshape((-1, self.features))

    def standardised(self, measured: np.ndarray) -> np.ndarray:
        """What the graph makes of statistics as they are, (N, 6, F) -> (N, 6 * F) float32."""
        standard = (measured - self.statistics_mean.asnumpy()) / self.statistics_std.asnumpy()
        return standard.reshape(-1, self.features).astype(np.float32)

    def set_statistics(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Stores mean and deviation of the statistics over the training set, both (6, F)."""
        deviation = np.asarray(std, np.float32)
        self.statistics_mean.set_data(Tensor(np.asarray(mean, np.float32)))
        self.statistics_std.set_data(Tensor(np.where(deviation > 1e-6, deviation, 1).astype(np.float32)))


class PersonStream(Stream):
    """As `Stream`, by mean and deviation over the clips of the person, (B, 2, 6, F), in place of the training set's.

    These are kept all the same, for who makes up inputs in the range of real ones.
    """

    def construct(self, x: Tensor, person: Tensor) -> Tensor:
        shape = (-1, KINDS, self.features // KINDS)
        mean, deviation = person[:, :1].reshape(shape), person[:, 1:].reshape(shape)
        standard = (self.measure(x) - mean) / ops.maximum(deviation, _TINY)  # (B, 6, F); zeros: no sound
        return standard.reshape((-1, self.features))

    def standardised(self, measured: np.ndarray, person: np.ndarray) -> np.ndarray:
        """What the graph makes of statistics as they are, (N, 6, F), and those of their people, (N, 2, 6, F)."""
        standard = (measured - person[:, 0]) / np.maximum(person[:, 1], _TINY)
        return standard.reshape(-1, self.features).astype(np.float32)


class LandmarkStream(Stream):
    """Landmarks (B, T, 68, 2) in pixels -> the statistics of their movement, standardised (B, 816)."""

    def __init__(self, frames: int) -> None:
        super().__init__(frames, POINTS * AXES, moving=True)
        self.alignment = LandmarkAlignment(frames)

    def measure(self, x: Tensor) -> Tensor:
        """The statistics as they are, (B, 6, 136)."""
        return self.statistics(self.alignment(x))


class StatisticsHead(nn.Cell):
    """Standardised statistics (B, 6 * F) of each input -> intensities (B, E); usable alone on cached statistics.

    Of a network that takes `present` it comes last, (B, N): what a clip lacks is at zero, the training set's mean.

    Args:
        widths: 6 * F of each input.
    """

    def __init__(self, config: ModelConfig, widths: Sequence[int]) -> None:
        super().__init__()
        self.columns = tuple(map(config.column_of, config.streams))
        self.joined = "present" in config.inputs
        if self.joined:
            self.modality_dropout = ModalityDropout(config.p_both, chances_alone(config), used=set(self.columns))
        self.concat = ops.Concat(axis=-1)
        self.dropout = nn.Dropout(p=config.dropout)
        self.hidden = Linear(sum(widths), config.width)
        self.relu = nn.ReLU()
        self.hidden_dropout = nn.Dropout(p=config.hidden_dropout)
        self.regression = Linear(config.width, len(config.emotions))
        self.sigmoid = nn.Sigmoid()

    def construct(self, *inputs: Tensor) -> Tensor:
        """Each (B, 6 * F), then present (B, N) where it is taken -> intensities (B, E)."""
        found = inputs[:len(self.columns)]
        if self.joined:
            present = self.modality_dropout(inputs[-1].astype("float32"))  # (B, N)
            found = ()
            for i, column in enumerate(self.columns):
                found = found + (inputs[i] * present[:, column:column + 1],)
        x = self.dropout(self.concat(found))  # (B, all statistics)
        x = self.hidden_dropout(self.relu(self.hidden(x)))  # (B, width)
        # In float32 whatever the precision of the rest, as in `RegressionHead`.
        return self.sigmoid(self.regression(x).astype("float32"))  # (B, E)


class StatisticsNetwork(nn.Cell):
    """Inputs over time, as `config.inputs` names them -> intensities (B, E) in (0, 1).

    They are some of MFCC stacks (B, T, M), whose frames count one by one, landmarks (B, T, 68, 2) and feature sets
    (B, T, F), behind them `person` (B, 2, 6, F), mean and deviation of each statistic of sound over the clips of the
    person, where `config.normalise_by_person`, and `present` (B, N) where there are several. Their standardised
    statistics side by side go through one hidden layer.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.streams = nn.CellList([_stream(name, config) for name in config.streams])
        self.head = StatisticsHead(config, [stream.features for stream in self.streams])
        self.count = len(self.streams)
        self.by_person = config.streams.index("mfcc") if config.normalise_by_person else -1  # the stream, of all
        self.told = self.count + int(config.normalise_by_person)  # where `present` comes

    def set_landmark_statistics(self, mean: np.ndarray, scale: np.ndarray) -> None:
        """As `LandmarkAlignment.set_landmark_statistics`."""
        self.streams[self.config.inputs.index("landmarks")].alignment.set_landmark_statistics(mean, scale)

    def measure(self, *inputs: Tensor) -> Tuple[Tensor, ...]:
        """Of each input but `present`, the statistics as they are, (B, 6, F)."""
        found = ()
        for i in range(self.count):
            found = found + (self.streams[i].measure(inputs[i]),)
        return found

    def construct(self, *inputs: Tensor) -> Tensor:
        found = ()
        for i in range(self.count):
            if i == self.by_person:
                found = found + (self.streams[i](inputs[i], inputs[self.count]),)  # (B, 6 * F)
            else:
                found = found + (self.streams[i](inputs[i]),)
        return self.head(*(found + inputs[self.told:]))  # (B, E)


def _stream(name: str, config: ModelConfig) -> Stream:
    if name == "landmarks":
        return LandmarkStream(config.frames)
    if name == "mfcc":
        if config.mfcc_features % config.mfcc_stack:
            raise ConfigError(f"model.mfcc_features is {config.mfcc_features}, no multiple of model.mfcc_stack, "
                              f"{config.mfcc_stack}: a stack is that many frames, one after another")
        kind = PersonStream if config.normalise_by_person else Stream
        return kind(config.frames * config.mfcc_stack, config.mfcc_features // config.mfcc_stack)
    return Stream(config.frames, config.feature_widths[config.features.index(name)])
