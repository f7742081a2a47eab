# SPDX-License-Identifier: Apache-2.0
"""Runs compared by the jackknife, and reading runs back."""

import dataclasses
import json
from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from mindface_eri.cli import main
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.errors import DataError
from mindface_eri.evaluation.compare import compare
from mindface_eri.evaluation.runs import Scored, read_history, read_scored
from mindface_eri.report.run_figures import write_run_figures

IDS = tuple(f"c{i}" for i in range(80))


def run(name, noise, *, seed=0, ids=IDS):
    random = np.random.default_rng(seed)
    labels = np.random.default_rng(9).uniform(size=(len(ids), 2))
    values = labels + noise * random.normal(size=labels.shape)
    return Scored(name, ids, ("Fear", "Joy"), values, labels)


def test_a_clear_difference_is_significant_and_none_is_not():
    result = compare([run("good", 0.1), run("bad", 2.0, seed=1), run("good", 0.1)])
    assert result.names == ("good (1)", "bad", "good (3)")
    assert result.p_value[1, -1] < 1e-6
    assert result.difference_high[1, -1] < 0
    assert (result.p_value[2] == 1).all()
    assert (result.difference_low[2] == 0).all()
    np.testing.assert_allclose(result.values[:, -1], result.values[:, :-1].mean(1))


def test_small_noise_is_found_by_pairing():
    """Two runs that share their errors differ less than two independent ones, and pairing knows it."""
    good = run("good", 0.5)
    twin = Scored("twin", IDS, good.emotions, good.predictions + 0.02 * np.random.default_rng(5).normal(size=(80, 2)),
                  good.labels)
    other = run("other", 0.5, seed=6)
    result = compare([good, twin, other])
    width = result.difference_high[:, -1] - result.difference_low[:, -1]
    assert width[1] < 0.3 * width[2]


def test_only_common_labelled_clips_count():
    result = compare([run("a", 0.1, ids=IDS), Scored(*{**vars(run("b", 0.1)), "ids": ("x", *IDS[1:])}.values())])
    assert (result.clips, result.left_out) == (79, 2)


def test_what_cannot_be_compared():
    first = run("a", 0.1)
    with pytest.raises(DataError, match="at least two"):
        compare([first])
    with pytest.raises(DataError, match="disagree on the labels"):
        compare([first, Scored("b", IDS, first.emotions, first.predictions, first.labels[::-1])])
    with pytest.raises(DataError, match="no labelled clip in common"):
        compare([first, Scored("b", tuple(f"d{i}" for i in range(80)), first.emotions, first.predictions,
                               first.labels)])
    with pytest.raises(DataError, match="b predicts Joy"):
        compare([first, Scored("b", IDS, ("Joy",), first.predictions[:, :1], first.labels[:, :1])])


@pytest.fixture(scope="module")
def three():
    """Three runs on twelve clips of five people, the second a little better than the first, the labels of two clips
    partly or wholly unknown; and the correlations of each run without each person, worked out one by one."""
    random = np.random.default_rng(20)
    labels = random.uniform(size=(12, 2))
    labels[4, 1] = np.nan
    people = ("p", "q", "q", "r", "s", "s", "s", "p", "t", "t", "q", "r")
    runs = [Scored(name, IDS[:12], ("Fear", "Joy"), np.nan_to_num(labels) + noise * random.normal(size=(12, 2)), labels,
                   {"Who": people}, group="Who") for name, noise in (("base", 0.6), ("better", 0.45), ("worse", 0.9))]

    def scores(rows):
        table = []
        for run in runs:
            each = []
            for e in range(2):
                taken = [row for row in rows if not np.isnan(labels[row, e])]
                each.append(np.corrcoef(run.predictions[taken, e], labels[taken, e])[0, 1])
            table.append([*each, np.mean(each)])
        return table

    without = [[row for row in range(12) if people[row] != person] for person in "pqrst"]
    return runs, np.array(scores(range(12))), np.array([scores(rows) for rows in without])


def error(without):
    """Tukey's standard error from the five values, each without one person."""
    return np.sqrt(4 / 5 * ((without - without.mean(0)) ** 2).sum(0))


def test_limits_and_p_values_are_those_of_the_jackknife_over_people(three):
    runs, values, without = three
    found = compare(runs, confidence=0.8)
    assert (found.clips, found.left_out, found.confidence, found.emotions) == (12, 0, 0.8, ("Fear", "Joy"))
    assert found.over == "5 groups by Who"
    np.testing.assert_allclose(found.values, values)
    t = stats.t(4)
    reach = t.ppf(0.9) * error(np.arctanh(without))
    z = np.arctanh(values)
    np.testing.assert_allclose([found.low, found.high], np.tanh([z - reach, z + reach]))
    gap, spread = values - values[0], error(without - without[:, :1])
    np.testing.assert_allclose([found.difference_low, found.difference_high],
                               [gap - t.ppf(0.9) * spread, gap + t.ppf(0.9) * spread], atol=1e-12)
    np.testing.assert_allclose(found.p_value[1:], 2 * (1 - t.cdf(np.abs(gap[1:]) / spread[1:])))
    assert (found.p_value[0] == 1).all() and len(np.unique(found.p_value)) > 3


def test_people_are_known_where_any_run_knows_them(three):
    runs = three[0]
    plain = [dataclasses.replace(run, columns={}, group=None) for run in runs]
    whole, part, none = compare(runs), compare([plain[0], runs[1], plain[2]]), compare(plain)
    assert (whole.over, part.over, none.over) == (whole.over, "5 groups by Who", "12 clips, taken as independent")
    np.testing.assert_array_equal(whole.low, part.low)
    assert not np.allclose(whole.low, none.low)


def test_one_person_bounds_nothing(three):
    """A second one would be needed to say how much people differ: cells without a value are blank."""
    found = compare([dataclasses.replace(run, columns={"Who": ("p",) * 12}) for run in three[0]])
    assert found.over == "1 group by Who" and np.isnan(found.p_value).all()
    assert found.rows()[1] == ["better", found.values[1, 2], None, None, found.values[1, 2] - found.values[0, 2], None,
                               None, None]
    assert found.emotion_rows()[0] == ["Fear", *found.values[:, 0], None, None]


def test_the_rows_of_a_comparison(three):
    found = compare(three[0])
    values = found.values
    assert found.confidence == 0.95
    assert found.headers() == ["run", "mean Pearson", "low", "high", "minus base", "low", "high", "p"]
    rows = found.rows()
    assert rows[0] == ["base", values[0, 2], found.low[0, 2], found.high[0, 2], None, None, None, None]
    assert rows[2] == ["worse", values[2, 2], found.low[2, 2], found.high[2, 2], values[2, 2] - values[0, 2],
                       found.difference_low[2, 2], found.difference_high[2, 2], found.p_value[2, 2]]
    assert found.emotion_headers() == ["emotion", "base", "better", "worse", "p of better", "p of worse"]
    assert found.emotion_rows() == [[name, *values[:, e], *found.p_value[1:, e]]
                                    for e, name in enumerate(("Fear", "Joy", "mean"))]


def test_runs_that_list_their_clips_in_another_order_are_matched(three):
    runs, values, _ = three
    turned = Scored("turned", runs[1].ids[::-1], ("Fear", "Joy"), runs[1].predictions[::-1], runs[1].labels[::-1])
    np.testing.assert_allclose(compare([runs[0], turned]).values, values[:2])
    unlabelled = runs[0].labels.copy()
    unlabelled[[0, 5]] = np.nan  # a clip is labelled where the first run says so, and left out only if not predicted
    found = compare([Scored("a", *astuple(runs[0])[1:4], unlabelled), Scored("b", *astuple(runs[1])[1:4], unlabelled)])
    assert (found.clips, found.left_out) == (10, 0)


def test_labels_may_differ_by_their_rounding_only(three):
    first, second = three[0][:2]
    for change, refused in ((5e-7, False), (2e-5, True)):
        other = Scored("b", second.ids, second.emotions, second.predictions, second.labels + change)
        if refused:
            with pytest.raises(DataError, match="b and base disagree on the labels of the same clips; give both the "
                                                "same --labels"):
                compare([first, other])
        else:
            assert compare([first, other]).clips == 12


@pytest.fixture()
def folder(tmp_path):
    """A run folder with predictions and metrics, and labels beside it."""
    for name, noise in (("one", 0.1), ("two", 0.6)):
        data = run(name, noise, seed=3)
        (tmp_path / name).mkdir()
        write_predictions(tmp_path / name / "predictions_val.csv", IDS, data.emotions, np.clip(data.predictions, 0, 1))
        (tmp_path / name / "metrics.jsonl").write_text(
            json.dumps({"epoch": 1, "loss": 0.1, "val_pearson": 0.2, "lr": 1e-4}) + "\n{\"epoch\": 2, \"lo")
    write_predictions(tmp_path / "labels.csv", IDS, data.emotions, data.labels)
    return tmp_path


def test_the_commands(folder, capsys):
    labels = ["--labels", str(folder / "labels.csv")]
    assert main(["compare", str(folder / "one"), str(folder / "two"), *labels]) == 0
    shown = capsys.readouterr().out
    assert "80 clips; intervals at 95% and p by the jackknife over 80 clips, taken as independent\n" in shown
    assert "p of two" in shown
    assert main(["compare", str(folder / "one"), *labels]) == 2
    assert main(["figures", str(folder / "one"), *labels, "--format", "svg"]) == 0
    assert sorted(p.name for p in (folder / "one" / "figures").iterdir()) == [
        "confusion_val.svg", "counts_val.svg", "learning_curves.svg", "pearson_val.svg", "scatter_val.svg"]


def test_figures_say_what_they_left_out(folder):
    written, left_out = write_run_figures(folder / "one", folder / "out", formats=("svg",))
    assert [p.name for p in written] == ["learning_curves.svg"]
    assert "name the labels with --labels" in left_out[0]
    assert "predictions_test.csv" in write_run_figures(folder / "one", folder / "out", split="test",
                                                       formats=("svg",))[1][0]


def test_reading_back(folder):
    assert [row["epoch"] for row in read_history(folder / "one")] == [1]  # the second line was cut short by a kill
    (folder / "one" / "metrics.jsonl").write_text("x\n{}\n")
    with pytest.raises(DataError, match="line 1 is not JSON"):
        read_history(folder / "one")
    with pytest.raises(DataError, match="name its labels"):
        read_scored(folder / "one" / "predictions_val.csv")
    write_predictions(folder / "few.csv", IDS[1:], ("Fear", "Joy"), np.zeros((79, 2)))
    with pytest.raises(DataError, match="clip c0 has no labels"):
        read_scored(folder / "one", labels=folder / "few.csv")
