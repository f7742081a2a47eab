# SPDX-License-Identifier: Apache-2.0
"""The graphs of lower precision, made of an exported .onnx by onnxruntime's own tools."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence

import numpy as np

from mindface_eri.errors import ExportError, MissingDependencyError
from mindface_eri.files import write_bytes

_GRAPH = {"MatMul": True, "Gemm": True, "Conv": False}  # operator -> whether the dynamic kind takes it
_OPSET = 13  # from this version on ONNX can scale each channel of a weight by itself


def write_lowered(kind: str, file: Path, made: Path, calibration: Sequence[np.ndarray]) -> Path:
    """Writes the graph of `file` in a kind of `lowered.RUNTIMES`, which it says in its metadata; returns `made`.

    Args:
        calibration: of int8-static, the inputs for some clips.

    Raises:
        ExportError: onnxruntime cannot make it.
        MissingDependencyError: onnx or onnxruntime is not installed.
    """
    try:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as where a session is opened
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError:
        raise MissingDependencyError("lower precision needs the packages onnx and onnxruntime: "
                                     "pip install 'mindface_eri[onnx]'") from None
    model = onnx.load(str(file))
    notes = {entry.key: entry.value for entry in model.metadata_props}
    try:
        with _without_advice():
            _quantize(kind, model, made, calibration)
    except Exception as error:  # noqa: BLE001 - onnx's and onnxruntime's errors share no base class
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(f"{file.name}: onnxruntime could not make {kind} of it ({said[:300]}); take float32, or "
                          "another kind") from None
    if made.exists():
        model = onnx.load(str(made))
    onnx.helper.set_model_props(model, {**notes, "precision": kind})
    return write_bytes(made, model.SerializeToString())


def _quantize(kind: str, model: Any, made: Path, calibration: Sequence[np.ndarray]) -> None:
    """Writes `made`, unless the graph stays as it is."""
    import onnx
    from onnxruntime import quantization

    # Seven bits of weights: with eight, processors without VNNI overflow where others do not.
    common = {"per_channel": True, "reduce_range": True, "weight_type": quantization.QuantType.QInt8}
    if kind == "int8-dynamic":
        quantization.quantize_dynamic(model, made, op_types_to_quantize=[name for name, too in _GRAPH.items() if too],
                                      **common)
    elif kind == "int8-static":
        quantization.quantize_static(
            onnx.version_converter.convert_version(model, _OPSET), made, _reader(model, calibration),
            quant_format=quantization.QuantFormat.QDQ, op_types_to_quantize=list(_GRAPH),
            activation_type=quantization.QuantType.QUInt8, extra_options={"MatMulConstBOnly": True}, **common)


def _reader(model: Any, calibration: Sequence[np.ndarray]) -> Any:
    """The clips one by one, or by as many as the graph takes, the last call filled up."""
    from onnxruntime.quantization import CalibrationDataReader

    names = [value.name for value in model.graph.input]
    size = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1

    class Reader(CalibrationDataReader):
        """Ends with None."""

        def __init__(self) -> None:
            self._rows = ({name: array[rows] for name, array in zip(names, calibration)}
                          for rows in _calls(len(calibration[0]), size))

        def get_next(self) -> Optional[Dict[str, np.ndarray]]:
            return next(self._rows, None)

    return Reader()


def _calls(clips: int, size: int) -> Iterator[np.ndarray]:
    for start in range(0, clips, size):
        yield np.minimum(np.arange(start, start + size), clips - 1)


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Keeps onnxruntime's advice, to fuse operators into some of its own first, from the root logger."""
    def unasked(record: logging.LogRecord) -> bool:
        return "pre-processing before quantization" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(unasked)
    try:
        yield
    finally:
        root.removeFilter(unasked)
