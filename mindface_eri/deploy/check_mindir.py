# SPDX-License-Identifier: Apache-2.0
"""A MindIR read as data, before MindSpore loads it: loading a graph can already run what it names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator

from mindface_eri.deploy.accepted import check_filled, check_operators, refuse
from mindface_eri.errors import CheckpointError

_REFERENCE = "REF::"  # a node's operator is "REF::" and the name of one of the file's primitives
# Bytes of a number of each type, by its name in MindIR, that a parameter may have.
_BYTES = {"FLOAT": 4, "UINT8": 1, "INT8": 1, "INT32": 4, "INT64": 8, "BOOL": 1, "FLOAT16": 2, "BFLOAT16": 2,
          "DOUBLE": 8, "FLOAT64": 8}
# Kinds of attributes; graphs, functions, and names that MindSpore looks up in Python's modules are none of them.
_PLAIN = {"UNDEFINED", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "UINT32", "UINT64", "FLOAT", "FLOAT16",
          "BFLOAT16", "DOUBLE", "STRING", "BOOL", "TENSOR", "TENSORS", "TUPLE", "LIST", "DICT", "NONE", "TYPE_NULL",
          "UMONAD", "IOMONAD"}


def check_mindir(path: os.PathLike) -> None:
    """Passes over a file whose graph is made of known primitives and carries all its weights.

    Raises:
        CheckpointError: it holds another primitive, a graph or function within an attribute, weights in other files,
            or a parameter whose data do not fill its shape; or it is no MindIR.
    """
    from google.protobuf.message import DecodeError
    from mindspore.train.mind_ir_pb2 import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(Path(path).read_bytes())
    except (DecodeError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as MindIR ({error}); export the checkpoint again") from None
    if not model.graph.node:
        raise CheckpointError(f"{path}: cannot be read as MindIR (it has no graph); export the checkpoint again")
    for field in ("functions", "preprocessor", "parallel", "user_info"):
        if any(found.name == field for found, _ in model.ListFields()):
            raise refuse(path, f"has {field}")
    if model.graph.map_parameter or model.graph.bprop_filepath:
        raise refuse(path, "has tables of parameters, or names another graph's file")
    check_operators(path, _primitives(path, model), "primitive")
    for attribute in _attributes(model):
        _check_attribute(path, attribute)
    for parameter in model.graph.parameter:
        _check_tensor(path, parameter, f"parameter {parameter.name!r}")


def _primitives(path: os.PathLike, model: Any) -> Iterator[str]:
    """The operators that a graph and its functions name."""
    known = {primitive.name for primitive in model.primitives}
    yield from (primitive.op_type for primitive in model.primitives)
    for node in model.graph.node:
        name = node.op_type
        if name.startswith(_REFERENCE):
            if name[len(_REFERENCE):] not in known:
                raise refuse(path, f"has a node of {name!r}, a primitive that it does not describe")
        elif name != "Constant":
            yield name
        elif not node.attribute:
            raise refuse(path, "has a constant without a value")


def _attributes(model: Any) -> Iterator[Any]:
    yield from model.graph.attribute
    for primitive in model.primitives:
        yield from primitive.attribute
    for node in model.graph.node:
        for group in (node.attribute, node.node_attr, node.primal_attr):
            yield from group
    for value in (*model.graph.input, *model.graph.output):
        if value.HasField("attr_info"):
            yield value.attr_info


def _check_attribute(path: os.PathLike, attribute: Any) -> None:
    """Refuses an attribute that is more than numbers and names."""
    kind = attribute.AttributeType.Name(attribute.type) if attribute.type in attribute.AttributeType.values() else "?"
    held = {field.name for field, _ in attribute.ListFields()}
    if kind not in _PLAIN or held & {"g", "graphs", "functor", "graph_holder"}:
        raise refuse(path, f"has an attribute {attribute.name!r} of kind {kind}")
    for tensor in (*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])):
        if tensor.HasField("external_data"):
            raise refuse(path, "keeps numbers in another file")
        if tensor.raw_data:  # others only tell a shape
            _check_tensor(path, tensor, f"constant {attribute.name!r}")
    for value in attribute.values:
        _check_attribute(path, value)


def _check_tensor(path: os.PathLike, tensor: Any, what: str) -> None:
    if tensor.HasField("external_data"):
        raise refuse(path, f"keeps {what} in another file ({tensor.external_data.location})")
    check_filled(path, what, tensor.dims, _BYTES.get(_type_name(tensor)), len(tensor.raw_data))
    if tensor.compression_type:
        raise refuse(path, f"keeps {what} compressed")


def _type_name(tensor: Any) -> str:
    return tensor.DataType.Name(tensor.data_type) if tensor.data_type in tensor.DataType.values() else "?"
