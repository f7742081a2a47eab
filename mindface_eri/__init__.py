# SPDX-License-Identifier: Apache-2.0
"""Emotional reaction intensity from a face and its voice, in MindSpore.

The public names below are imported when first used, so that `import mindface_eri` costs nothing.
"""

import importlib
import os
from importlib import metadata

from mindface_eri.version import __version__

_PUBLIC = {
    "versions": "version", "load_config": "config", "save_config": "config",
    "extract_clip": "preprocess.clip",
    "preprocess_dataset": "datasets.build.preprocessing", "open_records": "datasets.records",
    "create_dataset": "datasets.pipeline", "synthesize": "synthetic.corpus", "fetch_samples": "datasets.samples",
    "create_model": "models.registry", "list_models": "models.registry",
    "create_loss": "loss", "register_loss": "loss", "register_detector": "preprocess.detectors",
    "create_optimizer": "runner.optim", "PearsonMetric": "metrics.metric",
    "prepare_device": "device.context", "train": "runner.trainer", "evaluate": "evaluation.evaluator",
    "export": "deploy.exporter", "load_predictor": "prediction.predictor", "convert_weights": "deploy.convert",
}

# What these modules hold works without MindSpore; before any other is imported, its device is made ready.
_WITHOUT_MINDSPORE = ("version", "config", "preprocess.clip", "device.context")

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name in _PUBLIC:
        if _PUBLIC[name] not in _WITHOUT_MINDSPORE:
            importlib.import_module("mindface_eri.device.context").prepare_device()
        return getattr(importlib.import_module(f"mindface_eri.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)


def _admit_old_mindspore() -> None:
    """Lets MindSpore before 2.8 be imported beside protobuf 4 and newer, which pip installs with it.

    Its message classes are of an older compiler, which these take in their pure Python form only, and that is chosen by
    the environment. This is the one difference between MindSpore's versions that concerns us.
    """
    try:
        version = metadata.version("mindspore")
    except metadata.PackageNotFoundError:
        return
    if tuple(map(int, version.split(".")[:2])) < (2, 8):
        os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")


_admit_old_mindspore()
