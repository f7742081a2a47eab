# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the processor, in the precision that is asked for.

Only for files that were compared with float32 in it: OpenVINO rewrites what looks like something that it has a kernel
for, and so takes the turning of landmarks into a face's own axes for rotary position embedding, with wrong numbers.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Sequence

import numpy as np

from mindface_eri.deploy.check_onnx import read_checked
from mindface_eri.deploy.computing import computing
from mindface_eri.device.context import without_isa_limit
from mindface_eri.errors import CheckpointError, ConfigError, MissingDependencyError

_WITH_BF16 = ("BF16", "FP16", "AMX", "AVX10", "ALL", "DEFAULT")  # in a value of ONEDNN_MAX_CPU_ISA that allows it


class OpenVinoBackend:
    """A compiled graph; the very bytes that `check_onnx` has passed over are what it loads.

    Args:
        threads: 0 is as many as OpenVINO finds right.
        precision: "bf16" or "f32".

    Raises:
        ConfigError: this processor does not compute in that precision.
        MissingDependencyError: OpenVINO is not installed.
    """

    def __init__(self, path: os.PathLike, threads: int = 0, precision: str = "bf16") -> None:
        openvino = import_openvino(path)
        content = read_checked(path)
        self._name = str(path)
        with without_isa_limit():  # its oneDNN, which reads it once, would obey what is meant for MindSpore's
            self._compiled = _compile(openvino, self._name, content, threads, precision)
        if self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != precision:
            raise ConfigError(f"{path}: OpenVINO does not compute it in {precision} on this processor; take the "
                              "float32 file")

    def run(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Intensities (B, E) for arrays whose first axis is the batch."""
        with computing(self._name, RuntimeError):
            return self._compiled.infer_new_request(list(inputs))[0]  # a new request: threads may ask at once

    def attention(self, inputs: Sequence[np.ndarray]) -> None:
        """An exported graph gives no more than intensities."""


def import_openvino(path: os.PathLike) -> Any:
    """OpenVINO without its reporter: importing it would tell its makers, by Google Analytics, of each machine."""
    reporter = "openvino_telemetry"
    known = reporter in sys.modules or "openvino" in sys.modules
    if not known:
        sys.modules[reporter] = None  # type: ignore[assignment] # not there: it then takes a stand-in of its own
    try:
        import openvino
    except ImportError:
        raise MissingDependencyError(f"{path} is computed by OpenVINO: pip install 'mindface_eri[openvino]'") from None
    finally:
        if not known:
            del sys.modules[reporter]
    return openvino


def _compile(openvino: Any, name: str, content: bytes, threads: int, precision: str) -> Any:
    """The graph as OpenVINO's, for the processor."""
    core = openvino.Core()
    if precision == "bf16":
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ConfigError(f"{name}: is for processors with bfloat16 (AVX512-BF16 or AMX), which this one has not; "
                              "take the float32 file, or an int8 one")
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL")
        if limit and not any(word in limit.upper() for word in _WITH_BF16):
            raise ConfigError(f"{name}: computes in bfloat16, which ONEDNN_MAX_CPU_ISA={limit} rules out; unset it")
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY",
                **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
    try:
        return core.compile_model(core.read_model(content), "CPU", settings)
    except RuntimeError as error:  # of many lines, of which the last says why
        said = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
        raise CheckpointError(f"{name}: OpenVINO cannot compute it ({said[:300]}); take the float32 file") from None
