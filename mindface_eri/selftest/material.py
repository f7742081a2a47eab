# SPDX-License-Identifier: Apache-2.0
"""A small network, clips for it, and what the CPU makes of both, operator by operator: what a device is held against.

Run as `python -m mindface_eri.selftest.material FOLDER` this file computes it once, for checks in other processes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Dict, List

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import ModelConfig, RuntimeConfig
from mindface_eri.deploy.verify import check_inputs
from mindface_eri.device.context import setup
from mindface_eri.loss import create_loss
from mindface_eri.models import build_network
from mindface_eri.runner.checkpoint import save_checkpoint
from mindface_eri.runner.run_folder import load_trained, note_of

# Every kind of layer of the paper's network, few of each; nothing is drawn, so that numbers can be compared.
SMALL = ModelConfig(frames=4, crop_size=32, mfcc_features=128, stem_width=8, spatial_depth=1, spatial_heads=2, width=16,
                    tcn_dilations=(1, 2), temporal_depth=1, temporal_heads=2, dropout=0.0, temporal_dropout=0.0,
                    p_both=1.0)
CHECKPOINT, REFERENCE = "small.ckpt", "reference.npz"


class Loss(nn.Cell):
    """(inputs..., labels) -> loss of a network's answers."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.loss = network, create_loss("mse")

    def construct(self, *batch):
        return self.loss(self.network(*batch[:-1]), batch[-1])


def inputs_of(model: ModelConfig, clips: int) -> List[np.ndarray]:
    """What the network takes: clips of random crops and ordinary sound, all different."""
    made = check_inputs(model)
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (clips, *made["frames"].shape[1:]), dtype=np.uint8)
    sound = rng.normal(size=(clips, *made["mfcc"].shape[1:])).astype(np.float32)
    return [{"frames": frames, "mfcc": sound, "present": np.ones((clips, 2), np.float32)}[name]
            for name in model.inputs]


def labels_of(model: ModelConfig, clips: int) -> np.ndarray:
    """Intensities (clips, E) in (0, 1)."""
    return np.random.default_rng(2).uniform(0.1, 0.9, (clips, len(model.emotions))).astype(np.float32)


def network_of(folder: Path) -> nn.Cell:
    """The small network with its weights."""
    return load_trained(folder / CHECKPOINT).build()


def answers_of(network: nn.Cell) -> Dict[str, np.ndarray]:
    """Intensities of eight clips, and of a training step the loss and all gradients, one behind the other."""
    inputs = [Tensor(array) for array in inputs_of(SMALL, 8)]
    network.set_train(False)
    found = {"intensities": network(*inputs).asnumpy()}
    network.set_train(True)
    gradient = ms.value_and_grad(Loss(network), None, ms.ParameterTuple(network.trainable_params()))
    loss, gradients = gradient(*inputs, Tensor(labels_of(SMALL, 8)))
    found["loss"] = loss.asnumpy()
    found["gradients"] = np.concatenate([one.asnumpy().ravel() for one in gradients])
    return found


def main(folder: str) -> None:
    """Writes the checkpoint and the reference."""
    setup(RuntimeConfig(device="CPU", mode="pynative"))
    save_checkpoint(Path(folder) / CHECKPOINT, build_network(SMALL), note_of(SMALL))
    np.savez(Path(folder) / REFERENCE, **answers_of(network_of(Path(folder))))


if __name__ == "__main__":
    main(sys.argv[1])
