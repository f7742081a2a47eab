# SPDX-License-Identifier: Apache-2.0
"""The model that comes with the package, and answers where none is named: smiles, from landmarks alone.

Its card, `pretrained/smile/MODEL_CARD.md`, says of whose faces it was made and what it cannot say.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mindface_eri.errors import CheckpointError, MissingDependencyError

NOTE = ("No model was named: this is the one that comes with mindface_eri, which estimates from landmarks alone how "
        "strongly a face comes to smile; it is often wrong where people speak. The seven intensities need a model "
        "trained on Hume-Reaction.")
_FOLDER = Path(__file__).parents[1] / "pretrained" / "smile"


def default_model(device: str = "auto") -> Path:
    """The file of the package's own model: ONNX on a processor where onnxruntime is installed, else MindIR.

    Raises:
        CheckpointError: this installation lacks it.
        MissingDependencyError: neither onnxruntime nor MindSpore is installed.
    """
    light = device in ("auto", "CPU") and importlib.util.find_spec("onnxruntime") is not None
    if not light and importlib.util.find_spec("mindspore") is None:
        raise MissingDependencyError("predicting needs onnxruntime or MindSpore: pip install 'mindface_eri[onnx]'")
    path = _FOLDER / f"eri_statistics.{'onnx' if light else 'mindir'}"
    if not path.is_file():
        raise CheckpointError(f"{path}: this installation lacks the model that comes with the package; install it "
                              "again, or name a model (--model)")
    return path
