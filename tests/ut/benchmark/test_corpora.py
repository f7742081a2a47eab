# SPDX-License-Identifier: Apache-2.0
"""Data, route and growth on a corpus of a few clips; the times are not judged."""

import csv
import dataclasses

import pytest

from mindface_eri.benchmark.data import benchmark_data
from mindface_eri.benchmark.growth import TINY, benchmark_growth, subset
from mindface_eri.benchmark.route import STAGES, benchmark_route
from mindface_eri.config import TrainConfig
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.datasets.labels import load_manifest
from mindface_eri.errors import DataError
from mindface_eri.synthetic.corpus import synthesize


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """15 clips of half a second."""
    root = tmp_path_factory.mktemp("corpus")
    synthesize(root, clips=15, duration=(0.5, 0.6), fps=(10, 10), size=(160, 120), progress=False)
    return root


def test_a_smaller_corpus_is_spread_over_the_larger(corpus, tmp_path):
    clips = load_manifest(subset(corpus, tmp_path / "five", 5)).clips
    assert [clip.id for clip in clips] == ["00000", "00003", "00006", "00009", "00012"]
    assert all(clip.video.is_file() for clip in clips)
    with pytest.raises(DataError, match="has 15 clips, need 16"):
        subset(corpus, tmp_path / "many", 16)


@pytest.mark.slow
def test_data_gives_a_row_a_reader(corpus, tmp_path):
    pytest.importorskip("torch")
    preprocess_dataset(corpus, tmp_path / "records", TINY.preprocess, workers=1)
    rows = benchmark_data([tmp_path / "records"], clips=20, batch_size=8, workers=1, repeats=1)
    assert [row.yardstick for row in rows] == ["torch's DataLoader, Pillow", "torch's DataLoader, OpenCV"]
    assert all(row.theirs.median > row.bound.median > 0 for row in rows)


@pytest.mark.slow
def test_both_routes_end_in_a_fused_model(corpus):
    pytest.importorskip("torch")
    config = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, name="eri_dual_branch"),
                                 train=TrainConfig(epochs=1, batch_size=4))
    rows = benchmark_route(corpus, workers=1, config=config)
    assert [row.what for row in rows] == [f"route: {stage}" for stage in (*STAGES, "all stages")]
    assert rows[-1].ours.median == pytest.approx(sum(row.ours.median for row in rows[:-1]))
    assert rows[-1].theirs.median >= sum(row.theirs.median for row in rows[:-1])  # with the start of the script


@pytest.mark.slow
def test_growth_names_each_size(corpus):
    config = dataclasses.replace(TINY, train=TrainConfig(epochs=2, batch_size=4))
    rows = benchmark_growth((15,), corpus, workers=1, config=config)
    assert [row.what for row in rows] == [f"{what}, a clip of 15" for what in ("preprocess", "data, one epoch",
                                                                               "train, one epoch")]
    assert all(row.ours.median > 0 and "MiB" in row.note for row in rows)
    with open(corpus / "data_info.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 16  # what was measured on is left as it was
