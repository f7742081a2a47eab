# SPDX-License-Identifier: Apache-2.0
"""Tiny networks, and a backend that keeps what it is asked."""

import numpy as np
import pytest
from fixtures.networks import pynative, tiny, toy_graph  # noqa: F401

from mindface_eri.config import AudioConfig, FaceConfig, ModelConfig, PreprocessConfig
from mindface_eri.prediction.predictor import Predictor

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


@pytest.fixture(scope="session")
def flat():
    """The rows of predictions."""
    return lambda predictions: [row for prediction in predictions for row in prediction.rows()]
