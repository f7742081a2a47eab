# SPDX-License-Identifier: Apache-2.0
"""What MindSpore's ONNX export leaves to do: a dynamic batch, names for people, padding inside the pooling.

MindSpore refuses dynamic shapes for ONNX. Our networks never name the batch in a reshape, so that a graph traced
with one batch size holds for all once the slices and the declared shapes stop naming it.
"""

from __future__ import annotations

import os
from typing import Dict, Mapping, Optional

import numpy as np

from mindface_eri.errors import ExportError, MissingDependencyError
from mindface_eri.files import write_bytes


def traced_batch(frames: int) -> int:
    """A batch size to trace with: one that no slice of the network over time could be mistaken for."""
    return 97 if frames != 97 else 101


def polish(path: os.PathLike, *, dynamic: Optional[int], output: str, notes: Optional[Mapping[str, str]] = None
           ) -> None:
    """Rewrites the ONNX file in place.

    Args:
        dynamic: the batch size that the graph was traced with and that becomes symbolic ("batch"); None keeps it.
        output: name for the graph's one output.
        notes: stored as the model's metadata.

    Raises:
        MissingDependencyError: the package onnx is not installed.
        ExportError: the graph names the batch where it cannot be taken out.
    """
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError("exporting ONNX needs the packages onnx and onnxruntime: "
                                     "pip install 'mindface_eri[onnx]'") from None
    model = onnx.load(str(path))
    _name_output(model.graph, output)
    _pool_with_padding(model.graph)
    if dynamic is not None:
        _free_slices(model.graph, dynamic)
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
        del model.graph.value_info[:]
    _drop_unused(model.graph)
    onnx.helper.set_model_props(model, dict(notes or {}))
    onnx.checker.check_model(model)
    write_bytes(path, model.SerializeToString())


def _constants(graph) -> Dict[str, np.ndarray]:
    from onnx import numpy_helper

    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _name_output(graph, name: str) -> None:
    if len(graph.output) != 1:
        raise ExportError(f"the ONNX graph has {len(graph.output)} outputs, expected one")
    old, graph.output[0].name = graph.output[0].name, name
    for node in graph.node:
        for field in (node.input, node.output):
            for i, value in enumerate(field):
                if value == old:
                    field[i] = name


def _pool_with_padding(graph) -> None:
    """Pad(zeros) before MaxPool becomes MaxPool's own padding: the pooled values follow a ReLU, so both agree."""
    constants = _constants(graph)
    producers = {output: node for node in graph.node for output in node.output}
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        pad = producers.get(pool.input[0])
        if pad is None or pad.op_type != "Pad" or producers.get(pad.input[0]).op_type != "Relu":
            continue
        pads = constants[pad.input[1]].tolist()  # before each axis, then after each axis
        attributes = {attribute.name: attribute for attribute in pool.attribute}
        for name in ("auto_pad", "pads"):
            if name in attributes:
                pool.attribute.remove(attributes[name])
        added = pool.attribute.add()
        added.name, added.type = "pads", 7  # AttributeProto.INTS
        added.ints.extend([*pads[2:4], *pads[6:8]])
        pool.input[0] = pad.input[0]
        graph.node.remove(pad)


def _free_slices(graph, batch: int) -> None:
    """Takes the first axis out of each slice that keeps all of it."""
    from onnx import numpy_helper

    constants = _constants(graph)
    for index, node in enumerate(graph.node):
        if node.op_type != "Slice":
            continue
        starts, ends = constants[node.input[1]], constants[node.input[2]]
        axes = constants[node.input[3]] if len(node.input) > 3 and node.input[3] else np.arange(len(starts))
        steps = constants[node.input[4]] if len(node.input) > 4 else np.ones_like(starts)
        kept = ~((starts == 0) & (ends == batch) & (steps == 1))
        for position, values in enumerate((starts, ends, axes, steps), start=1):
            name = f"slice_{index}_{position}"
            graph.initializer.append(numpy_helper.from_array(values[kept].astype(np.int64), name))
            if position < len(node.input):
                node.input[position] = name
            else:
                node.input.append(name)


def _drop_unused(graph) -> None:
    """Initializers and constants that no node reads any more; onnxruntime warns about each."""
    read = {name for node in graph.node for name in node.input}
    for unused in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(unused)
    for unused in [node for node in graph.node if node.op_type == "Constant" and node.output[0] not in read]:
        graph.node.remove(unused)
