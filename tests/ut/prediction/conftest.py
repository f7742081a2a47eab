# SPDX-License-Identifier: Apache-2.0
"""Tiny networks, and backends that keep what they are asked."""

import numpy as np
import pytest
from fixtures.networks import pynative, tiny, toy_graph  # noqa: F401

from mindface_eri.config import AudioConfig, FaceConfig, ModelConfig, PreprocessConfig
from mindface_eri.prediction.predictor import Predictor

PREPROCESS = PreprocessConfig(frames=4, face=FaceConfig(size=32, detector="dlib"),
                              audio=AudioConfig(coefficients=6, stack=2))
FAU = {"columns": ["AU01", "AU02", "AU04"], "time_column": "t", "unit": "ms", "method": "linear"}
GAZE = {"columns": ["x"], "time_column": None, "unit": "s", "method": "linear"}
CONFIG = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=8, stack=2))


class Recording:
    """Says the first crop's brightness, and for the second emotion the mean of the MFCCs; 0 for what is not given."""

    def __init__(self, model):
        self.model, self.asked, self.looked = model, [], 0

    def run(self, inputs):
        given = dict(zip(self.model.inputs, inputs))
        self.asked.append(given)
        count = len(inputs[0])
        fear = given["frames"][:, 0, 0, 0, 0] / 255 if "frames" in given else np.zeros(count)
        joy = np.abs(given["mfcc"]).mean((1, 2)) if "mfcc" in given else np.zeros(count)
        return np.stack([fear, joy], 1)

    def attention(self, inputs):
        self.looked += 1


@pytest.fixture()
def record():
    """`record(name, **fields)`: a predictor of Fear and Joy over that backend, `asked`."""

    def make(name="eri_dual_branch", features=None, frames=4, **fields):
        model = ModelConfig(name=name, emotions=("Fear", "Joy"), frames=frames, crop_size=32, mfcc_features=16,
                            **fields, **({} if features is None else {"features": tuple(features)}))
        config = PreprocessConfig(frames=frames, face=CONFIG.face, audio=CONFIG.audio)
        backend = Recording(model)
        predictor = Predictor(backend, model, config, features=features or {})
        predictor.asked, predictor.backend = backend.asked, backend
        return predictor

    return make


@pytest.fixture()
def recording(record):
    """Of both modalities."""
    return record()


class Backend:
    """Keeps what it is given; its answers count up."""

    seen = None

    def run(self, inputs):
        self.seen = inputs
        return np.arange(len(inputs[0]) * 2, dtype="f").reshape(-1, 2) / 16

    attention = run


@pytest.fixture
def made(tiny):  # noqa: F811
    """A predictor of a network of that name, and its backend."""

    def make(name="eri_dual_branch", batch=None, about=None, **more):
        backend, model = Backend(), tiny(name, emotions=("Joy", "Awe"), **more)
        return Predictor(backend, model, PREPROCESS, batch, *([] if about is None else [about])), backend

    return make


@pytest.fixture
def multi(made):
    """A network with two more branches."""
    return made("eri_multi_branch", features=("fau", "gaze"), feature_widths=(3, 1), about={"fau": FAU, "gaze": GAZE})


@pytest.fixture(scope="session")
def flat():
    """The rows of predictions."""
    return lambda predictions: [row for prediction in predictions for row in prediction.rows()]
