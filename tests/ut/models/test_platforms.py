# SPDX-License-Identifier: Apache-2.0
"""Every MindSpore operator and Cell of the networks, losses and training step is documented for Ascend, GPU and CPU,
and the stem, the one part with operators of few types, compiles to types that each of them takes."""

import ast
import pathlib
import re

import mindspore
import numpy as np
import pytest
from fixtures.operators import FIRST_ASCEND, NARROW, compiled, lacking, types_in
from mindspore import Tensor, nn, ops

from mindface_eri.models import ResNetStem

WHERE = ("models/*.py", "loss/*.py", "runner/step.py", "runner/optim.py", "runner/reduction.py",
         "device/distribute.py")
# Not operators: containers, wrappers, function transforms, and the types themselves.
NOT_OPERATORS = {"nn.Cell", "nn.Module", "nn.Optimizer", "ops.MultitypeFuncGraph", "ops.HyperMap", "ops.partial"}


def used_names():
    import mindface_eri

    root = pathlib.Path(mindface_eri.__file__).parent
    found = {}
    for pattern in WHERE:
        for path in sorted(root.glob(pattern)):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Attribute):
                    continue
                if isinstance(node.value, ast.Name) and node.value.id in ("nn", "ops"):
                    found.setdefault(f"{node.value.id}.{node.attr}", path.name)
                if node.attr == "mint":
                    found.setdefault("mint", path.name)
    return found


def platforms(documentation):
    """The platforms a docstring lists, or the one it refers to for details; None where neither lists any."""
    referred = re.search(r"Refer to :func:`mindspore\.ops\.(\w+)`", documentation or "")
    if referred:
        documentation = getattr(mindspore.ops, referred.group(1)).__doc__
    match = re.search(r"Supported Platforms:\s*\n\s*(.+)", documentation or "")
    return None if match is None else set(re.findall(r"``(\w+)``", match.group(1))) or {match.group(1).strip()}


@pytest.mark.parametrize("name", sorted(set(used_names()) - NOT_OPERATORS))
def test_operator_is_documented_for_ascend_gpu_and_cpu(name):
    module, _, attribute = name.partition(".")
    listed = platforms(getattr(getattr(mindspore, module), attribute).__doc__)
    assert listed is not None, f"{name} ({used_names()[name]}) does not say where it runs"
    assert {"Ascend", "GPU", "CPU"} <= listed, f"{name} ({used_names()[name]}) runs on {listed}"


def test_the_list_is_not_empty():
    names = used_names()
    assert {"nn.Conv2d", "nn.LayerNorm", "ops.softmax", "ops.BatchMatMul", "nn.Adam", "ops.assign_add",
            "ops.AllReduce"} <= set(names)
    assert "mint" not in names
    assert platforms("Supported Platforms:\n    ``Ascend``\n") == {"Ascend"}


class Gradient(nn.Cell):
    """Forward and backward through a Cell."""

    def __init__(self, cell):
        super().__init__()
        self.gradient = ops.GradOperation(get_all=True)(cell)

    def construct(self, x):
        return self.gradient(x)


def gradient_types(cell, folder):
    return types_in(compiled(Gradient(cell), (Tensor(np.ones((2, 3, 16, 16), np.float32)),), folder))


@pytest.mark.slow
def test_types_of_the_stem_for_each_device(tmp_path, graph_mode):
    """Convolutions of float32 are none of the first Ascend's: it wants O2 or O3, as docs/devices.md says."""
    convolutions = dict.fromkeys(("Conv2D", "Conv2DBackpropInput"), {"Float32"})
    types = gradient_types(ResNetStem(2).set_train(), tmp_path)
    assert types["Maximum"] == {"Float32"}
    assert {device: lacking(types, device) for device in NARROW} == {
        device: convolutions if device == FIRST_ASCEND else {} for device in NARROW}


def test_mindspores_pooling_would_be_found(tmp_path, graph_mode):
    types = gradient_types(nn.MaxPool2d(2, 2), tmp_path)
    assert {"MaxPool", "MaxPoolGrad"} <= set(types)
    assert [set(lacking(types, device)) & {"MaxPool", "MaxPoolGrad"} for device in NARROW] == [
        {"MaxPool", "MaxPoolGrad"}, {"MaxPoolGrad"}, set(), set()]
    assert lacking({"Add": {"BFloat16"}}, "CPU")
