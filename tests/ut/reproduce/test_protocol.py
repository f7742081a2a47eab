# SPDX-License-Identifier: Apache-2.0
"""The protocol: which trainings the tables need, with what settings, and what a second call leaves alone."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri.cli import main
from mindface_eri.commands.common import records_of
from mindface_eri.config import load_config, save_config
from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.feature_import import add_features
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.models.registry import check
from mindface_eri.reproduce import protocol as module
from mindface_eri.reproduce.protocol import Protocol, choose_recipes, find_group, run_protocol
from mindface_eri.runner.run_folder import RunFolder

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def make(tiny, tmp_path):
    """`make(tables, ...)`: a protocol on the tiny records with the tiny recipe."""
    save_config(tiny.config(), tmp_path / "recipe.yaml")

    def protocol(*tables, **options):
        return Protocol(tmp_path / "out", open_records(tiny.records), choose_recipes([tmp_path / "recipe.yaml"]),
                        tables=tables, **{"seeds": (0,), **options})

    return protocol


def names(protocol):
    return [step.name for step in protocol.steps()]


def test_tables_need_their_trainings_in_order(make):
    branches = ["seed-0/visual", "seed-0/acoustic", "seed-0/fusion"]
    assert names(make(1)) == names(make(4)) == branches
    assert names(make(2)) == [*branches, "seed-0/fusion-pm1.0", "seed-0/fusion-pm0.8"]  # the recipe's own p_m is 0.9
    assert names(make(3)) == [f"fold-{k}/{stage}" for k in range(5) for stage in ("visual", "acoustic", "fusion")]
    assert len(names(make(1, 2, 3, 4, seeds=(0, 1, 2)))) == 3 * 5 + 5 * 3


def test_the_visual_stem_is_for_stages_that_have_one(make):
    """As the README shows it: one --set for all stages. A stage without a stem refuses what is said of it."""
    steps = {step.name: step.config.model for step in make(1, overrides=("model.stem_checkpoint=stem.ckpt",
                                                                         "model.recompute_stem=true")).steps()}
    for model in steps.values():
        check(model)
    assert {name: model.stem_checkpoint for name, model in steps.items()} == {
        "seed-0/visual": "stem.ckpt", "seed-0/acoustic": None, "seed-0/fusion": "stem.ckpt"}


def test_what_each_training_is_told(make, tmp_path):
    steps = {step.name: step for step in make(2, 3, seeds=(4, 5), group="Subject").steps()}
    variant = steps["seed-5/fusion-pm0.8"]
    assert (variant.config.model.p_both, variant.config.runtime.seed, variant.predicts_test) == (0.8, 5, False)
    assert variant.config.train.visual_run == str(tmp_path / "out" / "seed-5" / "visual")
    assert steps["seed-4/fusion"].config.model.p_both == 0.9 and steps["seed-4/fusion"].predicts_test
    fold = steps["fold-3/acoustic"].config
    assert (fold.model.name, fold.runtime.seed, fold.train.visual_run) == ("eri_acoustic", 4, None)
    assert (fold.data.folds, fold.data.fold, fold.data.fold_as, fold.data.group) == (5, 3, "val", "Subject")
    assert fold.model.emotions == ("Amusement", "Fear")  # the records' own, whatever the recipe says
    assert steps["seed-4/visual"].config.data.folds == 0
    more = make(1, 3, overrides=("data.folds=7",))
    assert len(names(more)) == 3 + 7 * 3 and more.steps()[0].config.data.folds == 0


def test_feature_sets_are_trained_alone_and_with_the_rest(make, tmp_path):
    protocol = make(1, 2, seeds=(0, 3), sets=("AU_r", "egemaps"))
    of_sets = ["seed-3/features-AU_r", "seed-3/features-egemaps", "seed-3/multi-AU_r+egemaps"]
    assert [name for name in names(protocol) if name not in names(make(1, 2, seeds=(0, 3)))][3:] == of_sets
    alone, _, multi = (step.config for step in protocol.steps()[-3:])
    assert (alone.model.name, alone.model.features, alone.train.visual_run) == ("eri_features", ("AU_r",), None)
    assert (multi.model.name, multi.model.features, multi.runtime.seed) == ("eri_multi_branch", ("AU_r", "egemaps"), 3)
    part = tmp_path / "out" / "seed-3"
    assert multi.train.features_runs == (str(part / "features-AU_r"), str(part / "features-egemaps"))
    assert multi.train.acoustic_run == str(part / "acoustic")
    assert names(make(2, 3, sets=("AU_r",))) == names(make(2, 3))  # they have rows in table 1 only


def test_without_recipes_feature_sets_have_those_of_the_configs(make):
    protocol = dataclasses.replace(make(1), recipes=choose_recipes([]))
    values = {"data.records": None, "data.workers": 4, "model.emotions": EMOTIONS, "model.features": ("fau",)}
    for stage in ("features", "multi"):
        recipe = CONFIGS / {"features": "eri_features.yaml", "multi": "eri_multi_branch.yaml"}[stage]
        assert protocol.config(stage, values) == load_config(recipe)


def test_recipes_are_told_apart_by_their_network(tmp_path):
    paths = [CONFIGS / f"demo_{stage}.yaml" for stage in ("fusion", "visual", "acoustic")]
    chosen = {"visual": paths[1], "acoustic": paths[2], "fusion": paths[0], "features": paths[2], "multi": paths[0]}
    assert choose_recipes(paths) == chosen
    own = CONFIGS / "eri_features.yaml"
    assert choose_recipes([own, *paths]) == {**chosen, "features": own}
    assert set(choose_recipes([]).values()) == {None} and set(choose_recipes([own]).values()) == {own}
    with pytest.raises(ConfigError, match="one for each of eri_visual, eri_acoustic, eri_dual_branch"):
        choose_recipes([paths[0], paths[0], paths[1]])


def test_a_column_of_people_is_found_or_named(tiny):
    records = open_records(tiny.records)
    assert find_group(records) is None
    table = tuple({**row, "Speaker": "" if row["split"] == "test" else "a"} for row in records.table)
    named = dataclasses.replace(records, table=table, extra=("Country", "Speaker"))
    assert find_group(named) == "Speaker"
    assert find_group(named, "split") == "split" and find_group(named, "none") == "none"
    with pytest.raises(DataError, match="records: no column 'Person' to group clips by; there are id, split,"):
        find_group(named, "Person")


class Trained:
    best_metric, best_epoch, epochs = 0.5, 1, 2


@pytest.fixture
def calls(monkeypatch):
    """Stands for training and evaluation, which are tested elsewhere: what was called, in order."""
    done = []

    def train(config, out, **options):
        assert options["resume"]
        done.append(f"{out.parent.name}/{out.name}")
        RunFolder(out).make()
        save_config(config, RunFolder(out).config)
        return Trained

    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(module, "evaluate", lambda run, split: done.append(f"{split} of {run.parent.name}"))
    return done


def test_a_step_done_is_not_repeated_and_a_stopped_one_is(make, calls, monkeypatch):
    protocol = make(1, seeds=(0, 1))
    monkeypatch.setattr(module, "evaluate", lambda run, split: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # stopped within the third step
        run_protocol(protocol, notify=lambda text: None)
    assert calls == ["seed-0/visual", "seed-0/acoustic", "seed-0/fusion"]
    calls.clear()
    monkeypatch.setattr(module, "evaluate", lambda run, split: calls.append(f"{split} of {run.parent.name}"))
    run_protocol(protocol, notify=lambda text: None)
    assert calls == ["seed-0/fusion", "test of seed-0", "seed-1/visual", "seed-1/acoustic", "seed-1/fusion",
                     "test of seed-1"]
    calls.clear()
    assert run_protocol(protocol, notify=lambda text: None) and not calls


def test_other_recipes_or_records_do_not_mix(make, calls, tiny, tmp_path):
    run_protocol(make(1), notify=lambda text: None)
    run_protocol(make(1, overrides=("data.workers=1",)), notify=lambda text: None)  # changes no result
    with pytest.raises(ConfigError, match=r"another recipe \(train.lr: 0.01 -> 0.5\)"):
        run_protocol(make(1, overrides=("train.lr=0.5",)), notify=lambda text: None)
    other = dataclasses.replace(make(1), records=dataclasses.replace(open_records(tiny.records), hash="other"))
    with pytest.raises(DataError, match="runs of other records"):
        run_protocol(other, notify=lambda text: None)


def test_a_data_set_is_preprocessed_first_records_are_not(tiny, tmp_path, monkeypatch):
    made = []

    def preprocess(data, out, config, **options):
        made.append((data, out, config.frames))
        shutil.copytree(tiny.records, out)
        return SimpleNamespace(failed=0)

    monkeypatch.setattr("mindface_eri.datasets.build.preprocessing.preprocess_dataset", preprocess)
    arguments = SimpleNamespace(command="reproduce", data=tiny.records, out=tmp_path / "out", workers=1)
    assert records_of(arguments, tiny.config().preprocess).path == tiny.records and not made
    arguments.data = tmp_path / "corpus"
    assert records_of(arguments, tiny.config().preprocess).path == tmp_path / "out" / "records"
    assert made == [(tmp_path / "corpus", tmp_path / "out" / "records", 4)]
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    monkeypatch.setenv("MS_WORKER_NUM", "8")
    with pytest.raises(ConfigError, match="make them first with `mindface-eri preprocess`"):
        records_of(arguments, tiny.config().preprocess)


def test_feature_sets_may_be_added_but_not_changed(make, calls, feature_folder, tmp_path):
    records = open_records(shutil.copytree(feature_folder / "records", tmp_path / "records"))
    protocol = dataclasses.replace(make(1), records=records)
    run_protocol(protocol, notify=lambda text: None)
    calls.clear()
    protocol = dataclasses.replace(protocol, sets=("fau",))
    run_protocol(protocol, notify=lambda text: None)
    assert calls == ["seed-0/features-fau", "seed-0/multi-fau"]
    add_features(feature_folder / "fau", records, "AU01", columns=["AU01"], progress=False)
    calls.clear()
    run_protocol(dataclasses.replace(protocol, sets=("AU01", "fau")), notify=lambda text: None)
    assert calls == ["seed-0/features-AU01", "seed-0/multi-AU01+fau"]
    shutil.rmtree(records.path / "features" / "fau")
    add_features(feature_folder / "fau", records, columns=["AU02"], progress=False)
    with pytest.raises(DataError, match="runs of another feature set fau than that of"):
        run_protocol(protocol, notify=lambda text: None)


@pytest.mark.slow
def test_from_records_to_the_report(tiny, feature_folder, tmp_path, capsys):
    save_config(tiny.config(train={"epochs": 1}), tmp_path / "recipe.yaml")
    words = ["reproduce", str(feature_folder / "records"), str(tmp_path / "out"), "--config",
             str(tmp_path / "recipe.yaml"), "--seeds", "1", "--tables", "1", "3", "4",
             "--set", "data.folds=2", "--set", "runtime.mode=pynative"]
    assert main(words) == 0
    report = (tmp_path / "out" / "report.md").read_text()
    assert all(f"## Table {number}" in report for number in (1, 3, 4)) and "published" not in report
    assert (tmp_path / "out" / "ensemble" / "predictions.csv").read_text().count("\n") == 1 + 3
    rows = [line.split("|")[1].strip() for line in report.split("## Table 1")[1].splitlines() if line.startswith("|")]
    assert rows[2:7] == ["audio", "video", "both", "fau", "audio + video + fau"]
    assert len(list((tmp_path / "out").rglob("learning_curves.png"))) == 3 + 2 + 2 * 3
    stamp = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.ckpt")}
    capsys.readouterr()
    assert main(words) == 0
    assert "step " not in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.ckpt")} == stamp
    assert load_config(tmp_path / "out" / "fold-1" / "fusion" / "config.yaml").data.fold == 1
