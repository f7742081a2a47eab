# SPDX-License-Identifier: Apache-2.0
"""The yardstick of the whole route: the paper's three stages as one plain PyTorch script, eager, on the CPU.

    python -m mindface_eri.benchmark.torch_route CORPUS OUT RECIPE.yaml WORKERS

Clips are taken apart by the plain script of `literal.py` in a process pool, stored as .npz and read by a DataLoader;
both branches are trained, the best epoch of each is kept and frozen, and the fusion head learns on their features.
The last line printed is a JSON object: the seconds of each stage.
"""

from __future__ import annotations

import copy
import csv
import functools
import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from mindface_eri.benchmark.literal import literal_clip
from mindface_eri.benchmark.torch_twin import AcousticNetwork, FusionHead, VisualNetwork
from mindface_eri.config import Config, load_config

Clips = List[Tuple[str, np.ndarray]]  # id and labels


def read_table(corpus: Path) -> Dict[str, Clips]:
    """Clips of the splits that training looks at; clips without labels are for nobody here but are taken apart too."""
    splits: Dict[str, Clips] = {"Train": [], "Val": [], "Test": []}
    with open(corpus / "data_info.csv", newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            if row[1] in splits:
                splits[row[1]].append((row[0].strip("[]"), np.array([float(v or "nan") for v in row[2:-2]], "f4")))
    return splits


def take_apart(job: Tuple[Path, Path], config: Config) -> None:
    """One clip into one .npz."""
    import cv2

    cv2.setNumThreads(1)
    source, target = job
    clip = literal_clip(source, config.preprocess)
    np.savez(target, frames=clip.frames, mfcc=clip.mfcc)


def preprocess(corpus: Path, store: Path, splits: Dict[str, Clips], config: Config, workers: int) -> None:
    """All clips, `workers` at a time."""
    store.mkdir(parents=True)
    jobs = [(corpus / split.lower() / "mp4" / f"{name}.mp4", store / f"{name}.npz")
            for split, clips in splits.items() for name, _ in clips]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(functools.partial(take_apart, config=config), jobs):
            pass


class Stored(Dataset):
    """One modality of a split, and the labels."""

    def __init__(self, store: Path, clips: Clips, what: str) -> None:
        self.store, self.clips, self.what = store, clips, what

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Tuple[torch.Tensor, torch.Tensor]:
        name, labels = self.clips[index]
        with np.load(self.store / f"{name}.npz") as stored:
            return torch.from_numpy(stored[self.what]), torch.from_numpy(labels)


def pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Mean over emotions of the correlation over all clips."""
    return float(np.mean([np.corrcoef(predictions[:, e], labels[:, e])[0, 1] for e in range(labels.shape[1])]))


def fit(network: nn.Module, train: DataLoader, val: DataLoader, config: Config) -> nn.Module:
    """Trains by Adam and MSE, and leaves the weights of the epoch with the best validation correlation."""
    optimizer = torch.optim.Adam(network.parameters(), lr=config.train.lr)
    best, kept = -np.inf, copy.deepcopy(network.state_dict())
    for _ in range(config.train.epochs):
        network.train()
        for *inputs, labels in train:
            optimizer.zero_grad()
            nn.functional.mse_loss(network(*inputs), labels).backward()
            optimizer.step()
        network.eval()
        with torch.inference_mode():
            answers = [(network(*inputs).numpy(), labels.numpy()) for *inputs, labels in val]
        score = pearson(*(np.concatenate(part) for part in zip(*answers)))
        if score > best:
            best, kept = score, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    return network.eval()


def fit_branch(network: nn.Module, what: str, store: Path, splits: Dict[str, Clips], config: Config, workers: int
               ) -> nn.Module:
    """One branch alone, on what `preprocess` stored."""
    def loader(split: str) -> DataLoader:
        return DataLoader(Stored(store, splits[split], what), config.train.batch_size, shuffle=split == "Train",
                          drop_last=split == "Train", num_workers=workers, persistent_workers=True)

    return fit(network, loader("Train"), loader("Val"), config)


def features_of(branch: nn.Module, what: str, store: Path, clips: Clips, config: Config, workers: int) -> torch.Tensor:
    """(N, T, D) features of a frozen branch."""
    loader = DataLoader(Stored(store, clips, what), config.train.batch_size, num_workers=workers)
    with torch.inference_mode():
        return torch.cat([branch.features(inputs) for inputs, _ in loader]).clone()


def fit_fusion(branches: Dict[str, nn.Module], store: Path, splits: Dict[str, Clips], config: Config, workers: int
               ) -> nn.Module:
    """The fusion head on cached features of both branches."""
    loaders: Dict[str, DataLoader] = {}
    for split in ("Train", "Val"):
        clips = splits[split]
        found = [features_of(branch, what, store, clips, config, workers) for what, branch in branches.items()]
        tensors = TensorDataset(*found, torch.ones(len(clips), 2), torch.from_numpy(np.stack([y for _, y in clips])))
        loaders[split] = DataLoader(tensors, config.train.batch_size, shuffle=split == "Train",
                                    drop_last=split == "Train")
    return fit(FusionHead(config.model), loaders["Train"], loaders["Val"], config)


def main(corpus: Path, out: Path, config: Config, workers: int) -> Dict[str, float]:
    """The whole route; seconds of each stage."""
    splits, store, model = read_table(corpus), out / "clips", config.model
    seconds: Dict[str, float] = {}

    def timed(stage: str, function: Any, *arguments: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments)
        seconds[stage] = time.perf_counter() - start
        return result

    timed("preprocess", preprocess, corpus, store, splits, config, workers)
    visual = timed("visual", fit_branch, VisualNetwork(model), "frames", store, splits, config, workers)
    acoustic = AcousticNetwork(model)
    sound = np.concatenate([np.load(store / f"{name}.npz")["mfcc"] for name, _ in splits["Train"]])
    acoustic.mfcc_mean.copy_(torch.from_numpy(sound.mean(axis=0)))
    acoustic.mfcc_std.copy_(torch.from_numpy(sound.std(axis=0).clip(1e-6)))
    acoustic = timed("acoustic", fit_branch, acoustic, "mfcc", store, splits, config, workers)
    branches = {"frames": visual, "mfcc": acoustic}
    fusion = timed("fusion", fit_fusion, branches, store, splits, config, workers)
    torch.save({name: part.state_dict() for name, part in {**branches, "fusion": fusion}.items()}, out / "model.pt")
    return seconds


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), load_config(sys.argv[3]), int(sys.argv[4]))))
