# SPDX-License-Identifier: Apache-2.0
"""Inference, training steps and the way from a clip to intensities, at toy size; the times are not judged."""

import re

import pytest

from mindface_eri.benchmark.networks import benchmark_infer, forward_multiply_adds
from mindface_eri.benchmark.predict import benchmark_predict
from mindface_eri.benchmark.training import benchmark_train
from mindface_eri.config import AudioConfig, Config, FaceConfig, ModelConfig, PreprocessConfig
from mindface_eri.models.summary import part_costs

TOY = ModelConfig(frames=4, crop_size=32, mfcc_features=128, stem_width=8, spatial_depth=1, spatial_heads=2, width=16,
                  tcn_dilations=(1, 2), temporal_depth=1, temporal_heads=2)


@pytest.mark.slow
def test_rows_carry_ratios(clip):
    pytest.importorskip("torch")
    rows = benchmark_train((("fusion", 4), ("end to end", 2)), model=TOY, repeats=2, threads=1)
    assert [row.what for row in rows] == ["training step, fusion, batch 4", "training step, end to end, batch 2"]
    assert all(100 < float(re.search(r"peak memory ([\d,]+) MiB", row.note)[1].replace(",", "")) < 8000 for row in rows)
    inference = benchmark_infer(TOY, repeats=2, threads=1)
    assert [row.what.split(": ")[1] for row in inference][:2] == ["checkpoint", "mindir"]
    for row in rows + inference:
        assert len(row.ours.samples) == len(row.theirs.samples) == 2
        assert row.share > 0 and row.speedup == row.theirs.median / row.ours.median
    preprocess = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=16))
    whole, = benchmark_predict([clip], repeats=1, threads=1, config=Config(model=TOY, preprocess=preprocess))
    assert whole.what.startswith(f"{clip.name} to intensities") and whole.speedup > 0


def test_multiply_adds_are_those_of_the_part():
    costs = part_costs(TOY)
    visual, acoustic = (forward_multiply_adds(TOY, part) for part in ("visual", "acoustic"))
    head = 4 * 16 + 4 * 16 + 16 * 7  # scores, weighted sum, regression
    assert acoustic == costs["acoustic.temporal"][0] + head
    assert forward_multiply_adds(TOY) == pytest.approx(visual + acoustic - 2 * head + costs["fusion"][0])
    assert forward_multiply_adds(TOY, "fusion") == costs["fusion"][0]
