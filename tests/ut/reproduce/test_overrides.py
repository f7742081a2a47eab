# SPDX-License-Identifier: Apache-2.0
"""An override is used by some training of the protocol, or refused with the reason; records of one input alone."""

import dataclasses

import pytest

from mindface_eri.config import load_config, save_config
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.reproduce.inputs import branches_of, possible_tables
from mindface_eri.reproduce.overrides import REASONS, check_overrides, flat
from mindface_eri.reproduce.paper_tables import PaperTables
from mindface_eri.reproduce.protocol import Protocol, choose_recipes, run_protocol
from mindface_eri.reproduce.reproduction import write_reproduction

ALL = (1, 2, 3, 4)


@pytest.fixture
def check(tiny, tmp_path):
    """`check(override, ...)`: what `run_protocol` asks before it begins."""
    save_config(tiny.config(), tmp_path / "recipe.yaml")
    records = open_records(tiny.records)

    def ask(*overrides, tables=ALL, table=None, flags=None):
        seen = records if table is None else dataclasses.replace(records, table=table(records))
        protocol = Protocol(tmp_path / "out", seen, choose_recipes([tmp_path / "recipe.yaml"]), overrides,
                            tables=tables, seeds=(0,))
        check_overrides(overrides, load_config(tmp_path / "recipe.yaml", overrides),
                        [step.config for step in protocol.steps()], seen, flags=flags or {})

    return ask


@pytest.mark.parametrize("override, reason", [
    ("data.fold_as=test", "data.fold_as is not for a protocol to be told: in table 3 a fold is the validation split"),
    ("data={fold: 1, folds: 3}", "data.fold is not .*each fold is trained"),
    ("runtime.seed=3", "--seeds says how many"),
    ("model.name=eri_visual", "each stage has its own network"),
    ("train.visual_run=old", "builds on the branches that this protocol trains"),
    ("preprocess.face.margin=0.4", r"preprocess.face.margin .* was preprocessed with 0.2; name the data set"),
])
def test_what_the_protocol_replaces_is_refused_with_the_reason(check, override, reason):
    with pytest.raises(ConfigError, match=f"--set .*{reason}"):
        check("train.lr=0.5", override)


def test_what_no_training_of_these_tables_takes_is_refused(check):
    check("data.folds=3", "train.lr=0.5", "model.p_both=0.7", "model.stem_checkpoint=s.ckpt")
    check("preprocess.face.margin=0.2")  # as the records were made
    with pytest.raises(ConfigError, match="--set data.folds=3: data.folds .*no training of these tables"):
        check("data.folds=3", tables=(1,))
    with pytest.raises(ConfigError, match="model.stem_checkpoint .*no training of these tables on these records"):
        check("model.stem_checkpoint=s.ckpt", tables=(1, 3), table=only("acoustic"))


def test_an_option_that_says_otherwise_is_named(check):
    check("runtime.device=CPU", flags={"runtime.device": "CPU", "data.group": None})
    with pytest.raises(ConfigError, match="--set data.group=Country: .*the command says Speaker"):
        check("data.group=Country", flags={"data.group": "Speaker"})


def test_reasons_are_of_keys_that_there_are():
    known = flat({section: {key.name: 0 for key in dataclasses.fields(value)}
                  for section, value in vars(load_config()).items()})
    assert set(REASONS) <= set(known)


def test_a_refusal_comes_before_anything_is_written(tiny, tmp_path):
    protocol = Protocol(tmp_path / "out", open_records(tiny.records), choose_recipes([]), ("data.fold_as=test",))
    with pytest.raises(ConfigError, match="a fold is the validation split"):
        run_protocol(protocol)
    assert not (tmp_path / "out").exists()


def only(stage):
    """A table in which no clip has the other input."""
    other = {"acoustic": "visual", "visual": "acoustic"}[stage]
    return lambda records: tuple({**row, f"present_{stage}": "1", f"present_{other}": "0"} for row in records.table)


@pytest.mark.parametrize("stage, row, lack", [("acoustic", "audio", "a face"), ("visual", "video", "sound")])
def test_records_of_one_input_fill_the_tables_that_they_can(stage, row, lack, finish, make_records, tmp_path):
    records = make_records(tmp_path / "records")
    records = dataclasses.replace(records, table=only(stage)(records))
    assert (branches_of(records), possible_tables(records, ALL)) == ((stage,), (1, 3, 4))
    protocol = finish(records, seeds=(0, 1), sets=("FAU",))
    names = [step.name for step in protocol.steps()]
    assert names == [f"seed-{s}/{name}" for s in (0, 1) for name in (stage, "features-FAU")] + [
        f"fold-{fold}/{stage}" for fold in range(5)]
    assert {step.name for step in protocol.steps() if step.predicts_test} == {n for n in names if "FAU" not in n}
    tables = {table.name: table for table in PaperTables(protocol).build()}
    assert list(tables) == ["table_1", "table_3", "table_4"]
    assert [line[0] for line in tables["table_1"].rows] == [row, "FAU"] and tables["table_1"].notes == []
    assert tables["table_4"].title == f"Table 4: emotions (validation split, Pearson of {row} alone)"
    assert f"{row} alone: no clip to train on has {lack}" in write_reproduction(protocol).read_text()
    with pytest.raises(ConfigError, match=f"table 2 needs picture and sound, and no clip of .* has {lack}; ask for"):
        dataclasses.replace(protocol, tables=(2,)).steps()


def test_an_input_that_only_one_split_has_trains_nothing(make_records, tmp_path):
    records = make_records(tmp_path)
    table = [{**row, "present_visual": str(int(row["split"] == "train")), "present_acoustic": "0"}
             for row in records.table]
    with pytest.raises(DataError, match="has neither faces nor sound in its training and validation clips"):
        branches_of(dataclasses.replace(records, table=tuple(table)))
    table[12]["present_visual"] = "1"  # of validation
    assert branches_of(dataclasses.replace(records, table=tuple(table))) == ("visual",)
