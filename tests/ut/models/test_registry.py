# SPDX-License-Identifier: Apache-2.0
"""What building a network refuses, and where its stem's weights come from."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from golden import GOLDEN_CONFIGS, golden_weight

from mindface_eri.errors import CheckpointError, ConfigError
from mindface_eri.models import (
    AcousticNetwork,
    DualBranchNetwork,
    FeatureNetwork,
    MultiBranchNetwork,
    VisualNetwork,
    build_network,
    create_model,
    load_stem,
)

SMALL = {"frames": 2, "crop_size": 32, "stem_width": 4, "spatial_depth": 1, "width": 4, "temporal_depth": 1,
         "mfcc_features": 3, "temporal": "plain", "tcn_dilations": (1,)}
ONE = {"features": ("fau",), "feature_widths": (3,)}


@pytest.mark.parametrize("name, fields, kind", [
    ("eri_visual", {}, VisualNetwork), ("eri_acoustic", {}, AcousticNetwork), ("eri_features", ONE, FeatureNetwork),
    ("eri_dual_branch", {"p_alone": (0.25, 0.75 + 9e-7)}, DualBranchNetwork),
    ("eri_multi_branch", ONE, MultiBranchNetwork),
    ("eri_multi_branch", {"features": ("a", "b"), "feature_widths": (3, 2), "p_alone": (0.1, 0.2, 0.3, 0.4)},
     MultiBranchNetwork),
    ("eri_visual", {"freeze_stem": True, "recompute_stem": True}, VisualNetwork),
])
def test_names_and_what_fits_together(name, fields, kind):
    network = create_model(name, **SMALL, **fields)
    assert type(network) is kind and network.config.name == name and network.config.width == 4


@pytest.mark.parametrize("name, fields, message", [
    ("resnet", {}, "model 'resnet' is unknown; known: eri_visual, eri_acoustic, eri_features, eri_dual_bra"),
    ("eri_acustic", {}, "model 'eri_acustic' is unknown; did you mean 'eri_acoustic'\\?"),
    ("eri_visual", {"widht": 3}, "model"),
    ("eri_acoustic", {"spatial_heads": 5}, "4 \\* stem_width and spatial_heads: 16 channels .* by 5 heads; choose"),
    ("eri_visual", {"temporal_heads": 3}, "model.width and temporal_heads: 4 channels .* by 3 heads"),
    ("eri_acoustic", {"tcn_dilations": (2, 0, -1)}, "model.tcn_dilations: -1 is below 1"),
    ("eri_acoustic", {"emotions": ("a", "b", "a")}, "model.emotions names one twice: a, b, a"),
    ("eri_acoustic", {"stem_checkpoint": "x.ckpt"}, "model.stem_checkpoint is set, but eri_acoustic has no visual"),
    ("eri_acoustic", {"recompute_stem": True}, "model.recompute_stem is set, but eri_acoustic has no visual"),
    ("eri_features", {"freeze_stem": True, **ONE}, "model.freeze_stem is set, but eri_features .* leave it out"),
    ("eri_features", {"features": ("a", "b"), "feature_widths": (3, 3)}, r"is \['a', 'b'\], but eri_features takes"),
    ("eri_multi_branch", {}, r"model.features is \[\], but eri_multi_branch takes at least one of"),
    ("eri_visual", ONE, r"model.features is \['fau'\], but eri_visual takes none"),
    ("eri_acoustic", ONE, "eri_acoustic takes none"),
    ("eri_features", {"features": ("a",), "feature_widths": (3, 4)}, r"is \[3, 4\], need .* model.features, \['a'\]"),
    ("eri_dual_branch", {"feature_widths": (3,)}, r"feature_widths is \[3\], need one width for each of"),
    ("eri_multi_branch", {"features": ("a", "a"), "feature_widths": (3, 4)}, "the names must differ"),
    ("eri_multi_branch", {"features": ("acoustic",), "feature_widths": (3,)}, "differ from visual, acoustic, land"),
    ("eri_features", {"features": ("present",), "feature_widths": (3,)}, "person and present"),
    ("eri_dual_branch", {"p_alone": (0.5, 0.3, 0.2)}, r"model.p_alone is \[0.5, 0.3, 0.2\], need one chance for each"),
    ("eri_dual_branch", {"p_alone": (0.5, 0.49)}, "each of visual, acoustic, with a sum of 1"),
    ("eri_dual_branch", {"p_alone": (0.5, 0.51)}, "with a sum of 1"),
])
def test_refusals_say_what_and_why(name, fields, message):
    with pytest.raises(ConfigError, match=message):
        create_model(name, **{**SMALL, **fields})


def write_stem(path, *prefixes, width=4, drop=()):
    """A checkpoint with a stem's golden weights behind each prefix, those of the second multiplied by ten."""
    network = create_model("eri_visual", **{**SMALL, "stem_width": width})
    rows = [{"name": f"{prefix}{name}", "data": ms.Tensor(10 ** i * golden_weight(name, p.shape))}
            for i, prefix in enumerate(prefixes) for name, p in network.stem.parameters_and_names() if name not in drop]
    ms.save_checkpoint(rows, str(path))
    return str(path)


def assert_golden(stem):
    for name, parameter in stem.parameters_and_names():
        np.testing.assert_array_equal(parameter.asnumpy(), golden_weight(name, parameter.shape), err_msg=name)


@pytest.mark.parametrize("prefixes", [("stem.",), ("visual.stem.",), ("stem.", "visual.stem.")])
@pytest.mark.parametrize("name", ["eri_visual", "eri_dual_branch"])
def test_stem_checkpoints_of_either_network_fit_either(name, prefixes, tmp_path):
    path = write_stem(tmp_path / "stem.ckpt", *prefixes)
    network = create_model(name, stem_checkpoint=path, **SMALL)
    assert_golden(getattr(network, "visual", network).stem)
    without = create_model(name, **SMALL)
    load_stem(without, path)
    assert_golden(getattr(without, "visual", without).stem)


def test_stem_checkpoint_that_does_not_fit(tmp_path):
    path = write_stem(tmp_path / "short.ckpt", "stem.", drop=("layer2.0.bn1.beta",))
    with pytest.raises(CheckpointError, match=r"short.ckpt: stem.layer2.0.bn1.beta is missing, .* needs \(8,\)"):
        create_model("eri_visual", stem_checkpoint=path, **SMALL)
    path = write_stem(tmp_path / "wide.ckpt", "stem.", width=8)
    with pytest.raises(CheckpointError, match=r"stem.conv1.weight has shape \(8, 3, 7, 7\), the network needs "
                                              r"\(4, 3, 7, 7\); check model.stem_width"):
        create_model("eri_visual", stem_checkpoint=path, **SMALL)


def test_stem_checkpoint_is_read_only_where_wanted(tmp_path):
    config = dataclasses.replace(GOLDEN_CONFIGS["eri_visual"], stem_checkpoint=str(tmp_path / "gone.ckpt"))
    with pytest.raises(CheckpointError, match=r"gone.ckpt: cannot be read as a MindSpore checkpoint \(.+\); convert"):
        build_network(config)
    assert build_network(config, read_stem=False).config is config
