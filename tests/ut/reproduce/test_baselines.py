# SPDX-License-Identifier: Apache-2.0
"""The baseline's column in the paper's tables: beside which run each value stands, and what is said of the two."""

import dataclasses

import numpy as np
import pytest

from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.evaluation.beside import Beside
from mindface_eri.metrics import pearson
from mindface_eri.reproduce import baselines as module
from mindface_eri.reproduce.reproduction import write_reproduction


@pytest.fixture
def asked(monkeypatch):
    """The baseline of a run and split: the labels under noise of its own; notes what was asked."""
    calls = {}

    def beside(run, scored):
        noise = np.random.default_rng(len(calls)).random(scored.labels.shape)
        values = scored.labels * 0.5 + noise
        calls[run, len(scored.ids)] = values, scored
        made = dataclasses.replace(scored, name="kernel ridge", predictions=values)
        return Beside(scored, (made, made), 9, ("mfcc",), (f"a note of {run.name.split('-')[0]}",))

    monkeypatch.setattr(module, "baseline_beside", beside)
    return calls


def rows_of(protocol, name):
    lines = [line.split(",") for line in (protocol.out / f"{name}.csv").read_text().splitlines()]
    return [dict(zip(lines[0], row)) for row in lines[1:]]


def of(asked, run, clips=6, emotion=None):
    values, scored = asked[run, clips]
    found = pearson(values, scored.labels)
    return pytest.approx(found.mean() if emotion is None else found[emotion], abs=1e-6)


def test_each_score_has_the_baseline_of_its_own_run_beside_it(done, asked):
    text = write_reproduction(done).read_text()
    rows, seed = rows_of(done, "table_1"), done.out / "seed-0"
    stages = ["acoustic", "visual", "fusion", "features-FAU", "features-both", "multi-FAU+both"]
    assert [float(row["kernel ridge"]) for row in rows] == [of(asked, seed / stage) for stage in stages]
    assert [float(row["kernel ridge"]) for row in rows_of(done, "table_2")] == [
        of(asked, seed / stage) for stage in ("fusion-pm1.0", "fusion", "fusion-pm0.8")]
    folds = rows_of(done, "table_3")
    each = [of(asked, done.out / f"fold-{k}/fusion", int(folds[k]["clips"])) for k in range(5)]
    assert [float(row["kernel ridge"]) for row in folds[:5]] == each
    assert float(folds[5]["kernel ridge"]) == pytest.approx(np.mean([float(row["kernel ridge"]) for row in folds[:5]]))
    emotions = rows_of(done, "table_4")
    assert [float(row["kernel ridge"]) for row in emotions] == [
        *(of(asked, seed / "fusion", emotion=e) for e in range(7)), of(asked, seed / "fusion")]
    assert list(emotions[0])[:3] == ["emotion", "Pearson", "kernel ridge"]
    first = text.split("## Table 1")[1].split("## Table 2")[0]
    assert "*kernel ridge* is fitted on each network's own training clips" in first and "(sound in the first" in first
    assert all(f"\n\na note of {stage}\n" in first for stage in ("acoustic", "visual", "fusion", "features", "multi"))


def test_of_a_labelled_test_split_its_own(done, asked, known_labels, tmp_path):
    write_predictions(tmp_path / "labels.csv", done.records.ids("test"), EMOTIONS, known_labels[16:])
    write_reproduction(done, test_labels=tmp_path / "labels.csv")
    assert float(rows_of(done, "table_4")[7]["kernel ridge"]) == of(asked, done.out / "seed-0/fusion", 4)


def test_people_are_left_out_for_it_too(finish, make_records, asked, tmp_path):
    records = make_records(tmp_path / "records", columns={"Subject": [f"s{i // 2}" for i in range(20)]})
    protocol = finish(records, seeds=(0,), tables=(1,), group="Subject")
    write_reproduction(protocol)
    assert {scored.group for _, scored in asked.values()} == {"Subject"}


def test_it_can_be_left_out(done, asked):
    text = write_reproduction(done, baseline=False).read_text()
    assert "kernel ridge" not in text and not asked


def test_where_there_is_none_the_tables_say_why(done):
    text = write_reproduction(done).read_text()  # these records hold no clips
    assert text.count("no baseline beside it: ") == 4 and "kernel ridge" not in text


def score(noise, labels, name, seed):
    from mindface_eri.evaluation.runs import Scored

    drawn = np.random.default_rng(seed).normal(size=labels.shape)
    return Scored(name, tuple(map(str, range(40))), ("Joy", "Fear"), labels + noise * drawn, labels)


def test_which_rows_are_not_better(monkeypatch):
    labels = np.random.default_rng(0).random((40, 2))
    base = score(0.3, labels, "kernel ridge", 1)
    good, poor = (Beside(score(noise, labels, "net", 2), (base,)) for noise in (0.01, 0.5))
    said, = module._verdict("kernel ridge", ["audio", "video", "none"], [[good], [poor, good], [Beside(base)]])
    network = [run.network for run in (poor, good)]
    gap = np.mean([pearson(run.predictions, labels).mean() for run in network])
    gap -= pearson(base.predictions, labels).mean()
    assert said.startswith(f"NOT better than *kernel ridge* by more than chance allows (95%): video ({gap:+.4f}, ")
    assert "audio" not in said and "none" not in said
    assert module._verdict("ridge", ["audio"], [[good]]) == [
        "Every row is better than *ridge* by more than chance allows (95%)."]
    network, baseline = (dataclasses.replace(run, columns={"Who": ("p",) * 40}, group="Who")
                         for run in (good.network, base))
    one = Beside(network, (baseline,))
    assert "one person cannot tell" in module._verdict("ridge", ["audio"], [[one]])[0]
