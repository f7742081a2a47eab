# SPDX-License-Identifier: Apache-2.0
"""A served predictor whose clips this process takes apart, and small clips to send."""

import contextlib
import importlib.util
import io
import wave

import numpy as np
import pytest
from fixtures.waiting import until

from mindface_eri.config import AudioConfig, FaceConfig, ModelConfig, PreprocessConfig
from mindface_eri.prediction.predictor import Predictor

MODEL = ModelConfig(name="eri_dual_branch", emotions=("Fear", "Joy"), frames=4, crop_size=32, mfcc_features=16)
PREPROCESS = PreprocessConfig(frames=4, face=FaceConfig(size=32, detector="dlib"),
                              audio=AudioConfig(coefficients=8, stack=2))


class Backend:
    """Says the MFCCs' mean and deviation."""

    broken = ""

    def run(self, inputs):
        if self.broken:
            raise RuntimeError(self.broken)
        mfcc = dict(zip(MODEL.inputs, inputs))["mfcc"]
        return np.stack([np.abs(mfcc).mean((1, 2)), mfcc.std((1, 2))], 1) / 1000

    def attention(self, inputs):
        return None


def _unheld(settings):
    """Without a limit of memory: a thread may outlive its test, and would hold this process to it ever after."""
    return settings._replace(bounds=settings.bounds._replace(gigabytes=-1e-9))  # -1 byte is no limit


class Pool:
    """In the place of worker processes: `reply`, once `go` lets it, or what a worker would do."""

    def __init__(self, workers, target, settings, limit):
        self.settings, self.limit, self.reply, self.tasks, self.closed = settings, limit, None, [], False
        self.go = lambda: None
        self.live = target.endswith("run_window")

    def __call__(self, task):
        from mindface_eri.serve import decoding, window

        if task is not None:
            self.tasks.append(task)
            self.go()
        if self.reply is not None and task is not None:
            return self.reply
        return (window.run_window if self.live else decoding.run_task)(_unheld(self.settings), task)

    def close(self):
        self.closed = True


@pytest.fixture
def predictor():
    return Predictor(Backend(), MODEL, PREPROCESS)


@pytest.fixture
def serve(predictor, monkeypatch, tmp_path):
    """`serve(**settings)`: a client of a server that is ready, within `with`; it has `engine` and `pool`."""
    pytest.importorskip("starlette", reason="the extra `serve` is not installed")
    if not any(map(importlib.util.find_spec, ("httpx2", "httpx"))):  # the second is for older ones
        pytest.skip("Starlette's test client needs httpx2")
    from starlette.testclient import TestClient

    from mindface_eri.serve import app, decoding, engine, live, settings, window

    for module in (decoding, window):
        monkeypatch.setattr(module, "make_ready", lambda: None)
        monkeypatch.setattr(module, "give_back", lambda: None)  # takes its time in a process with much else in it
    for module in (engine, live):
        monkeypatch.setattr(module, "WorkerPool", Pool)
    monkeypatch.setattr(settings, "cores", lambda: 1)
    (tmp_path / "model.onnx").write_bytes(b"weights")

    @contextlib.contextmanager
    def make(patience=5.0, host="http://localhost:8000", **given):
        served = engine.Engine(predictor, tmp_path / "model.onnx", settings.Settings(**given))
        told = []
        made = app.create_app(served, patience=patience, ready=told.append)
        with TestClient(made, base_url=host,
                        raise_server_exceptions=False) as client:
            client.engine, client.pool, client.cameras = served, served._pool, client.app.state.cameras
            until(lambda: told)
            assert told == [served.trouble]
            yield client

    return make


@pytest.fixture
def sound():
    """`sound(seconds)`: a WAV file's bytes, of noise."""
    def make(seconds=1.0, seed=0):
        samples = np.random.default_rng(seed).normal(scale=3000, size=round(8000 * seconds)).astype("<i2")
        file = io.BytesIO()
        with wave.open(file, "wb") as written:
            written.setnchannels(1)
            written.setsampwidth(2)
            written.setframerate(8000)
            written.writeframes(samples.tobytes())
        return file.getvalue()

    return make
