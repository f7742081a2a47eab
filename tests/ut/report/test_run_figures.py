# SPDX-License-Identifier: Apache-2.0
"""Which figures of a run are written where, of which clips, and what is said of the rest."""

import json

import numpy as np
import pytest

from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.errors import DataError
from mindface_eri.metrics import Jackknife, pearson
from mindface_eri.report import run_figures
from mindface_eri.report.run_figures import draw_learning_curves, write_run_figures

NAMES = ("Fear", "Joy")
RANDOM = np.random.default_rng(6)
PREDICTIONS, LABELS = RANDOM.random((12, 2)).round(6), RANDOM.random((12, 2)).round(6)
LABELS[4] = np.nan
IDS = [f"c{i}" for i in range(12)]


@pytest.fixture()
def saved(monkeypatch):
    """Figures by their path, not drawn."""
    found = {}

    def save(figure, path, formats=("png", "svg")):
        found[path] = (figure, formats)
        return [path.with_name(f"{path.name}.{form}") for form in formats]

    monkeypatch.setattr(run_figures, "save_figure", save)
    return found


@pytest.fixture()
def run(tmp_path):
    """A run with a test split, one of whose clips has no label, and an epoch."""
    folder = tmp_path / "run"
    folder.mkdir()
    write_predictions(folder / "predictions_test.csv", IDS, NAMES, PREDICTIONS)
    lines = ["File_ID,Fear,Joy"]
    lines += [f"{name}," + ",".join("" if np.isnan(value) else f"{value}" for value in row)
              for name, row in zip(IDS, LABELS)]
    (tmp_path / "l.csv").write_text("\n".join(lines) + "\n")
    (folder / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "loss": 0.1}) + "\n")
    return folder


def test_all_figures_of_a_run(run, saved, tmp_path):
    written, left_out = write_run_figures(run, split="test", labels=tmp_path / "l.csv")
    names = ["learning_curves", "scatter_test", "confusion_test", "counts_test", "pearson_test"]
    assert written == [run / "figures" / f"{name}.{form}" for name in names for form in ("png", "svg")]
    assert left_out == []
    figures = {path.name: figure for path, (figure, _) in saved.items()}
    known = ~np.isnan(LABELS).any(1)
    rho = pearson(PREDICTIONS[known], LABELS[known])
    assert figures["scatter_test"].get_suptitle() == f"run, test: 11 clips, mean ρ = {rho.mean():.4f}"
    assert {figures[name].get_suptitle() for name in names[2:]} == {"run, test: 11 clips"}
    assert figures["learning_curves"].get_suptitle() == ""
    low, high = Jackknife(PREDICTIONS[known], LABELS[known]).interval()
    bars = figures["pearson_test"].axes[0]
    assert [text.get_text() for text in bars.get_yticklabels()] == ["Fear", "Joy", "mean"]
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], [*rho, rho.mean()], atol=1e-5)
    np.testing.assert_allclose([line.get_xdata() for line in bars.lines[:3]], np.stack([low, high], 1), atol=1e-5)
    assert bars.get_xlabel() == "Pearson ρ, 95% interval over 11 clips, taken as independent"
    np.testing.assert_allclose(figures["scatter_test"].axes[1].lines[1].get_xdata(), LABELS[known, 1], atol=1e-6)


def test_a_table_has_its_figures_beside_it(run, saved, tmp_path):
    table = run / "predictions_test.csv"
    written, left_out = write_run_figures(table, labels=tmp_path / "l.csv", formats=("pdf",))
    assert left_out == []
    assert written == [run / "figures" / f"{name}_val.pdf" for name in ("scatter", "confusion", "counts", "pearson")]
    written, _ = write_run_figures(table, tmp_path / "o", labels=tmp_path / "l.csv", formats=("png",))
    assert written[0] == tmp_path / "o" / "scatter_val.png"


def test_what_is_missing_is_said(run, saved, tmp_path):
    (run / "metrics.jsonl").write_text("")
    lines = (tmp_path / "l.csv").read_text().splitlines()
    (tmp_path / "l.csv").write_text("\n".join([lines[0], *(f"{name},," for name in IDS)]))
    written, left_out = write_run_figures(run, split="test", labels=tmp_path / "l.csv")
    assert written == []
    assert left_out == ["learning curves: metrics.jsonl has no line yet; they need one finished epoch",
                        "run: no clip of split test has a label"]
    with pytest.raises(DataError, match="nowhere: no such run folder or table"):
        write_run_figures(tmp_path / "nowhere")


def test_an_emotion_without_a_value_has_no_bar(run, saved, tmp_path):
    lines = ["File_ID,Fear,Joy", *(f"{name},," for name in IDS)]
    lines[1:3] = ["c0,0.5,", "c1,,0.5"]
    (tmp_path / "l.csv").write_text("\n".join(lines))
    written, _ = write_run_figures(run, split="test", labels=tmp_path / "l.csv", formats=("svg",))
    assert [path.name for path in written] == ["learning_curves.svg", "scatter_test.svg", "confusion_test.svg",
                                               "counts_test.svg"]
    assert saved[run / "figures" / "scatter_test"][0].get_suptitle() == "run, test: 2 clips"


def test_learning_curves_lie_in_the_run(run, saved):
    assert draw_learning_curves(run) == run / "learning_curves.png"
    figure, formats = saved[run / "learning_curves"]
    assert formats == ("png",) and figure.axes[0].get_title(loc="left") == "Loss"
