# SPDX-License-Identifier: Apache-2.0
"""Writes golden.npz, the numbers of the networks' PyTorch twin that test_golden.py holds ours to without PyTorch.

    python tests/ut/models/make_golden.py          # compares the file with the twin as it is now
    python tests/ut/models/make_golden.py --write  # writes it anew

Both need PyTorch (extra `bench`).
"""

import datetime
import sys
from pathlib import Path

import numpy as np
import torch
from golden import GOLDEN_CONFIGS, digest, golden_inputs, golden_weight, marked_dropout, numbers
from torch.nn import functional

from mindface_eri.benchmark import torch_twin as twin
from mindface_eri.deploy.convert import _relayout, our_name

GOLDEN = Path(__file__).with_name("golden.npz")


def drop_by_rule(x, p, training=True):
    return x * torch.from_numpy(marked_dropout(tuple(x.shape), p)) if training and p else x


def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False):
    """PyTorch's own definition of scaled dot product attention, with dropout by rule."""
    assert attn_mask is None and not is_causal
    weights = torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, -1)
    return drop_by_rule(weights, dropout_p) @ value


class TransposedDropout(torch.nn.Dropout):
    """The twin's convolutions have time last; the rule is about (B, T, C)."""

    def forward(self, x):
        return drop_by_rule(x.transpose(1, 2), self.p, self.training).transpose(1, 2)


def build(config):
    """The twin with the golden weights, and its parameters' places: our name -> (theirs, elements in our order)."""
    module, places = twin.build_twin(config), {}
    for part in module.modules():
        if isinstance(part, (twin.TemporalEncoder, twin.Level)):
            part.dropout = TransposedDropout(part.dropout.p)
    for name, tensor in module.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            ours = our_name(name)
            places[ours] = name, _relayout(ours, np.arange(tensor.numel()).reshape(tensor.shape))
            values = np.empty(tensor.numel(), np.float32)
            values[places[ours][1].ravel()] = golden_weight(ours, places[ours][1].shape).ravel()
            with torch.no_grad():
                tensor.copy_(torch.from_numpy(values).view(tensor.shape))
    return module, places


def pooling_weights(module, answer):
    """The answer, with the weights of the attention poolings on the way: spatial, temporal."""
    seen, hooks = {}, []
    for name, part in module.named_modules():
        if isinstance(part, twin.AttentionPooling):
            kind = "spatial" if "spatial" in name else "temporal"
            hooks.append(part.register_forward_hook(
                lambda p, x, _, kind=kind: seen.update({kind: torch.softmax(p.score(x[0]), 1)[..., 0]})))
    intensities = answer()
    for hook in hooks:
        hook.remove()
    return {"intensities": intensities, **seen}


def numbers_of_twin(name, config):
    """What golden.npz keeps of a network; keys begin with the name it has there."""
    module, places = build(config)
    inputs = [torch.from_numpy(x).requires_grad_(x.dtype != np.uint8) for x in golden_inputs(config)]
    found = pooling_weights(module.eval(), lambda: module(*inputs))
    if hasattr(module, "features"):
        found["features"] = module.features(*inputs)
    trained = module.train()(*inputs)
    (trained * torch.from_numpy(numbers("projection", trained.shape))).sum().backward()
    gradients = {name: p.grad for name, p in module.named_parameters()}
    state = module.state_dict()
    made = {"trained": trained, "gradients": [], "moved": [],
            "input_gradients": np.concatenate([digest(f"input {i}", x.grad) for i, x in enumerate(inputs)
                                               if x.requires_grad and config.inputs[i] != "present"] or [[]])}
    for ours, (theirs, order) in sorted(places.items()):
        if theirs in gradients:
            made["gradients"].append(digest(ours, gradients[theirs].flatten()[torch.from_numpy(order)]))
        elif "moving" in ours:
            made["moved"].append(digest(ours, state[theirs]))
    made["gradients"], made["moved"] = (np.concatenate(made[key] or [[]]) for key in ("gradients", "moved"))
    return {f"{name} {key}": np.asarray(value.detach() if torch.is_tensor(value) else value, np.float32)
            for key, value in {**found, **made}.items()}


def main():
    torch.nn.Dropout.forward = lambda self, x: drop_by_rule(x, self.p, self.training)
    functional.scaled_dot_product_attention = attention
    found = {}
    for name, config in GOLDEN_CONFIGS.items():
        found.update(numbers_of_twin(name, config))
    if "--write" in sys.argv:
        made = f"{datetime.date.today()} by PyTorch {torch.__version__}"
        np.savez_compressed(GOLDEN, made=np.array(made), **found)
    with np.load(GOLDEN) as kept:
        assert set(kept.files) == {"made", *found}, "the file holds other numbers: --write"
        for key, value in found.items():
            np.testing.assert_allclose(value, kept[key], rtol=0, atol=1e-4 * max(1e-3, np.abs(value).max(initial=0)),
                                       err_msg=key)
        print(f"{GOLDEN.name}, made {kept['made']}, {GOLDEN.stat().st_size} bytes: {len(found)} arrays agree")


if __name__ == "__main__":
    main()
