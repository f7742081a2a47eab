# SPDX-License-Identifier: Apache-2.0
"""The table of costs: numbers worked out by hand, and sums."""

import pytest

from mindface_eri.config import ModelConfig
from mindface_eri.models import create_model
from mindface_eri.models.summary import summarize


def test_paper():
    headers, rows = summarize(ModelConfig(), batch_sizes=(1, 64))
    table = {row[0]: row for row in rows}
    assert headers[0] == "part" and len(headers) == 5
    assert list(table) == ["visual.stem", "visual.spatial", "visual.temporal", "acoustic.temporal", "fusion", "total"]
    assert table["visual.stem"][1] == 2_782_784
    assert table["total"][1] == sum(p.size for p in create_model("eri_dual_branch").trainable_params())
    # conv1 56*56*64*147; layer1 4 * 28*28*64*576; layer2 and layer3 the same bar the halved first input, plus shortcuts
    layer1 = 4 * 28 * 28 * 64 * 576
    layer2 = 14 * 14 * 128 * (576 + 3 * 1152 + 64)
    layer3 = 7 * 7 * 256 * (1152 + 3 * 2304 + 128)
    assert table["visual.stem"][2] == pytest.approx(32 * (56 * 56 * 64 * 147 + layer1 + layer2 + layer3) / 1e6)
    tcn = 32 * 128 * (1024 + 3 * (1024 + 9 * 128))  # ten convolutions and the way around the first two
    block = 32 * 128 * 128 * 4 + 2 * 32 * 32 * 128 + 2 * 32 * 128 * 256
    assert table["acoustic.temporal"][2] == pytest.approx((tcn + 4 * block) / 1e6)
    assert table["total"][4] == pytest.approx(64 * table["total"][3])


def test_single_branch():
    _, rows = summarize(ModelConfig(name="eri_acoustic"), batch_sizes=(2,))
    assert [row[0] for row in rows] == ["temporal", "head", "total"]
    assert rows[1][1] == 128 + 1 + 7 * 128 + 7


def test_branches_of_other_features():
    config = ModelConfig(name="eri_multi_branch", features=("fau", "egemaps"), feature_widths=(17, 88))
    rows = {row[0]: row for row in summarize(config, batch_sizes=(1,))[1]}
    assert list(rows)[3:] == ["acoustic.temporal", "feature_branches.0.temporal", "feature_branches.1.temporal",
                              "fusion", "total"]
    network = create_model("eri_multi_branch", features=config.features, feature_widths=config.feature_widths)
    assert rows["total"][1] == sum(p.size for p in network.trainable_params())
    assert rows["feature_branches.1.temporal"][1] - rows["feature_branches.0.temporal"][1] == (3 + 1) * (88 - 17) * 128
    _, rows = summarize(ModelConfig(name="eri_features", features=("fau",), feature_widths=(17,)), batch_sizes=(1,))
    assert [row[0] for row in rows] == ["temporal", "head", "total"]
