# SPDX-License-Identifier: Apache-2.0
"""Networks whose weights and inputs follow from names alone, so that numbers written once hold on any machine."""

import zlib

import numpy as np

from mindface_eri.config import ModelConfig

TINY = {"frames": 6, "crop_size": 34, "mfcc_features": 11, "stem_width": 4, "spatial_depth": 1, "spatial_heads": 2,
        "width": 12, "temporal": "plain", "tcn_kernel": 3, "tcn_dilations": (2, 1), "temporal_depth": 2,
        "temporal_heads": 3, "ffn_ratio": 1.5, "dropout": 0.25, "p_both": 1.0,
        "emotions": ("Amusement", "Anxiety", "Fear")}
# Sides of which a half is even and odd, two kernels; depths, heads, channels and instants all differ.
GOLDEN_CONFIGS = {f"{config.name} temma" if config.temporal == "temma" else config.name: config for config in (
    ModelConfig(name="eri_visual", **{**TINY, "crop_size": 40}),
    ModelConfig(name="eri_acoustic", **{**TINY, "tcn_kernel": 2, "tcn_dilations": (1, 3, 2)}),
    ModelConfig(name="eri_features", **{**TINY, "frames": 5}, features=("fau",), feature_widths=(7,)),
    ModelConfig(name="eri_dual_branch", **TINY),
    ModelConfig(name="eri_multi_branch", **TINY, features=("fau", "egemaps"), feature_widths=(5, 4)),
    ModelConfig(name="eri_acoustic", **{**TINY, "temporal": "temma", "tcn_kernel": 2, "tcn_dilations": (1, 3, 2),
                                        "temporal_dropout": 0.25, "temporal_ffn_ratio": 1.5}))}


def numbers(name, shape):
    """Normal numbers (float32) that depend on the name only: NumPy never changes what a RandomState gives."""
    return np.random.RandomState(zlib.crc32(name.encode())).normal(size=shape).astype(np.float32)


def golden_weight(name, shape):
    """A parameter's values: no two alike, none where a term would vanish, of a size that keeps signals alive."""
    values = numbers(name, shape)
    if name.endswith(("moving_variance", "_std")):
        return 0.5 + np.abs(values)
    if name.endswith("gamma"):
        return 1 + 0.3 * values
    return values * np.float32(0.3 if len(shape) < 2 or name.endswith("position") else np.prod(shape[1:]) ** -0.5)


def golden_inputs(config, clips=4):
    """Arrays for each of `config.inputs`."""
    made = {"frames": (128 + 60 * numbers("frames", (clips, config.frames, config.crop_size, config.crop_size, 3))),
            "landmarks": 100 + 30 * numbers("landmarks", (clips, config.frames, 68, 2)),
            "mfcc": 1 + 2 * numbers("mfcc", (clips, config.frames, config.mfcc_features)),
            "present": np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 0]], np.float32)}
    made["frames"] = np.clip(made["frames"], 0, 255).astype(np.uint8)
    made["present"] = made["present"][:clips, :len(config.modalities)]
    for name, width in zip(config.features, config.feature_widths):
        made[name] = 2 - numbers(name, (clips, config.frames, width))
    return [made[name] for name in config.inputs]


def marked_dropout(shape, p):
    """What dropout multiplies with, by a rule instead of by chance: its place, share and scale show in the numbers."""
    kept = np.arange(np.prod(shape)) * 0.6180339887498949 % 1 >= p
    return (kept.reshape(shape) / (1 - p)).astype(np.float32)


def digest(name, array):
    """At most 12 numbers that a change anywhere in the array changes."""
    array = np.asarray(array, np.float32).ravel()
    return array if array.size <= 12 else numbers(f"digest {name}", (12, array.size)) @ array / array.size ** 0.5
