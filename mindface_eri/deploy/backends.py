# SPDX-License-Identifier: Apache-2.0
"""One call, `run(inputs) -> intensities`, over a checkpoint, a MindIR or an ONNX file. Imports are lazy: the ONNX
backend works where MindSpore is not installed."""

from __future__ import annotations

import os
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import ModelConfig
from mindface_eri.constants import LANDMARKS
from mindface_eri.deploy.check_mindir import check_mindir
from mindface_eri.deploy.check_onnx import read_checked
from mindface_eri.deploy.computing import computing
from mindface_eri.errors import CheckpointError, ConfigError, MissingDependencyError


def input_shapes(model: ModelConfig, batch: Optional[int]) -> List[Tuple[tuple, type]]:
    """Shape and type of each input of a model, in the order of its call."""
    shapes = {"frames": ((batch, model.frames, model.crop_size, model.crop_size, 3), np.uint8),
              "mfcc": ((batch, model.frames, model.mfcc_features), np.float32),
              "landmarks": ((batch, model.frames, *LANDMARKS), np.float32),
              "person": ((batch, 2, 6, model.mfcc_features // model.mfcc_stack), np.float32),
              "present": ((batch, len(model.modalities)), np.float32)}
    for name, width in zip(model.features, model.feature_widths):
        shapes[name] = ((batch, model.frames, width), np.float32)
    return [shapes[name] for name in model.inputs]


class CellBackend:
    """A network of this process, compiled as a graph whatever the process's mode is; `name` is for messages."""

    def __init__(self, network, name: str = "the network") -> None:
        import mindspore as ms
        from mindspore import nn

        from mindface_eri.models.explain import Reader

        self._tensor, self._name = ms.Tensor, name
        # A graph that was read back is one already: only calling it works, in either mode.
        self._compute = network if isinstance(network, nn.GraphCell) else network.compile_and_run
        self._reader = Reader(network) if hasattr(network, "explain") else None

    def run(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Intensities (B, E) for arrays whose first axis is the batch."""
        with computing(self._name, RuntimeError, ValueError, TypeError):
            return self._compute(*(self._tensor(array) for array in inputs)).asnumpy()

    def attention(self, inputs: Sequence[np.ndarray]) -> Optional[tuple]:
        """Intensities with the weights behind them, temporal and spatial (None without a visual branch)."""
        if self._reader is None:
            return None
        with computing(self._name, RuntimeError, ValueError, TypeError):
            found = self._reader.compile_and_run(*(self._tensor(array) for array in inputs))
            return (*(part.asnumpy() for part in found), *[None] * (3 - len(found)))


class MindIRBackend(CellBackend):
    """A graph read back from a MindIR file, once `check_mindir` has passed over it."""

    def __init__(self, path: os.PathLike, device: str = "auto") -> None:
        from mindface_eri.device.context import use_device

        use_device(device)
        check_mindir(path)
        import mindspore as ms
        from mindspore import nn

        try:
            graph = ms.load(str(path))
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be read as MindIR ({str(error).splitlines()[0]}); "
                                  "export the checkpoint again") from None
        super().__init__(nn.GraphCell(graph), str(path))


class OnnxBackend:
    """A session of onnxruntime on the CPU; the very bytes that `check_onnx` has passed over are what it loads."""

    def __init__(self, path: os.PathLike, threads: int = 0) -> None:
        try:
            os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # from 1.32 on it would tell its makers of each machine
            import onnxruntime
        except ImportError:
            raise MissingDependencyError("an .onnx model needs onnxruntime: pip install 'mindface_eri[onnx]'") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # A thread that waits for the next operator would spin: a fifth of the processor's time, for no earlier answer.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.load_model_format", "ONNX")  # not what the bytes claim to be
        content = read_checked(path)
        self._name = str(path)
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class
            raise CheckpointError(f"{path}: cannot be read as ONNX ({str(error).splitlines()[0]}); "
                                  "export the checkpoint again") from None
        self._names = [value.name for value in self._session.get_inputs()]

    def run(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Intensities (B, E) for arrays whose first axis is the batch."""
        with computing(self._name, Exception):  # onnxruntime's errors share no base class
            return self._session.run(None, dict(zip(self._names, inputs)))[0]

    def attention(self, inputs: Sequence[np.ndarray]) -> None:
        """An exported graph gives no more than intensities."""


def open_backend(path: os.PathLike, threads: int = 0, device: str = "auto", runtime: str = "onnxruntime") -> Any:
    """The backend for an exported file, by its ending; an .onnx file is computed by `runtime`.

    Raises:
        ConfigError: an .onnx file and another device than the CPU.
    """
    if str(path).endswith(".onnx"):
        if device not in ("auto", "CPU"):
            raise ConfigError(f"device {device}: {path} runs on the CPU, in {runtime}; name a .mindir file or a run "
                              "folder for another device")
        if runtime == "openvino":
            from mindface_eri.deploy.openvino_backend import OpenVinoBackend

            return OpenVinoBackend(path, threads)
        return OnnxBackend(path, threads)
    return MindIRBackend(path, device)


def run_batches(backend, inputs: Sequence[np.ndarray], batch: Optional[int]) -> np.ndarray:
    """Runs any number of clips through a backend whose graph takes exactly `batch` of them (None: any number).

    The last batch is filled up by repeating its last clip; the filling's answers are dropped.
    """
    if batch is None:
        return backend.run(inputs)
    rows = []
    clips = len(inputs[0])
    for start in range(0, clips, batch):
        chosen = np.minimum(np.arange(start, start + batch), clips - 1)
        rows.append(backend.run([array[chosen] for array in inputs])[:clips - start])
    return np.concatenate(rows)
