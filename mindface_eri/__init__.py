# SPDX-License-Identifier: Apache-2.0
"""Emotional reaction intensity from a face and its voice, in MindSpore.

The public names below are imported when first used, so that `import mindface_eri` costs nothing.
"""

import importlib
import os
import re
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, List

from mindface_eri.version import __version__

if TYPE_CHECKING:  # what `__getattr__` brings, for those who read without running
    from mindface_eri.config import load_config as load_config
    from mindface_eri.config import save_config as save_config
    from mindface_eri.datasets.build.preprocessing import preprocess_dataset as preprocess_dataset
    from mindface_eri.datasets.pipeline import create_dataset as create_dataset
    from mindface_eri.datasets.records import open_records as open_records
    from mindface_eri.datasets.samples import fetch_samples as fetch_samples
    from mindface_eri.deploy.convert import convert_weights as convert_weights
    from mindface_eri.deploy.exporter import export as export
    from mindface_eri.device.context import prepare_device as prepare_device
    from mindface_eri.evaluation.evaluator import evaluate as evaluate
    from mindface_eri.loss import create_loss as create_loss
    from mindface_eri.loss import register_loss as register_loss
    from mindface_eri.metrics.metric import PearsonMetric as PearsonMetric
    from mindface_eri.models.registry import create_model as create_model
    from mindface_eri.models.registry import list_models as list_models
    from mindface_eri.models.registry import register_model as register_model
    from mindface_eri.prediction.predictor import load_predictor as load_predictor
    from mindface_eri.preprocess.clip import extract_clip as extract_clip
    from mindface_eri.preprocess.detectors import register_detector as register_detector
    from mindface_eri.runner.optim import create_optimizer as create_optimizer
    from mindface_eri.runner.trainer import train as train
    from mindface_eri.synthetic.corpus import synthesize as synthesize
    from mindface_eri.version import versions as versions

_PUBLIC = {
    "versions": "version", "load_config": "config", "save_config": "config",
    "extract_clip": "preprocess.clip",
    "preprocess_dataset": "datasets.build.preprocessing", "open_records": "datasets.records",
    "create_dataset": "datasets.pipeline", "synthesize": "synthetic.corpus", "fetch_samples": "datasets.samples",
    "create_model": "models.registry", "list_models": "models.registry",
    "register_model": "models.registry", "create_loss": "loss", "register_loss": "loss",
    "register_detector": "preprocess.detectors",
    "create_optimizer": "runner.optim", "PearsonMetric": "metrics.metric",
    "prepare_device": "device.context", "train": "runner.trainer", "evaluate": "evaluation.evaluator",
    "export": "deploy.exporter", "load_predictor": "prediction.predictor", "convert_weights": "deploy.convert",
}

# What these modules hold works without MindSpore; before any other is imported, its device is made ready.
_WITHOUT_MINDSPORE = ("version", "config", "preprocess.clip", "device.context")

__all__ = ["__version__", *_PUBLIC]


if not TYPE_CHECKING:  # to a type checker, a name that is not above is a mistake
    def __getattr__(name: str):
        if name in _PUBLIC:
            if _PUBLIC[name] not in _WITHOUT_MINDSPORE:
                importlib.import_module("mindface_eri.device.context").prepare_device()
            try:
                return getattr(importlib.import_module(f"mindface_eri.{_PUBLIC[name]}"), name)
            except ModuleNotFoundError as error:
                if error.name == "mindspore":
                    importlib.import_module("mindface_eri.device.hardware").require_mindspore(f"mindface_eri.{name}")
                raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted(__all__)


def _admit_old_mindspore() -> None:
    """Lets MindSpore before 2.8 be imported beside protobuf 4 and newer, which pip installs with it.

    Its message classes are of an older compiler, which these take in their pure Python form only, and that is chosen by
    the environment. This is the one difference between MindSpore's versions that concerns us.
    """
    spec = PathFinder.find_spec("mindspore")  # importlib.metadata takes 25 ms to import, in each process
    for folder in (spec and spec.submodule_search_locations) or ():
        try:
            with open(os.path.join(folder, "version.py"), encoding="utf-8") as file:
                found = re.search(r"__version__ = .(\d+)\.(\d+)", file.read())
        except OSError:
            continue
        if found and tuple(map(int, found.groups())) < (2, 8):
            os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")


_admit_old_mindspore()
