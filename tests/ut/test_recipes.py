# SPDX-License-Identifier: Apache-2.0
"""Every recipe parses, and those of the paper say what the paper says."""

from pathlib import Path

import pytest

from mindface_eri.config import Config, load_config
from mindface_eri.models.registry import check, list_models

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(path for path in CONFIGS.glob("*.yaml") if not path.name.startswith("_"))
PAPER = sorted(CONFIGS.glob("eri_paper_*.yaml"))
STAGES = {"visual": "eri_visual", "acoustic": "eri_acoustic", "fusion": "eri_dual_branch"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_parses_into_a_network_that_fits_together(path):
    model = load_config(path).model
    check(model)  # raises where the settings do not fit together
    assert model.name in list_models()


def test_each_stage_has_a_recipe_of_the_paper_and_of_the_demo():
    for family in ("eri_paper", "demo"):
        for stage, network in STAGES.items():
            assert load_config(CONFIGS / f"{family}_{stage}.yaml").model.name == network


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_what_the_paper_says(path):
    config = load_config(path)
    preprocess, model, train = config.preprocess, config.model, config.train
    assert (preprocess.frames, preprocess.face.size, preprocess.face.gap_window) == (32, 112, 12)
    assert preprocess.face.detector == "auto"  # dlib, and MTCNN where dlib finds nothing
    assert (preprocess.audio.coefficients, preprocess.audio.stack, model.mfcc_features) == (128, 8, 1024)
    assert (model.frames, model.crop_size, model.stem_width) == (32, 112, 64)  # stem: 4 * 64 = 256 channels
    assert (model.spatial_depth, model.spatial_heads) == (4, 4)
    assert (len(model.tcn_dilations), model.tcn_kernel, model.width) == (5, 3, 128)
    assert (model.temporal, model.tcn_dilations, model.temporal_depth, model.temporal_heads) == (
        "temma", (1, 2, 4, 8, 16), 4, 4)
    assert model.temporal_settings == (256 / 128, 0.2) and model.p_visual == 0.5
    assert (train.batch_size, train.lr, train.lr_factor, train.lr_patience, train.loss) == (64, 1e-4, 0.5, 10, "mse")
    assert not train.end_to_end
    assert model.emotions == ("Adoration", "Amusement", "Anxiety", "Disgust", "Empathic-Pain", "Fear", "Surprise")


def test_modality_dropout_of_table_2():
    found = {path.stem: load_config(path).model.p_both for path in PAPER if "fusion" in path.stem}
    assert found == {"eri_paper_fusion": 0.9, "eri_paper_fusion_pm1.0": 1.0, "eri_paper_fusion_pm0.8": 0.8}


@pytest.mark.parametrize("stage", STAGES)
def test_the_recipes_of_the_paper_are_the_defaults(stage):
    """So that a run without a recipe is the paper's too; workers differ with the machine."""
    config = load_config(CONFIGS / f"eri_paper_{stage}.yaml", [f"model.name={Config().model.name}", "data.workers=2"])
    assert config == Config()


def test_our_own_choices_are_marked():
    text = (CONFIGS / "_base_paper.yaml").read_text()
    for words, keys in {
            "not in the paper": ("epochs", "dropout", "ffn_ratio", "weight_decay", "sample_rate", "smoothing", "ema",
                                 "clip_norm"),
            "reference 3": ("tcn_dilations", "temporal", "temporal_depth", "temporal_heads", "temporal_ffn_ratio",
                            "temporal_dropout")}.items():
        for key in keys:
            line = next(line for line in text.splitlines() if line.strip().startswith(f"{key}:"))
            assert words in line, line
