# SPDX-License-Identifier: Apache-2.0
"""An ONNX file read as data, before onnxruntime loads it. Needs protobuf only, which onnxruntime brings."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, Iterator, Tuple

from mindface_eri.deploy.accepted import check_filled, check_operators, refuse
from mindface_eri.errors import CheckpointError, MissingDependencyError

_DOMAINS = ("", "ai.onnx")  # both are ONNX's own
# Of each type of numbers that a parameter may have: bytes of one, and the field that holds them where it is not bytes.
_TYPES = {1: (4, "float_data"), 2: (1, "int32_data"), 3: (1, "int32_data"), 6: (4, "int32_data"), 7: (8, "int64_data"),
          9: (1, "int32_data"), 10: (2, "int32_data"), 11: (8, "double_data")}
# onnx.proto as far as it is looked at: message -> field: number and type. The package onnx need not be installed.
_SCHEMA = {
    "Tensor": {"dims": (1, "int64*"), "data_type": (2, "int32"), "float_data": (4, "float*"),
               "int32_data": (5, "int32*"), "int64_data": (7, "int64*"), "name": (8, "bytes"), "raw_data": (9, "bytes"),
               "double_data": (10, "double*"), "external_data": (13, "bytes*"), "data_location": (14, "int32")},
    "Attribute": {"name": (1, "bytes"), "t": (5, "Tensor"), "g": (6, "bytes"), "tensors": (10, "Tensor*"),
                  "graphs": (11, "bytes*"), "sparse_tensor": (22, "bytes"), "sparse_tensors": (23, "bytes*")},
    "Node": {"op_type": (4, "bytes"), "attribute": (5, "Attribute*"), "domain": (7, "bytes")},
    "Graph": {"node": (1, "Node*"), "initializer": (5, "Tensor*"), "sparse_initializer": (15, "bytes*")},
    "Opset": {"domain": (1, "bytes"), "version": (2, "int64")},
    "Model": {"graph": (7, "Graph"), "opset_import": (8, "Opset*"), "training_info": (20, "bytes*"),
              "functions": (25, "bytes*")},
}


def read_checked(path: os.PathLike) -> bytes:
    """The content of a file that `check_onnx` passes over.

    Raises:
        CheckpointError: as there, or it cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read as ONNX ({error.strerror})") from None
    check_onnx(path, content)
    return content


def check_onnx(path: os.PathLike, content: bytes) -> None:
    """Passes over a file whose graph is made of known operators of ONNX's own domain and carries all its weights.

    Args:
        path: where the content comes from, for messages.

    Raises:
        CheckpointError: it holds another operator or domain, functions, graphs within a node, weights in other files,
            or a parameter whose data do not fill its shape; or it is no ONNX.
        MissingDependencyError: protobuf is not installed.
    """
    model_class, decode_error = _model_class()
    model = model_class()
    try:
        model.ParseFromString(content)
    except decode_error as error:
        raise CheckpointError(f"{path}: cannot be read as ONNX ({error}); export the checkpoint again") from None
    if not model.graph.node:
        raise CheckpointError(f"{path}: cannot be read as ONNX (it has no graph); export the checkpoint again")
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise refuse(path, "has functions, instructions for training or sparse parameters")
    for domain in {_text(found.domain) for found in (*model.opset_import, *model.graph.node)} - set(_DOMAINS):
        raise refuse(path, f"takes operators of the domain {domain!r}")
    check_operators(path, {_text(node.op_type) for node in model.graph.node}, "operator")
    for what, tensor in _tensors(path, model.graph):
        _check_tensor(path, what, tensor)


def _tensors(path: os.PathLike, graph: Any) -> Iterator[Tuple[str, Any]]:
    for tensor in graph.initializer:
        yield f"parameter {_text(tensor.name)!r}", tensor
    for node in graph.node:
        for attribute in node.attribute:
            held = {field.name for field, _ in attribute.ListFields()}
            if held & {"g", "graphs", "sparse_tensor", "sparse_tensors"}:
                raise refuse(path, f"has a graph, or sparse numbers, within {_text(node.op_type)!r}")
            for tensor in (*attribute.tensors, *([attribute.t] if "t" in held else [])):
                yield f"constant of {_text(node.op_type)!r}", tensor


def _check_tensor(path: os.PathLike, what: str, tensor: Any) -> None:
    if tensor.external_data or tensor.data_location:
        raise refuse(path, f"keeps {what} in another file")
    size, field = _TYPES.get(tensor.data_type, (None, ""))
    held = len(tensor.raw_data) or (len(getattr(tensor, field)) * size if size else 0)
    check_filled(path, what, tensor.dims, size, held)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


@functools.lru_cache(maxsize=1)
def _model_class() -> Tuple[Any, Any]:
    """The class that reads a model, and the error that it raises."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
    except ImportError:
        raise MissingDependencyError("looking into an .onnx model needs protobuf, which comes with onnxruntime: "
                                     "pip install 'mindface_eri[onnx]'") from None
    file = descriptor_pb2.FileDescriptorProto(name="mindface_eri/onnx.proto", package="eri_onnx", syntax="proto2")
    for name, fields in _SCHEMA.items():
        described = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            plain = kind.rstrip("*")
            added = described.field.add(name=field, number=number, label=3 if kind.endswith("*") else 1)
            if plain in _SCHEMA:
                added.type, added.type_name = added.TYPE_MESSAGE, f".eri_onnx.{plain}"
            else:
                added.type = getattr(added, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    described = pool.FindMessageTypeByName("eri_onnx.Model")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(described), message.DecodeError
    return message_factory.MessageFactory(pool).GetPrototype(described), message.DecodeError  # protobuf before 4.22
