# SPDX-License-Identifier: Apache-2.0
"""The yardstick of the data pipeline: a map-style `Dataset` over two files a clip, and torch's DataLoader.

Its workers import this file and nothing of the package's own pipeline, let alone MindSpore.
"""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

READERS = {"jpeg": ("Pillow", "OpenCV"), "raw": ("NumPy",)}  # by how the crops are stored


class ClipFiles(Dataset):
    """Clip i is `<i>.jpg`, its crops below each other, or `<i>.npy`; and `<i>.npz` with mfcc, present and labels.

    Args:
        length: clips of an epoch; they repeat after `stored`.
        reader: one of `READERS`.
    """

    def __init__(self, folder: Path, stored: int, length: int, frames: int, reader: str) -> None:
        self._folder, self._stored, self._length = folder, stored, length
        self._frames, self._reader = frames, reader

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Tuple[torch.Tensor, ...]:
        stem = self._folder / str(index % self._stored)
        crops = torch.from_numpy(self._decode(stem))  # (T*S, S, 3) or (T, S, S, 3)
        with np.load(f"{stem}.npz") as stored:
            rest = [torch.from_numpy(stored[name]) for name in ("mfcc", "present", "labels")]
        return (crops.view(self._frames, -1, *crops.shape[-2:]), *rest)

    def _decode(self, stem: Path) -> np.ndarray:
        """(T, S, S, 3) uint8: the crops of a clip."""
        if self._reader == "NumPy":
            return np.load(f"{stem}.npy")
        if self._reader == "Pillow":
            from PIL import Image

            with Image.open(f"{stem}.jpg") as picture:
                return np.array(picture.convert("RGB"))
        import cv2

        cv2.setNumThreads(0)  # the loader's workers are the threads
        return cv2.cvtColor(cv2.imread(f"{stem}.jpg"), cv2.COLOR_BGR2RGB)


def make_loader(clips: ClipFiles, batch_size: int, workers: int) -> DataLoader:
    """Workers live on between epochs; they are spawned, since a fork of a process with MindSpore's threads can hang."""
    return DataLoader(clips, batch_size=batch_size, num_workers=workers, persistent_workers=True,
                      multiprocessing_context="spawn")
