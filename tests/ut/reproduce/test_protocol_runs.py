# SPDX-License-Identifier: Apache-2.0
"""How the protocol works its steps off: what each is told, what it leaves, and what keeps it from starting."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri.config import load_config, save_config
from mindface_eri.datasets.feature_import import add_features
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.records import open_records
from mindface_eri.device.context import Context
from mindface_eri.errors import ConfigError, DataError
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


@pytest.fixture
def work(monkeypatch):
    """Stands for training and evaluation: what each was told, in order, and the moment at which locks were held."""
    done = []

    def train(config, out, **options):
        done.append((f"{out.parent.name}/{out.name}", config, options))
        widths = (2,) * len(config.model.features)  # which training takes from the records
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, feature_widths=widths))
        save_config(config, RunFolder(out).make().config)
        return SimpleNamespace(best_metric=0.25 * len(done), best_epoch=len(done), epochs=7)

    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(module, "evaluate", lambda run, split: done.append((f"{run.name} predicts {split}", 0, 0)))
    return done


def test_each_step_is_announced_and_trained_to_be_taken_up(make, work, tmp_path):
    said = []
    protocol = make(1, seeds=(2,))
    assert run_protocol(protocol, progress=False, notify=said.append) is True
    assert [name for name, *_ in work] == ["seed-2/visual", "seed-2/acoustic", "seed-2/fusion", "fusion predicts test"]
    assert [config for _, config, _ in work[:3]] == [step.config for step in protocol.steps()]
    assert all(options["resume"] is True and options["progress"] is False for _, _, options in work[:3])
    work[0][2]["notify"]("from within")
    assert said[-1] == "from within"
    assert said[0] == "clips are taken as independent"
    assert [line.split("] ")[1] for line in said[1:4]] == [
        f"step {number} of 3: {tmp_path / 'out' / 'seed-2' / name}" for number, name in
        enumerate(("visual", "acoustic", "fusion"), 1)]
    run_protocol(make(2, seeds=(2,)), notify=said.append)
    assert work[4][2]["progress"] is True


def test_a_step_done_leaves_what_it_came_to(make, work, tmp_path, monkeypatch):
    clock = iter([0.0, 10.0, 10.0, 12.34, 20.0, 20.0, 100.0, 110.0, 110.0, 110.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    run_protocol(make(1), notify=str)
    done = [json.loads((tmp_path / "out" / "seed-0" / name / "done.json").read_text())
            for name in ("visual", "acoustic")]
    assert done == [{"val_pearson": 0.25, "best_epoch": 1, "epochs": 7, "seconds": 2.3},
                    {"val_pearson": 0.5, "best_epoch": 2, "epochs": 7, "seconds": 80.0}]


def test_the_folder_says_whose_runs_it_holds(make, work, tmp_path):
    protocol = make(1)
    run_protocol(protocol, notify=str)
    path = tmp_path / "out" / "protocol.json"
    assert json.loads(path.read_text()) == {"records": protocol.records.hash}
    for text in ("{", "[]", '{"other": 1}', "3"):
        path.write_text(text)
        with pytest.raises(DataError, match="protocol.json: is not what `reproduce` wrote; choose another folder"):
            run_protocol(protocol, notify=str)


def test_further_feature_sets_are_noted_beside_those_there(make, work, tmp_path, feature_folder):
    records = open_records(shutil.copytree(feature_folder / "records", tmp_path / "records"))
    add_features(feature_folder / "fau", records, "AU01", columns=["AU01"], progress=False)
    noted = []
    for sets in (("fau",), (), ("AU01",), ("AU01", "fau")):
        run_protocol(dataclasses.replace(make(1, sets=sets), records=records), notify=str)
        noted.append(json.loads((tmp_path / "out" / "protocol.json").read_text()))
    hashes = {name: open_feature_set(records, name).hash for name in ("fau", "AU01")}
    assert noted[0] == noted[1] == {"records": records.hash, "features": {"fau": hashes["fau"]}}
    assert noted[2] == noted[3] == {"records": records.hash, "features": hashes}


def test_all_tables_with_three_seeds_unless_told(make):
    protocol = make()
    plain = Protocol(protocol.out, protocol.records, protocol.recipes)
    assert (plain.tables, plain.seeds, plain.sets, plain.group, plain.device) == (
        (1, 2, 3, 4), (0, 1, 2), (), None, None)
    assert [step.name for step in plain.steps()] == [step.name for step in make(1, 2, 3, 4, seeds=(0, 1, 2)).steps()]


def test_another_process_only_works_along(make, work, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "setup", lambda runtime: Context("CPU", "graph", 1, 2))
    monkeypatch.setattr(module, "folder_lock", lambda *_: pytest.fail("the main process has the lock"))
    said = []
    assert run_protocol(make(1), notify=said.append) is False
    assert [name for name, *_ in work][-2:] == ["seed-0/fusion", "fusion predicts test"] and said == []
    assert not (tmp_path / "out" / "protocol.json").exists() and not list((tmp_path / "out").rglob("done.json"))
    work[0][2]["notify"]("from within")
    assert said == []


def test_the_device_is_that_of_the_recipe_or_the_command(make, work, monkeypatch):
    told = []
    monkeypatch.setattr(module, "setup", lambda runtime: told.append(runtime) or Context("CPU", "graph"))
    run_protocol(make(1, overrides=("runtime.threads=3",)), notify=str)
    run_protocol(make(1, device="Ascend"), notify=str)
    assert [(runtime.device, runtime.threads) for runtime in told] == [("auto", 3), ("Ascend", 0)]
    assert {step.config.runtime.device for step in make(1, 2, 3, device="Ascend").steps()} == {"Ascend"}


def test_two_commands_do_not_share_a_folder(make, work, monkeypatch, tmp_path):
    locks, true = [], module.folder_lock
    monkeypatch.setattr(module, "folder_lock", lambda path, what: locks.append((path, what)) or true(path, what))
    run_protocol(make(1), notify=str)
    assert locks == [(tmp_path / "out" / ".lock", "another `reproduce`")]


@pytest.mark.parametrize("override, free", [
    ("runtime.device=CPU", True), ("runtime.threads=2", True), ("data.workers=1", True), ("data.prefetch=1", True),
    ("train.label_noise=0.5", False), ("model.dropout=0.5", False), ("runtime.amp_level=O2", False),
    ("data.flip=0.5", False)])
def test_only_what_changes_no_result_may_change(make, work, override, free):
    run_protocol(make(1), notify=str)
    work.clear()
    changed = make(1, 2, overrides=(override,))
    if free:
        run_protocol(changed, notify=str)
        assert [name for name, *_ in work] == ["seed-0/fusion-pm1.0", "seed-0/fusion-pm0.8"]
        return
    key = override.split("=")[0]
    with pytest.raises(ConfigError, match=rf"visual: was begun with another recipe \({key}: .*\); set that back"):
        run_protocol(changed, notify=str)
    assert work == []  # it is said before anything is trained


def test_moved_records_and_folders_are_the_same_protocol(make, work, tmp_path, feature_folder):
    protocol = dataclasses.replace(make(1, 4, sets=("fau",)), records=open_records(feature_folder / "records"))
    run_protocol(protocol, notify=str)
    assert [name for name, *_ in work][-2:] == ["seed-0/features-fau", "seed-0/multi-fau"]
    work.clear()
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    records = open_records(shutil.copytree(feature_folder / "records", tmp_path / "elsewhere"))
    assert run_protocol(dataclasses.replace(protocol, out=moved, records=records), notify=str) and work == []


def test_a_fault_in_a_later_step_is_told_before_the_first_is_trained(make, work, tmp_path):
    run_protocol(make(1), notify=str)
    config = tmp_path / "out" / "seed-0" / "fusion" / "config.yaml"
    save_config(dataclasses.replace(load_config(config), train=dataclasses.replace(load_config(config).train, lr=0.5)),
                config)
    work.clear()
    with pytest.raises(ConfigError, match=r"fusion: was begun with another recipe \(train.lr: 0.5 -> 0.01\)"):
        run_protocol(make(1, seeds=(0, 1)), notify=str)
    assert work == []


def test_settings_reach_every_stage(make):
    protocol = make(1, 2, 3, seeds=(3,), sets=("fau",), overrides=(
        "train.lr=0.5", "model.freeze_stem=true", "data.folds=2", "model.stem_checkpoint=s.ckpt"))
    steps = {step.name: step.config for step in protocol.steps()}
    assert {config.train.lr for config in steps.values()} == {0.5}
    assert {name: config.model.freeze_stem for name, config in steps.items() if name.startswith("seed")} == {
        "seed-3/visual": True, "seed-3/acoustic": False, "seed-3/fusion": True, "seed-3/fusion-pm1.0": True,
        "seed-3/fusion-pm0.8": True, "seed-3/features-fau": False, "seed-3/multi-fau": True}
    assert [steps[f"seed-3/{name}"].model.stem_checkpoint for name in ("features-fau", "multi-fau")] == [None, "s.ckpt"]
    assert {config.data.records for config in steps.values()} == {str(protocol.records.path)}
    assert [config.data.fold for name, config in steps.items() if name.endswith("/fusion")] == [0, 0, 1]
    fold = steps["fold-1/fusion"]
    assert fold.train.visual_run == str(protocol.out / "fold-1" / "visual") and fold.runtime.seed == 3
    assert fold.train.acoustic_run == str(protocol.out / "fold-1" / "acoustic") and fold.data.fold_as == "val"
    assert steps["seed-3/fusion"].data.folds == 0 and protocol.folds == 2


def test_the_test_split_is_predicted_by_the_fused_networks_where_there_is_one(make):
    def predicting(protocol):
        return [step.name for step in protocol.steps() if step.predicts_test]

    protocol = make(1, 2, 3, sets=("fau",), overrides=("data.folds=2",))
    assert predicting(protocol) == ["seed-0/fusion", "fold-0/fusion", "fold-1/fusion"]
    table = tuple({**row, "split": "train"} if row["split"] == "test" else row for row in protocol.records.table)
    assert predicting(dataclasses.replace(protocol, records=dataclasses.replace(protocol.records, table=table))) == []


def test_the_recipes_own_chance_of_both_has_no_folder_of_its_own(make):
    protocol = make(2, overrides=("model.p_both=0.8",))
    assert [step.name for step in protocol.steps()][2:] == ["seed-0/fusion", "seed-0/fusion-pm1.0",
                                                            "seed-0/fusion-pm0.9"]
    assert protocol.fusion(0.8) == "fusion" and protocol.fusion(1.0) == "fusion-pm1.0"
    assert [step.config.model.p_both for step in protocol.steps()][2:] == [0.8, 1.0, 0.9]
    other = make(2, overrides=("model.p_both=0.7",))
    assert [step.name for step in other.steps()][3:] == [f"seed-0/fusion-pm{p}" for p in (1.0, 0.9, 0.8)]
    assert make(3).folds == 5 and make(1).run("seed-1", "visual") == make(1).out / "seed-1" / "visual"


def test_each_stage_has_its_own_recipe(make):
    paths = [CONFIGS / f"demo_{stage}.yaml" for stage in ("visual", "acoustic", "fusion")]
    protocol = dataclasses.replace(make(1), recipes=choose_recipes(paths))
    preprocess = [load_config(path).train for path in paths]
    found = [step.config.train for step in protocol.steps()]
    assert [train.epochs for train in found] == [train.epochs for train in preprocess]
    with pytest.raises(ConfigError, match=r"got .*demo_visual.yaml \(eri_visual\), .*demo_acoustic.yaml"):
        choose_recipes(paths[:2])
    with pytest.raises(ConfigError, match="--config: one recipe for all stages"):
        choose_recipes([*paths, paths[2]])


def test_a_blank_person_is_told_before_any_training(tiny, monkeypatch, tmp_path):
    """Clips of nobody can be put on neither side; a column that is blank throughout names nobody."""
    records = open_records(tiny.records)
    table = tuple({**row, "PatientID": f"p{i % 7}" if i else ""} for i, row in enumerate(records.table))
    named = dataclasses.replace(records, table=table, extra=("PatientID",))
    assert find_group(named) == "PatientID"
    monkeypatch.setattr("mindface_eri.reproduce.protocol._do", lambda *_: pytest.fail("trained"))
    protocol = Protocol(tmp_path / "o", named, choose_recipes([]), tables=(3,), group="PatientID")
    with pytest.raises(DataError, match="1 clips have a blank PatientID, first .*; fill the column"):
        run_protocol(protocol)
    empty = tuple({**row, "PatientID": " "} for row in records.table)
    assert find_group(dataclasses.replace(named, table=empty)) is None
