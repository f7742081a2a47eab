# SPDX-License-Identifier: Apache-2.0
"""What MindSpore's MindIR export leaves to do: names that are the same in each process and on each device."""

from __future__ import annotations

import os
from pathlib import Path

from mindface_eri.files import write_bytes

_GRAPH = "network"  # also begins the names of parameters, behind which comes a colon


def rename(path: os.PathLike) -> None:
    """Rewrites the MindIR in place.

    MindSpore numbers graphs and nodes through all that a process has compiled, joins several names of one value and
    lists primitives in no order, and keeps the place of compilation in its own cache.
    """
    from mindspore.train.mind_ir_pb2 import ModelProto

    model = ModelProto()
    model.ParseFromString(Path(path).read_bytes())
    graph = model.graph
    names = {node.output[0]: str(number) for number, node in enumerate(graph.node)}
    names.update({value.name: _own(value.name) for value in (*graph.input, *graph.parameter)})
    for node in graph.node:
        node.name = names[node.output[0]]
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    for value in (*graph.input, *graph.parameter, *graph.output):
        value.name = names.get(value.name, value.name)
    graph.name = _GRAPH
    for attribute in graph.attribute:
        if attribute.name in ("phase", "compile_phase"):
            attribute.s = b"export"
    primitives = sorted(model.primitives, key=lambda primitive: primitive.name)
    del model.primitives[:]
    model.primitives.extend(primitives)
    write_bytes(path, model.SerializeToString(deterministic=True))


def _own(name: str) -> str:
    """A parameter's name behind this graph's instead of MindSpore's."""
    return f"{_GRAPH}:{name.partition(':')[2] or name}"
