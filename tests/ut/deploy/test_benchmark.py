"""The benchmark's rows, at toy size; the times themselves are not judged."""

import pytest

from mindface_eri.config import ModelConfig
from mindface_eri.deploy.benchmark import benchmark_infer, benchmark_train

TOY = ModelConfig(frames=4, crop_size=32, mfcc_features=128, stem_width=8, spatial_depth=1, spatial_heads=2, width=16,
                  tcn_dilations=(1, 2), temporal_depth=1, temporal_heads=2)


@pytest.mark.slow
def test_rows_carry_ratios():
    pytest.importorskip("torch")
    headers, rows = benchmark_train((("acoustic", 4), ("fusion", 4)), model=TOY, repeats=2, threads=1)
    assert [row[:2] for row in rows] == [["training step, acoustic", 4], ["training step, fusion", 4]]
    _, inference = benchmark_infer(TOY, repeats=2, threads=1)
    assert [row[0].split(": ")[1] for row in inference][:2] == ["checkpoint", "mindir"]
    for row in rows + inference:
        assert len(row) == len(headers) and row[2] > 0 and row[4] == pytest.approx(row[2] / row[3])
