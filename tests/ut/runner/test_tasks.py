# SPDX-License-Identifier: Apache-2.0
"""What a recipe trains on what: the branches inside a fused network, its batches, its statistics, and its refusals."""

import dataclasses
import shutil
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindface_eri.datasets.feature_import import add_features
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.records import open_records
from mindface_eri.device.context import Context
from mindface_eri.errors import CheckpointError, ConfigError, DataError
from mindface_eri.models.registry import build_network
from mindface_eri.runner.batches import FeatureBatches, RecordBatches
from mindface_eri.runner.checkpoint import read_checkpoint, save_checkpoint
from mindface_eri.runner.run_folder import load_trained
from mindface_eri.runner.tasks import complete, frozen_names, prepare_task

HERE = Context("CPU", "pynative")


@pytest.fixture(autouse=True)
def nothing_is_compiled(graph_mode):
    ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.fixture(scope="module")
def records(mixed_records, tmp_path_factory):
    """The mixed records with two feature sets, `gaze` of three columns and `fau` of two; each lacks some clips."""
    root = tmp_path_factory.mktemp("sets")
    copy = open_records(shutil.copytree(mixed_records.path, root / "records"))
    random = np.random.default_rng(2)
    for name, width, absent in (("gaze", 3, ("00001", "00012")), ("fau", 2, ("00003",))):
        (root / name).mkdir()
        for clip in set(copy.ids()) - set(absent):
            rows = [",".join(f"{x:.4f}" for x in (t, *random.normal(5, 2, width))) for t in range(4)]
            (root / name / f"{clip}.csv").write_text(
                "\n".join([",".join(["timestamp", *(f"c{i}" for i in range(width))]), *rows]))
        add_features(root / name, copy, progress=False)
    return copy


@pytest.fixture(scope="module")
def recipe(records, mixed_config, replace):
    """`recipe(name, features, ...)`: the tiny recipe of a network on these records, completed."""
    def config(name, features=(), train=(), **model):
        found = replace(mixed_config, model={"name": name, "features": features, **model},
                        train={"batch_size": 11, **dict(train)}, data={"records": str(records.path)})
        return complete(found, records)

    return config


@pytest.fixture(scope="module")
def runs(recipe, drawn_run, tmp_path_factory):
    """Run folders of the four branches."""
    root = tmp_path_factory.mktemp("runs")
    return SimpleNamespace(**{
        name: str(drawn_run(root / name, recipe(f"eri_{kind}", sets), seed))
        for seed, (name, kind, sets) in enumerate([("visual", "visual", ()), ("acoustic", "acoustic", ()),
                                                   ("fau", "features", ("fau",)), ("gaze", "features", ("gaze",))])})


def prepare(config, records, said=None):
    return prepare_task(config, records, HERE, (said if said is not None else []).append)


def features_of(run, *inputs):
    return load_trained(run).build().features(*(Tensor(x) for x in inputs)).asnumpy()


def read(records, split, column):
    return np.stack([row[column] for row in records.read(records.ids(split), (column,))])


def same_weights(network, prefix, run):
    """Names of a branch inside `network`, each of which has the value of the branch's own run."""
    weights = read_checkpoint(f"{run}/checkpoints/best.ckpt")[0]
    inside = {p.name[len(prefix):]: p.asnumpy() for p in network.get_parameters() if p.name.startswith(prefix)}
    assert set(inside) == {name for name in weights if not name.startswith("head.")}
    for name, value in inside.items():
        np.testing.assert_array_equal(value, weights[name])
    return {prefix + name for name in inside}


def test_fusion_trains_on_the_features_of_its_frozen_branches(records, recipe, runs):
    said = []
    config = recipe("eri_dual_branch", train={"visual_run": runs.visual, "acoustic_run": runs.acoustic})
    task = prepare(config, records, said)
    assert task.trained_part is task.network.fusion and isinstance(task.batches, FeatureBatches) and task.note == {}
    assert len(said) == 4 and "features of 11 train clips by the visual branch" in said[0]
    branches = same_weights(task.network, "visual.", runs.visual) | same_weights(task.network, "acoustic.",
                                                                                runs.acoustic)
    assert frozen_names(task) == branches and {p.name for p in task.trained_part.get_parameters()}.isdisjoint(branches)
    for split in ("train", "val"):
        visual, acoustic, present = task.batches.features[split]
        assert len(visual) == len(records.ids(split))
        np.testing.assert_allclose(acoustic, features_of(runs.acoustic, read(records, split, "mfcc")), atol=1e-5)
        np.testing.assert_array_equal(present, read(records, split, "present"))
        assert present.dtype == np.float32 and present[:, 1].min() == 0
    seen = features_of(runs.visual, read(records, "val", "frames"))  # pictures take long: of one split only
    np.testing.assert_allclose(task.batches.features["val"][0], seen, atol=1e-5)
    assert np.ptp(seen) > 0.1
    assert task.batches.ids == {split: list(records.ids(split)) for split in ("train", "val")}
    share = prepare_task(config, records, Context("CPU", "pynative", 1, 2), said.append)  # finds the features there
    assert len(said) == 4 and share.batches.context.rank == 1
    for found, whole in zip(share.batches.features["val"], task.batches.features["val"]):
        np.testing.assert_array_equal(found, whole)  # each process has all of it, and takes its share batch by batch


def test_more_branches_are_fused_in_the_order_of_the_recipe(records, recipe, runs):
    runs_in_another_order = {"features_runs": (runs.fau, runs.gaze), "acoustic_run": runs.acoustic,
                             "visual_run": runs.visual}
    task = prepare(recipe("eri_multi_branch", ("gaze", "fau"), runs_in_another_order), records)
    *features, present = task.batches.features["val"]
    rows = records.rows(records.ids("val"))
    for found, name in zip(features[2:], ("gaze", "fau")):
        values = open_feature_set(records, name).values[rows]
        np.testing.assert_allclose(found, features_of(getattr(runs, name), values), atol=1e-5)
    assert len(features) == 4 and present.dtype == np.float32
    np.testing.assert_array_equal(present, [[1, 1, 0, 1], [1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    np.testing.assert_array_equal(task.batches.features["train"][-1][:, 2:].sum(0), [10, 10])
    same_weights(task.network, "feature_branches.0.", runs.gaze)
    same_weights(task.network, "feature_branches.1.", runs.fau)
    assert set(task.note) == {"features"} and list(task.note["features"]) == ["gaze", "fau"]
    assert task.note["features"]["fau"]["columns"] == ["c0", "c1"]


def test_end_to_end_trains_everything_from_the_branches_that_are_given(records, recipe, runs):
    task = prepare(recipe("eri_dual_branch", train={"acoustic_run": runs.acoustic, "end_to_end": True}), records)
    assert task.trained_part is task.network and frozen_names(task) == set()
    assert isinstance(task.batches, RecordBatches) and task.batches.columns == ("frames", "mfcc", "present")
    same_weights(task.network, "acoustic.", runs.acoustic)
    drawn = {p.name: p.asnumpy() for p in task.network.get_parameters()}["visual.stem.conv1.weight"]
    assert not np.array_equal(drawn, read_checkpoint(f"{runs.visual}/checkpoints/best.ckpt")[0]["stem.conv1.weight"])


@pytest.mark.parametrize("name, features, columns", [
    ("eri_visual", (), ("frames",)), ("eri_acoustic", (), ("mfcc",)), ("eri_features", ("fau",), ("fau",))])
def test_a_branch_alone_trains_on_its_own_input(records, recipe, name, features, columns):
    task = prepare(recipe(name, features), records)
    assert task.trained_part is task.network and task.batches.columns == columns and frozen_names(task) == set()
    assert bool(task.note) == bool(features)


@pytest.mark.parametrize("name, prefix", [("eri_acoustic", ""), ("eri_dual_branch", "acoustic.")])
def test_sound_is_normalised_by_the_training_clips_that_have_some(records, recipe, name, prefix):
    network = prepare(recipe(name, train={"end_to_end": True}), records).network
    heard = read(records, "train", "mfcc")[read(records, "train", "present")[:, 1] == 1].reshape(-1, 8)
    assert len(heard) == 9 * 4
    values = {p.name: p.asnumpy() for p in network.get_parameters()}
    np.testing.assert_allclose(values[f"{prefix}mfcc_mean"], heard.mean(0), rtol=1e-5)
    np.testing.assert_allclose(values[f"{prefix}mfcc_std"], heard.std(0), rtol=1e-4)


@pytest.mark.parametrize("name, sets, prefix", [("eri_features", ("fau",), ""), (
    "eri_multi_branch", ("gaze", "fau"), "feature_branches.1.")])
def test_features_are_normalised_by_the_training_clips_that_have_them(records, recipe, name, sets, prefix):
    network = prepare(recipe(name, sets, {"end_to_end": True}), records).network
    fau = open_feature_set(records, "fau")
    rows = [row for row in records.rows(records.ids("train")) if fau.present[row]]
    there = fau.values[rows].reshape(-1, 2)
    assert len(there) == 10 * 4
    values = {p.name: p.asnumpy() for p in network.get_parameters()}
    np.testing.assert_allclose(values[f"{prefix}feature_mean"], there.mean(0), rtol=1e-5)
    np.testing.assert_allclose(values[f"{prefix}feature_std"], there.std(0), rtol=1e-4)


def test_training_starts_from_the_stem_that_the_recipe_names(records, recipe, tmp_path):
    ms.set_seed(77)
    other = build_network(recipe("eri_visual").model)
    save_checkpoint(tmp_path / "stem.ckpt", {p.name: p for p in other.get_parameters() if p.name.startswith("stem.")})
    ms.set_seed(1)
    stem = {p.name: p.asnumpy() for p in other.get_parameters() if p.name.startswith("stem.")}
    for name, prefix in (("eri_visual", ""), ("eri_dual_branch", "visual.")):
        config = recipe(name, train={"end_to_end": True}, stem_checkpoint=str(tmp_path / "stem.ckpt"))
        found = {p.name: p.asnumpy() for p in prepare(config, records).network.get_parameters()}
        assert stem and all(np.array_equal(found[prefix + key], value) for key, value in stem.items())


def test_widths_of_feature_sets_come_from_the_records(records, mixed_config, replace):
    config = replace(mixed_config, model={"name": "eri_multi_branch", "features": ("gaze", "fau")})
    assert complete(config, records).model.feature_widths == (3, 2)
    assert complete(complete(config, records), records).model.feature_widths == (3, 2)
    assert complete(mixed_config, records) == mixed_config
    with pytest.raises(DataError, match=r"model.feature_widths is \[2, 3\] but the records' sets gaze, fau have "
                                        r"\[3, 2\]; leave it out"):
        complete(replace(config, model={"feature_widths": (2, 3)}), records)


@pytest.mark.parametrize("name, features, said, clips", [
    ("eri_acoustic", (), ["2 of 11 train clips have no sound: left out", "1 of 5 val clips have no sound: left out"],
     (9, 4)),
    ("eri_features", ("gaze",), ["1 of 11 train clips have no gaze: left out",
                                 "1 of 5 val clips have no gaze: left out"], (10, 4)),
    ("eri_visual", (), [], (11, 5))])
def test_a_branch_alone_learns_nothing_from_clips_that_lack_its_modality(records, recipe, name, features, said, clips):
    """Zeros stand there, and would be taken for a measurement; the plan, the batches and validation go without them."""
    found = []
    config = recipe(name, features, {"batch_size": 3})
    batches = prepare(config, records, found).batches
    assert found == said
    assert (len(batches.ids["train"]), batches.count("val")) == clips and batches.plan().steps == clips[0] // 3
    if name == "eri_acoustic":
        seen = [batch[0] for epoch in (0, 1) for batch in batches.train(epoch)]
        assert len(seen) == 6 and min(np.abs(mfcc).max((1, 2)).min() for mfcc in seen) > 0
        assert [int(clip) % 5 for clip in batches.ids["train"]].count(4) == 0


def test_clips_without_labels_are_told_of_once(records, recipe, caplog):
    """Two of eleven training clips have no label; a third has one of two."""
    labels = records.all_labels.copy()
    rows = records.rows(records.ids("train"))
    labels[rows[:2]], labels[rows[4], 1] = np.nan, np.nan
    holed, found = dataclasses.replace(records, all_labels=labels), []
    batches = prepare(recipe("eri_visual", train={"batch_size": 3}), holed, found).batches
    assert found == ["2 of 11 train clips have no labels: left out",
                     "1 of 11 train clips lack some of their labels: the others count"]
    assert len([batch for epoch in (0, 1) for batch in batches.train(epoch)]) == 2 * 3
    assert caplog.text == "" and len(batches.ids["train"]) == 9 and batches.plan().steps == 3


def test_checkpoints_carry_what_is_to_be_known_of_their_data(records, recipe):
    assert "about" not in prepare(recipe("eri_visual"), records).note
    noted = dataclasses.replace(records, note="People are drawn.")
    assert prepare(recipe("eri_visual"), noted).note["about"] == "People are drawn."


@pytest.mark.parametrize("split, known, said", [
    ("train", 0, "0 train clips have a label of Fear, need 1; label more, or take the column out"),
    ("val", 1, "1 val clips have a label of Fear, need 2")])
def test_an_emotion_that_nobody_labelled_is_refused(records, recipe, split, known, said):
    labels = records.all_labels.copy()
    labels[records.rows(records.ids(split))[known:], 1] = np.nan
    with pytest.raises(DataError, match=said):
        prepare(recipe("eri_visual"), dataclasses.replace(records, all_labels=labels))


@pytest.mark.parametrize("split", ["train", "val"])
def test_training_needs_both_splits(records, recipe, split):
    table = tuple({**row, "split": "test"} if row["split"] == split else row for row in records.table)
    with pytest.raises(DataError, match=f"no clips in split '{split}' that eri_\\w+ can use, and training"):
        prepare(recipe("eri_acoustic"), dataclasses.replace(records, table=table))


@pytest.mark.parametrize("made, said", [
    ({"frames": 5}, "model.frames is 4 but the records were made with 5; preprocess again with this recipe"),
    ({"size": 40}, "model.crop_size is 32 but the records were made with 40"),
    ({"coefficients": 6}, "model.mfcc_features is 8 but the records were made with 12")])
def test_records_of_another_preprocessing_are_refused(records, recipe, made, said):
    preprocess = records.preprocess
    for name, value in made.items():
        room = {"size": "face", "coefficients": "audio"}.get(name)
        fields = {name: value} if room is None else {
            room: dataclasses.replace(getattr(preprocess, room), **{name: value})}
        preprocess = dataclasses.replace(preprocess, **fields)
    with pytest.raises(DataError, match=said):
        prepare(recipe("eri_acoustic"), dataclasses.replace(records, preprocess=preprocess))


def test_emotions_are_those_of_the_records_in_their_order(records, recipe):
    with pytest.raises(DataError, match="the records' emotions are Amusement, Fear, the recipe's model.emotions Fear, "
                                        "Amusement; set model.emotions"):
        prepare(recipe("eri_acoustic", emotions=("Fear", "Amusement")), records)


@pytest.mark.parametrize("train, error, said", [
    ({"visual_run": "visual"}, ConfigError, "train.acoustic_run is not set: .* the run folder of eri_acoustic"),
    ({"acoustic_run": "acoustic"}, ConfigError, "train.visual_run is not set: .* the run folder of eri_visual"),
    ({"visual_run": "acoustic", "acoustic_run": "acoustic"}, CheckpointError,
     "train.visual_run: .*best.ckpt holds eri_acoustic, need eri_visual"),
    ({"visual_run": "visual", "acoustic_run": "acoustic"}, ConfigError,
     "train.features_runs is not set for gaze: .* the run folder of eri_features"),
    ({"features_runs": ("fau", "fau")}, ConfigError, "fau was trained on the feature set fau; need one run for each of "
                                                     "model.features, gaze, fau"),
    ({"features_runs": ("visual",)}, CheckpointError, "train.features_runs: .* holds eri_visual, need eri_features")])
def test_branches_that_lack_or_do_not_fit_are_named(records, recipe, runs, train, error, said):
    paths = {key: tuple(getattr(runs, name) for name in value) if isinstance(value, tuple) else getattr(runs, value)
             for key, value in train.items()}
    with pytest.raises(error, match=said):
        prepare(recipe("eri_multi_branch", ("gaze", "fau"), paths), records)


def test_branches_of_other_emotions_or_sizes_are_refused(records, recipe, runs, drawn_run, tmp_path):
    joy = drawn_run(tmp_path / "joy", recipe("eri_acoustic", emotions=("Joy", "Fear")), 5)
    train = {"visual_run": runs.visual, "acoustic_run": str(joy), "end_to_end": True}
    with pytest.raises(CheckpointError, match="train.acoustic_run: .* was trained on Joy, Fear, the recipe's "
                                              "model.emotions are Amusement, Fear"):
        prepare(recipe("eri_dual_branch", train=train), records)
    with pytest.raises(CheckpointError, match=r"visual.checkpoints.best.ckpt: the visual branch's weights: "):
        prepare(recipe("eri_dual_branch", train={**train, "acoustic_run": runs.acoustic}, width=12), records)
    with pytest.raises(CheckpointError, match="train.visual_run: .*best.ckpt has model.temporal plain, the recipe "
                                              "temma; set model.temporal=plain, or train the branch anew"):
        prepare(recipe("eri_dual_branch", train=train, temporal="temma"), records)


@pytest.mark.parametrize("context", [HERE, Context("CPU", "graph", 0, 2)])
def test_a_stem_that_is_computed_twice_where_its_norms_would_count_twice(records, recipe, context):
    with pytest.raises(ConfigError, match="model.recompute_stem counts each batch twice"):
        prepare_task(recipe("eri_visual", recompute_stem=True), records, context, str)
    prepare_task(recipe("eri_visual", recompute_stem=True), records, Context("CPU", "graph"), str)
