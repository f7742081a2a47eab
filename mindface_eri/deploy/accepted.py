# SPDX-License-Identifier: Apache-2.0
"""What the graph of a model file may be made of: arithmetic, and nothing that could bring code or read other files."""

from __future__ import annotations

import math
import os
from typing import FrozenSet, Iterable, Optional, Set

from mindface_eri.errors import CheckpointError
from mindface_eri.plugins import PLUGINS_VARIABLE, import_plugins


def _words(text: str) -> FrozenSet[str]:
    return frozenset(text.split())


# What our own exports hold (a test makes these lists anew, of every network).
OWN_PRIMITIVES = _words("""
    Add BatchMatMul BiasAdd Cast Concat Conv2D Depend Div LayerNorm Load MakeTuple MatMul Maximum Mul Muls ReLU Reshape
    Sigmoid Softmax Split StridedSlice Sub Transpose TupleGetItem UpdateState ZerosLike""")
OWN_OPERATORS = _words("""
    Add Cast Concat Constant Conv Div Gemm Identity MatMul MaxPool Mul Pad Pow ReduceMean Relu Reshape Sigmoid Slice
    Softmax Split Sqrt Sub Transpose""")
# What quantization adds to them.
INT8_OPERATORS = _words("DequantizeLinear DynamicQuantizeLinear MatMulInteger QuantizeLinear")
# What networks of one's own, and other versions of MindSpore, may write instead: arithmetic as well.
_MORE_PRIMITIVES = _words("""
    Abs AddN Adds AvgPool BatchNorm BroadcastTo Conv1D Conv3D CumSum Dense Divs Elu Equal Erf Exp ExpandDims Flatten
    FloorDiv Gather GatherD GeLU Greater GreaterEqual GroupNorm HSigmoid HSwish LeakyReLU Less LessEqual Log LogSoftmax
    LogicalAnd LogicalNot LogicalOr MatMulExt MaxPool MaxPoolExt MaxPoolWithArgmax MeanExt Minimum Mish Neg NotEqual
    OnesLike PReLU Pad PadV3 Pow RealDiv Reciprocal ReduceAll ReduceAny ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReLU6 Rsqrt Select Shape SiLU Slice SliceExt Softplus SoftmaxV2 SplitTensor Sqrt Square Squeeze Stack Subs
    SumExt Swish Tanh TensorShape Tile TransposeExt View""")
_MORE_OPERATORS = _words("""
    Abs And AveragePool BatchNormalization Clip CumSum Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements
    GlobalAveragePool Greater GreaterOrEqual HardSigmoid HardSwish InstanceNormalization LayerNormalization LeakyRelu
    Less LessOrEqual Log LogSoftmax Max Min Mish Neg Not Or PRelu Reciprocal ReduceMax ReduceMin ReduceProd ReduceSum
    Shape Softplus Squeeze Sum Tanh Tile Unsqueeze Where""")
_ALLOWED: Set[str] = set(OWN_PRIMITIVES | OWN_OPERATORS | INT8_OPERATORS | _MORE_PRIMITIVES | _MORE_OPERATORS)


def allow_operators(*names: str) -> None:
    """Accepts further MindSpore primitives, or operators of ONNX's own domain, in model files that this process reads.

    For networks of one's own, in a module that MINDFACE_ERI_PLUGINS names. Name only what computes: `Custom` loads the
    library that the file names.
    """
    _ALLOWED.update(names)


def check_operators(path: os.PathLike, names: Iterable[str], kind: str) -> None:
    """Raises a `CheckpointError` that names the first one that is not allowed; `kind` says what they are."""
    foreign = sorted(set(names) - _ALLOWED)
    if foreign:
        import_plugins()  # which may allow them
        foreign = sorted(set(foreign) - _ALLOWED)
    if foreign:
        more = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
        raise CheckpointError(f"{path}: holds the {kind} {foreign[0]!r}{more}, which none of our networks has "
                              "and which might run code of its own; take a file that `mindface-eri export` wrote, or, "
                              f"for a network of your own, let a module that {PLUGINS_VARIABLE} names call "
                              f"allow_operators({foreign[0]!r})")


def refuse(path: os.PathLike, what: str) -> CheckpointError:
    """What to raise for a graph that holds something else that our exports have not."""
    return CheckpointError(f"{path}: {what}, which no file of ours has; it was not loaded. Take a file that "
                           "`mindface-eri export` wrote")


def check_filled(path: os.PathLike, what: str, shape: Iterable[int], size: Optional[int], held: int) -> None:
    """Raises a `CheckpointError` where `held` bytes are not those of numbers of `size` bytes (None: of a kind that no
    parameter has) in this shape."""
    shape = tuple(shape)
    if size is None or any(length < 0 for length in shape):
        raise refuse(path, f"has a {what} of no known type, or without a shape")
    if held != size * math.prod(shape):
        raise CheckpointError(f"{path}: {what} has {held} bytes of data, its shape {shape} needs "
                              f"{size * math.prod(shape)}; the file is damaged or was changed: export again")
