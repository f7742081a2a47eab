# SPDX-License-Identifier: Apache-2.0
"""A network beside the baseline: on which clips that is fitted, and what is said of the two."""

import dataclasses
import shutil

import numpy as np
import pytest

from mindface_eri.config import Config, save_config
from mindface_eri.datasets.folds import fold_splits
from mindface_eri.datasets.records import open_records
from mindface_eri.evaluation import beside as module
from mindface_eri.evaluation.beside import Beside, baseline_beside, training_clips, verdict
from mindface_eri.evaluation.compare import Comparison, compare
from mindface_eri.evaluation.runs import Scored

pytest.importorskip("sklearn")


def scored_of(records, ids, **more):
    labels = np.asarray(records.labels(ids=ids), float)
    return Scored("mine", tuple(ids), records.emotions, labels[::-1].copy(), labels, **more)


@pytest.fixture
def run(tiny, drawn_run, tmp_path):
    """A drawn acoustic run on a copy of the tiny records."""
    shutil.copytree(tiny.records, tmp_path / "records", ignore=shutil.ignore_patterns("baseline"))
    return drawn_run(tmp_path / "run", tiny.config(data={"records": str(tmp_path / "records")}), 1)


@pytest.fixture
def records(run):
    return open_records(run.parent / "records")


@pytest.fixture
def asked(monkeypatch):
    """What the baseline was asked; it answers all the same."""
    calls, true = [], module.Baseline.predict

    def predict(self, *given):
        calls.append((self.modalities, *given))
        return true(self, *given)

    monkeypatch.setattr(module.Baseline, "predict", predict)
    return calls


def test_it_is_fitted_on_the_networks_clips_and_scored_on_the_same(run, records, asked):
    ids = records.ids("val")[::-1][:5]
    found = baseline_beside(run, scored_of(records, ids))
    (modalities, training, fitted_on, where, clips), = asked
    assert (modalities, tuple(fitted_on), tuple(clips)) == (("mfcc",), records.ids("train"), ids)
    assert training.path == where.path == records.path
    assert [one.name for one in found.baselines] == ["kernel ridge", "ridge"] and found.fitted_on == 24
    assert all(one.ids == ids and one.labels is found.network.labels for one in found.baselines)
    heading, table = found.tables()
    assert heading == "\nBeside statistics over time of sound, fitted on the network's 24 training clips"
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["kernel ridge", "ridge", "mine"]
    assert "kernel ridge" in found.said[0] and len(found.said) == 1
    rows = found.rows()
    assert [row["group"] for row in rows] == ["baseline: kernel ridge"] * 3 + ["baseline: ridge"] * 3
    assert [row["emotion"] for row in rows[:3]] == ["Amusement", "Fear", "mean"]


def test_of_a_fold_the_folds_own_clips_are_fitted(run, records, asked, replace):
    config = replace(module._config_of(run), data={"folds": 3, "fold": 1, "fold_as": "test"})
    save_config(config, run / "config.yaml")
    splits = dict(zip(records.ids(), fold_splits(records, config.data)))
    baseline_beside(run, scored_of(records, [clip for clip in splits if splits[clip] == "test"]))
    assert list(asked[0][2]) == [clip for clip in splits if splits[clip] == "train"]


def test_clips_that_the_network_was_not_trained_on_are_not_fitted(mixed_records, mixed_config):
    assert "00004" not in training_clips(mixed_records, mixed_config)  # it has no sound
    assert len(training_clips(mixed_records, mixed_config)) == 9
    labels = mixed_records.all_labels.copy()
    labels[0] = np.nan
    unlabelled = dataclasses.replace(mixed_records, all_labels=labels)
    assert training_clips(unlabelled, mixed_config)[0] == mixed_records.ids()[1]


def test_clips_of_other_records_are_predicted_from_those(run, records, asked, tmp_path):
    shutil.copytree(records.path, tmp_path / "other")
    other = open_records(tmp_path / "other")
    found = baseline_beside(run, scored_of(other, other.ids("train")), tmp_path / "other")
    assert found.baselines and asked[0][3].path == tmp_path / "other" and asked[0][1].path == records.path


def test_in_one_line_why_there_is_none(run, records, replace, tmp_path):
    def why(scored, run=run):
        found = baseline_beside(run, scored)
        assert found.baselines == () and found.tables() == found.rows() == [] and len(found.said) == 1
        assert found.said[0].startswith("no baseline beside it: ") and "\n" not in found.said[0]
        return found.said[0]

    val = scored_of(records, records.ids("val"))
    assert "scored on the clips that it is fitted on" in why(scored_of(records, records.ids("train")[:3]))
    assert "no such run folder or checkpoint" in why(val, tmp_path / "nothing")
    shutil.copy(run / "checkpoints" / "best.ckpt", tmp_path / "lone.ckpt")
    assert "lies in no run folder" in why(val, tmp_path / "lone.ckpt")
    config = module._config_of(run)
    seeing = replace(config, model={"name": "eri_visual"})
    save_config(seeing, run / "config.yaml")
    if not module.holds_landmarks(records):
        assert "eri_visual takes frames, of which" in why(val)
    save_config(replace(config, data={"records": str(tmp_path / "gone")}), run / "config.yaml")
    assert f"the records that it was trained on ({tmp_path / 'gone'}) are not there" in why(val)
    save_config(Config(), run / "config.yaml")
    assert "(None) are not there" in why(val)


def test_without_landmarks_it_is_said_that_faces_are_not_seen(run, records, replace, monkeypatch):
    monkeypatch.setattr(module, "holds_landmarks", lambda _: False)
    monkeypatch.setattr(module, "modalities_of", lambda *_: ("mfcc",))
    save_config(replace(module._config_of(run), model={"name": "eri_dual_branch"}), run / "config.yaml")
    found = baseline_beside(run, scored_of(records, records.ids("val")))
    assert "sees nothing of the faces" in found.said[1]


LABELS, WHO = np.random.default_rng(8).random((60, 2)), {"Who": tuple(f"p{i // 6}" for i in range(60))}


def of(noise, name, group="Who"):
    drawn = np.random.default_rng(len(name)).normal(size=(60, 2))
    return Scored(name, tuple(map(str, range(60))), ("Joy", "Fear"), LABELS + noise * drawn, LABELS, WHO, group=group)


@pytest.mark.parametrize("low, high, said", [
    (0.01, 0.3, "is better than base: +0.1500, +0.0100 to +0.3000 at 90% over 5 people."),
    (-0.3, -0.01, "is WORSE than base: +0.1500, -0.3000 to -0.0100 at 90%"),
    (0.0, 0.3, "is NOT better than base by more"), (-0.1, 0.0, "is NOT better than base by more")])
def test_the_verdict_is_of_the_means_of_the_first_and_the_last_run(low, high, said):
    """Three runs and two emotions: of all that is known, the last column of the last run counts."""
    values = np.array([[0.1, 0.2, 0.15], [0.9, 0.9, 0.9], [0.2, 0.4, 0.30]])
    low, high = (np.array([[9.0] * 3, [9.0] * 3, [0.7, -0.7, end]]) for end in (low, high))
    found = verdict(Comparison(("base", "other", "net"), ("Joy", "Fear"), 9, 0, "5 people", values, values, values,
                               low, high, values, 0.9))
    assert found.startswith(f"net {said}")


@pytest.mark.parametrize("base, net, said", [
    (0.5, 0.02, "net is better than kernel ridge: +"), (0.02, 0.5, "net is WORSE than kernel ridge: -"),
    (0.3, 0.3, "net is NOT better than kernel ridge by more than chance allows: ")])
def test_whether_the_network_is_better(base, net, said):
    found = verdict(compare([of(base, "kernel ridge"), of(net, "net")]))
    assert found.startswith(said) and "at 95% over 10 groups by Who" in found


def test_one_person_cannot_tell():
    one = {"Who": ("p",) * 60}
    runs = [dataclasses.replace(of(0.3, name), columns=one) for name in ("kernel ridge", "net")]
    assert verdict(compare(runs)).endswith("cannot be told from 1 group by Who.")


def test_a_name_cannot_steer_the_terminal():
    found = Beside(of(0.02, "net\x1b[2J"), (of(0.5, "kernel ridge"),), 10, ("fau\x1b[2J",))
    assert all("\x1b" not in line for line in (*found.said, *found.tables()))
    assert "fau\\x1b[2J" in found.tables()[0]


def test_the_network_is_compared_with_the_first():
    found = Beside(of(0.02, "net"), (of(0.5, "kernel ridge"), of(0.001, "ridge")), 10, ("mfcc",))
    assert found.said[0].startswith("net is better than kernel ridge")
