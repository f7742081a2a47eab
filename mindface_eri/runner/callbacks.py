# SPDX-License-Identifier: Apache-2.0
"""What a person sees of training, and what stays on disk of each epoch."""

from __future__ import annotations

import sys
from typing import Callable, Dict, Optional, Sequence

import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mindface_eri.files import json_text, write_text
from mindface_eri.runner.run_folder import RunFolder

_FETCH_EVERY = 20  # steps between looks at the loss: each look waits for the device


class Progress:
    """A bar over all of training with loss, validation correlation, clips a second and time left.

    Where standard error is no terminal it writes a line now and then instead.
    """

    def __init__(self, epochs: int, clips: int, *, first: int = 0, show: bool = True,
                 notify: Callable[[str], None] = print) -> None:
        self.epochs, self.clips, self.notify = epochs, clips, notify
        self.show = show
        self.every = max(1, epochs // 10)
        terminal = show and sys.stderr.isatty()
        self.bar = tqdm(total=epochs * clips, initial=first * clips, unit="clip", disable=not terminal,
                        dynamic_ncols=True)
        self.rho: Optional[float] = None

    def step(self, clips: int, loss: Optional[float]) -> None:
        """After a step; `loss` where it was looked at."""
        if loss is not None:
            rho = "" if self.rho is None else f" ρ {self.rho:.4f}"
            self.bar.set_postfix_str(f"loss {loss:.4f}{rho}", refresh=False)
        self.bar.update(clips)

    def epoch(self, row: Dict) -> None:
        """After an epoch, with its line of metrics.jsonl."""
        self.rho = row["val_pearson"]
        self.bar.set_description(f"epoch {row['epoch']}/{self.epochs}", refresh=False)
        last = row["epoch"] == self.epochs
        if self.show and self.bar.disable and (row["epoch"] % self.every == 0 or last or row["epoch"] == 1):
            self.notify(f"epoch {row['epoch']}/{self.epochs}: loss {row['loss']:.4f}, val Pearson "
                        f"{row['val_pearson']:.4f}, lr {row['lr']:.2e}, {row['samples_per_second']:.0f} clips/s")

    def close(self) -> None:
        """Ends the bar."""
        self.bar.close()


class LossMeter:
    """The mean loss of an epoch, without waiting for the device at each step."""

    def __init__(self) -> None:
        self.pending, self.total, self.count = [], 0.0, 0

    def add(self, loss: Tensor) -> Optional[float]:
        """Takes a step's loss; every few steps gives the value of this one."""
        self.pending.append(loss)
        if len(self.pending) < _FETCH_EVERY:
            return None
        return self._fetch()

    def mean(self) -> float:
        """The mean of all losses so far."""
        self._fetch()
        return self.total / max(self.count, 1)

    def _fetch(self) -> float:
        values = [float(x.asnumpy()) for x in self.pending]
        self.total, self.count = self.total + sum(values), self.count + len(values)
        self.pending = []
        return values[-1] if values else 0.0


def metrics_row(epoch: int, loss: float, correlations: Sequence[float], emotions: Sequence[str], *, lr: float,
                seconds: float, clips: int) -> Dict:
    """A line of metrics.jsonl."""
    return {"epoch": epoch, "loss": loss, "val_pearson": float(np.mean(correlations)),
            "val_pearson_by_emotion": dict(zip(emotions, (float(c) for c in correlations))), "lr": lr,
            "seconds": round(seconds, 3), "samples_per_second": round(clips / max(seconds, 1e-9), 1)}


def write_metrics(run: RunFolder, history: Sequence[Dict]) -> None:
    """Writes metrics.jsonl: a line an epoch."""
    write_text(run.metrics, "".join(json_text(row) + "\n" for row in history))
