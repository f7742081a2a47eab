# SPDX-License-Identifier: Apache-2.0
"""The few parts of PyTorch that `benchmark.torch_twin` is made of, in NumPy: forward only, in evaluation mode.

With it the twin runs where PyTorch is not installed. `make test-parity` holds the same against PyTorch itself.
"""

import copy

import numpy as np

RNG = np.random.default_rng(11)


class Tensor(np.ndarray):
    """An array with the methods that PyTorch names otherwise than NumPy."""

    def transpose(self, one, other):
        return self.swapaxes(one, other)

    def flatten(self, first=0, last=-1):
        last %= self.ndim
        return self.reshape(*self.shape[:first], -1, *self.shape[last + 1:])

    def permute(self, *axes):
        return np.transpose(np.asarray(self), axes).view(Tensor)

    def view(self, *shape):
        return self.reshape(shape) if isinstance(shape[0], int) else super().view(*shape)

    def sum(self, dim):
        return tensor(np.asarray(self).sum(axis=dim))

    def any(self, dim, keepdim=False):
        return tensor(np.asarray(self).any(axis=dim, keepdims=keepdim))

    def float(self):
        return self.astype(np.float32)

    def bool(self):
        return self.astype(bool)


class Parameter(Tensor):
    """What is learned."""

    def __new__(cls, values):
        return np.array(values, np.float32).view(cls)


def tensor(values):
    array = np.asarray(values)
    return (array.astype(np.float32) if array.dtype == np.float64 else array).view(Tensor)


def randn(*shape):
    return tensor(RNG.normal(size=shape))


def rand(*shape):
    return tensor(RNG.uniform(size=shape))


def zeros(*shape):
    return tensor(np.zeros(shape))


def ones(*shape):
    return tensor(np.ones(shape))


def relu(x):
    return tensor(np.maximum(np.asarray(x), 0))


def sigmoid(x):
    return tensor(1 / (1 + np.exp(-np.asarray(x))))


def softmax(x, dim):
    powers = np.exp(np.asarray(x) - np.asarray(x).max(axis=dim, keepdims=True))
    return tensor(powers / powers.sum(axis=dim, keepdims=True))


def cat(parts, dim):
    return tensor(np.concatenate([np.asarray(part) for part in parts], axis=dim))


def multinomial(chances, count, replacement):
    assert replacement
    return tensor(RNG.choice(len(chances), count, p=np.asarray(chances, float)))


class Module:
    """Names of its tensors as PyTorch gives them."""

    def __init__(self):
        self.training, self.hidden = True, set()

    def __call__(self, *inputs):
        return self.forward(*inputs)

    def register_buffer(self, name, value, persistent=True):
        setattr(self, name, value)
        if not persistent:
            self.hidden.add(name)

    def members(self):
        return vars(self).items()

    def modules(self):
        return [self, *(inner for _, child in self.members() if isinstance(child, Module) for inner in child.modules())]

    def state_dict(self, prefix=""):
        found = {}
        for name, value in self.members():
            if isinstance(value, Module):
                found.update(value.state_dict(f"{prefix}{name}."))
            elif isinstance(value, np.ndarray) and name not in self.hidden:
                found[prefix + name] = value
        return found

    def train(self, mode=True):
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        return self.train(False)


class ModuleList(Module):
    def __init__(self, modules=()):
        super().__init__()
        self.listed = list(modules)

    def members(self):
        return [(str(i), module) for i, module in enumerate(self.listed)]

    def __iter__(self):
        return iter(self.listed)

    def append(self, module):
        self.listed.append(module)


class Sequential(ModuleList):
    def __init__(self, *modules):
        super().__init__(modules)

    def forward(self, x):
        for module in self.listed:
            x = module(x)
        return x


class Linear(Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = Parameter(RNG.normal(size=(outputs, inputs)) / inputs ** 0.5)
        self.bias = Parameter(RNG.normal(size=outputs))

    def forward(self, x):
        return tensor(np.asarray(x) @ np.asarray(self.weight).T + np.asarray(self.bias))


class _Norm(Module):
    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = Parameter(RNG.uniform(0.5, 1.5, width)), Parameter(RNG.normal(size=width))

    def normalised(self, x, mean, variance):
        return (x - mean) / np.sqrt(variance + 1e-5)


class LayerNorm(_Norm):
    def forward(self, x):
        x = np.asarray(x)
        centred = self.normalised(x, x.mean(-1, keepdims=True), x.var(-1, keepdims=True))
        return tensor(centred * np.asarray(self.weight) + np.asarray(self.bias))


class BatchNorm2d(_Norm):
    def __init__(self, channels):
        super().__init__(channels)
        self.running_mean, self.running_var = tensor(RNG.normal(size=channels)), tensor(RNG.uniform(0.5, 1.5, channels))
        self.num_batches_tracked = tensor(np.array(7))

    def forward(self, x):
        mean, variance, scale, shift = (np.asarray(v)[:, None, None] for v in (self.running_mean, self.running_var,
                                                                               self.weight, self.bias))
        return tensor(self.normalised(np.asarray(x), mean, variance) * scale + shift)


def _windows(x, kernel, stride, padding, value):
    x = np.pad(np.asarray(x), ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), constant_values=value)
    return np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]


class Conv2d(Module):
    def __init__(self, inputs, outputs, kernel, stride=1, padding=0, bias=True):
        super().__init__()
        assert not bias
        self.size = kernel, stride, padding
        self.weight = Parameter(RNG.normal(size=(outputs, inputs, kernel, kernel)) / (inputs * kernel ** 2) ** 0.5)

    def forward(self, x):
        windows, weight = _windows(x, *self.size, 0), np.asarray(self.weight)
        return tensor(np.einsum("bchwij,ocij->bohw", windows, weight, optimize=True))


class MaxPool2d(Module):
    def __init__(self, kernel, stride, padding):
        super().__init__()
        self.size = kernel, stride, padding

    def forward(self, x):
        return tensor(_windows(x, *self.size, -np.inf).max(axis=(4, 5)))


class Conv1d(Module):
    def __init__(self, inputs, outputs, kernel, dilation=1):
        super().__init__()
        self.kernel_size, self.dilation = (kernel,), (dilation,)
        self.weight = Parameter(RNG.normal(size=(outputs, inputs, kernel)) / (inputs * kernel) ** 0.5)
        self.bias = Parameter(RNG.normal(size=outputs))

    def forward(self, x):
        (kernel,), (dilation,) = self.kernel_size, self.dilation
        length = x.shape[2] - (kernel - 1) * dilation
        taps = [np.asarray(x)[:, :, tap * dilation:tap * dilation + length] for tap in range(kernel)]
        weights = np.moveaxis(np.asarray(self.weight), 2, 0)  # (kernel, out, in)
        return tensor(sum(map(np.matmul, weights, taps)) + np.asarray(self.bias)[:, None])


class Dropout(Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        assert not self.training
        return x


class MultiheadAttention(Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, projection = heads, Linear(width, 3 * width)
        self.in_proj_weight, self.in_proj_bias, self.out_proj = projection.weight, projection.bias, Linear(width, width)

    def forward(self, x):
        projected = np.asarray(x) @ np.asarray(self.in_proj_weight).T + np.asarray(self.in_proj_bias)
        query, key, value = (np.stack(np.split(part, self.heads, axis=-1), axis=1)  # (B, heads, T, D / heads)
                             for part in np.split(projected, 3, axis=-1))
        weights = softmax(query @ key.swapaxes(2, 3) / query.shape[-1] ** 0.5, dim=-1)
        return self.out_proj(np.concatenate(list(np.moveaxis(np.asarray(weights) @ value, 1, 0)), axis=-1))


class TransformerEncoderLayer(Module):
    def __init__(self, width, heads, hidden, dropout, batch_first, norm_first):
        super().__init__()
        assert batch_first
        self.norm_first = norm_first
        self.self_attn, self.dropout = MultiheadAttention(width, heads), Dropout(dropout)
        self.linear1, self.linear2 = Linear(width, hidden), Linear(hidden, width)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)

    def forward(self, x):
        if self.norm_first:
            x = x + self.self_attn(self.norm1(x))
            return x + self.linear2(relu(self.linear1(self.norm2(x))))
        x = self.norm1(x + self.self_attn(x))
        return self.norm2(x + self.linear2(relu(self.linear1(x))))


class TransformerEncoder(Module):
    def __init__(self, layer, depth, norm, enable_nested_tensor):
        super().__init__()
        assert not enable_nested_tensor
        self.norm = norm
        self.layers = ModuleList(copy.deepcopy(layer) for _ in range(depth))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x if self.norm is None else self.norm(x)


class _WeightNorm(Module):
    """What stands for the weight: a magnitude for each output channel, and a direction."""

    def __init__(self, weight):
        super().__init__()
        self.original0, self.original1 = Parameter(RNG.uniform(0.5, 1.5, (len(weight), 1, 1))), weight

    def forward(self):
        direction = np.asarray(self.original1)
        return np.asarray(self.original0) * direction / np.sqrt((direction ** 2).sum(axis=(1, 2), keepdims=True))


class _NormedConv1d(Conv1d):
    def __init__(self, conv):
        Module.__init__(self)
        self.kernel_size, self.dilation, self.bias = conv.kernel_size, conv.dilation, conv.bias
        self.parametrizations = ModuleDict(weight=_WeightNorm(conv.weight))

    @property
    def weight(self):
        return self.parametrizations.held["weight"]()


class ModuleDict(Module):
    def __init__(self, **held):
        super().__init__()
        self.held = held

    def members(self):
        return self.held.items()


class utils:  # noqa: N801 - PyTorch's name
    class parametrizations:  # noqa: N801 - PyTorch's name
        weight_norm = _NormedConv1d


class functional:  # noqa: N801 - PyTorch's name
    @staticmethod
    def pad(x, sides):
        return tensor(np.pad(np.asarray(x), [(0, 0)] * (x.ndim - 1) + [sides]))

    @staticmethod
    def one_hot(places, count):
        return tensor(np.eye(count, dtype=np.int64)[np.asarray(places)])
