# SPDX-License-Identifier: Apache-2.0
"""The paper's protocol (tables 1 to 4) as a list of trainings, worked off step by step.

    <out>/protocol.json           which records and feature sets these runs are of
    <out>/seed-0/visual/          run folders: a branch, ...
    <out>/seed-0/fusion/          ... both, with the recipe's p_m, ...
    <out>/seed-0/fusion-pm1.0/    ... and with the other values of table 2
    <out>/seed-0/features-fau/    where the records hold feature sets: a branch of each alone, ...
    <out>/seed-0/multi-fau/       ... and all branches fused
    <out>/fold-0/{visual,acoustic,fusion}/   table 3: fold 0 of training and validation clips is held out

A run folder that holds `done.json` is not touched again; one that was stopped is taken up where it was.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from mindface_eri.config import Config, load_config, to_dict
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.folds import fold_splits, people_column
from mindface_eri.datasets.groups import independent
from mindface_eri.datasets.records import Records
from mindface_eri.device.context import setup
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.evaluation.evaluator import evaluate
from mindface_eri.files import folder_lock, write_json
from mindface_eri.reproduce.inputs import branches_of, possible_tables
from mindface_eri.reproduce.overrides import check_overrides
from mindface_eri.runner.run_folder import RunFolder, trained_otherwise
from mindface_eri.runner.trainer import train

STAGES = {"visual": "eri_visual", "acoustic": "eri_acoustic", "fusion": "eri_dual_branch"}
SET_STAGES = {"features": "eri_features", "multi": "eri_multi_branch"}  # of feature sets
MODELS = {**STAGES, **SET_STAGES}
_LIKE = {"features": "acoustic", "multi": "fusion"}  # whose recipe serves where there is none of its own
# What a recipe, or --set, says of the visual stem is not for stages that have none.
_STEMLESS = ("acoustic", "features")
_NO_STEM = {"model.stem_checkpoint": None, "model.freeze_stem": False, "model.recompute_stem": False,
            "train.cache_stem": False}
P_BOTH = (1.0, 0.9, 0.8)  # p_m of table 2
FOLDS = 5  # of table 3, where the recipe's data.folds names no other number


@dataclass(frozen=True)
class Step:
    """One training, and the prediction of the test split by a fused network."""

    name: str  # folder below the protocol's
    config: Config
    predicts_test: bool


@dataclass(frozen=True)
class Protocol:
    """What is trained on what.

    Attributes:
        out: folder for everything.
        recipes: stage -> YAML file, or None for the paper's values; `overrides` go on top (`key=value`).
        tables: which of the paper's tables, 1 to 4.
        seeds: of tables 1, 2 and 4; table 3 is trained with the first.
        sets: the records' feature sets that table 1 gives rows of their own.
        group: column whose values never straddle two folds; None where there is none of people, "none" where clips
            are independent all the same.
    """

    out: Path
    records: Records
    recipes: Mapping[str, Optional[Path]]
    overrides: Tuple[str, ...] = ()
    tables: Tuple[int, ...] = (1, 2, 3, 4)
    seeds: Tuple[int, ...] = (0, 1, 2)
    sets: Tuple[str, ...] = ()
    group: Optional[str] = None
    device: Optional[str] = None

    @functools.cached_property
    def branches(self) -> Tuple[str, ...]:
        """Of visual and acoustic, those that the records can train."""
        return branches_of(self.records)

    @property
    def last(self) -> str:
        """The stage that tables 3 and 4 are of: both inputs fused, or the only one that there is."""
        return "fusion" if len(self.branches) > 1 else self.branches[0]

    @property
    def folds(self) -> int:
        """Number of folds of table 3."""
        return self.config("fusion").data.folds or FOLDS

    def run(self, part: str, stage: str) -> Path:
        """The run folder of a stage in "seed-<n>" or "fold-<n>"."""
        return self.out / part / stage

    def fusion(self, p_both: float) -> str:
        """The fusion stage with this p_m; "fusion" with the recipe's own."""
        return "fusion" if p_both == self.config("fusion").model.p_both else f"fusion-pm{p_both}"

    @property
    def multi(self) -> str:
        """The stage that fuses all branches; another set is another stage, so that what is there stays."""
        return f"multi-{'+'.join(self.sets)}"

    def config(self, stage: str, values: Optional[Mapping[str, object]] = None) -> Config:
        """A stage's recipe on these records, with dotted `values` on top."""
        fixed = {"model.name": MODELS[stage], "model.emotions": self.records.emotions, "model.features": (),
                 "data.records": str(self.records.path), **({"runtime.device": self.device} if self.device else {})}
        stem = _NO_STEM if stage in _STEMLESS else {}
        return load_config(self.recipes[stage], self.overrides, {**fixed, **stem, **(values or {})})

    def steps(self) -> List[Step]:
        """All trainings that the tables need, each after those that it builds on.

        Raises:
            ConfigError: none can be made of these records.
        """
        steps: List[Step] = []
        if not possible_tables(self.records, self.tables):
            lack = {"acoustic": "a face", "visual": "sound"}[self.last]
            raise ConfigError(f"table {', '.join(map(str, self.tables))} needs picture and sound, and no clip of "
                              f"{self.records.path} to train on has {lack}; ask for --tables 1 3 4")
        for seed in self.seeds if {1, 2, 4} & set(self.tables) else ():
            values = {"runtime.seed": seed, "data.folds": 0, "data.fold": 0}
            steps += self._stages(f"seed-{seed}", values)
            fused = 2 in self.tables and self.last == "fusion"
            others = [p for p in P_BOTH if self.fusion(p) != "fusion"] if fused else []
            steps += [self._step(f"seed-{seed}", self.fusion(p), {**values, "model.p_both": p}) for p in others]
            steps += self._set_stages(f"seed-{seed}", values) if 1 in self.tables and self.sets else []
        for fold in range(self.folds) if 3 in self.tables else ():
            steps += self._stages(f"fold-{fold}", {
                "runtime.seed": self.seeds[0], "data.folds": self.folds, "data.fold": fold, "data.fold_as": "val",
                "data.group": self.group})
        return steps

    def _stages(self, part: str, values: Mapping[str, object]) -> List[Step]:
        return [self._step(part, stage, values) for stage in dict.fromkeys((*self.branches, self.last))]

    def _set_stages(self, part: str, values: Mapping[str, object]) -> List[Step]:
        """A branch of each feature set alone, then all branches fused."""
        alone = {name: f"features-{name}" for name in self.sets}
        runs = tuple(str(self.run(part, stage)) for stage in alone.values())
        steps = [self._step(part, stage, {**values, "model.features": (name,)}) for name, stage in alone.items()]
        if self.last == "fusion":
            steps.append(self._step(part, self.multi, {**values, "model.features": self.sets,
                                                       "train.features_runs": runs}))
        return steps

    def _step(self, part: str, name: str, values: Mapping[str, object]) -> Step:
        stage = name.split("-")[0]
        branches = {f"train.{branch}_run": str(self.run(part, branch)) for branch in ("visual", "acoustic")}
        config = self.config(stage, {**values, **(branches if stage in ("fusion", "multi") else {})})
        return Step(f"{part}/{name}", config, name == self.last and "test" in self.records.splits)


def choose_recipes(paths: Sequence[Path]) -> Dict[str, Optional[Path]]:
    """Stage -> recipe: none for the paper's values, one for all stages, or one for each, told apart by `model.name`.

    Where the latter leave out those of feature sets, their branches are trained as the acoustic one is, and all
    branches are fused as the two are.

    Raises:
        ConfigError: other than none, one, or one for each stage.
    """
    if len(paths) < 2:
        return dict.fromkeys(MODELS, paths[0] if paths else None)
    names = [load_config(path).model.name for path in paths]
    chosen = {stage: [path for path, name in zip(paths, names) if name == model] for stage, model in MODELS.items()}
    for stage, other in _LIKE.items():
        chosen[stage] = chosen[stage] or chosen[other]
    if not set(names) <= set(MODELS.values()) or any(len(found) != 1 for found in chosen.values()):
        told = ", ".join(f"{path} ({name})" for path, name in zip(paths, names))
        raise ConfigError(f"--config: one recipe for all stages, or one for each of {', '.join(STAGES.values())} (and "
                          f"of {', '.join(SET_STAGES.values())} where the records hold feature sets); got {told}")
    return {stage: found[0] for stage, found in chosen.items()}


def find_group(records: Records, asked: Optional[str] = None) -> Optional[str]:
    """`Protocol.group`: what was asked for, or the records' column that names people.

    Raises:
        DataError: there is no such column.
    """
    return asked if independent(asked) else people_column(records, asked)


def column_of(protocol: Protocol) -> Optional[str]:
    """The column by which a protocol's folds are cut and its intervals resampled, if any."""
    return None if independent(protocol.group) else find_group(protocol.records, protocol.group)


def run_protocol(protocol: Protocol, *, progress: bool = True, notify: Callable[[str], None] = print) -> bool:
    """Does every step that is not done yet.

    Returns:
        whether this is the process that writes; where a launcher started several, only one.

    Raises:
        DataError: `out` holds runs of other records.
        ConfigError: `out` holds runs of another recipe; a recipe cannot be used, or an override changes nothing.
    """
    steps = protocol.steps()
    check_overrides(protocol.overrides, load_config(protocol.recipes["fusion"], protocol.overrides),
                    [step.config for step in steps], protocol.records,
                    flags={"runtime.device": protocol.device, "data.group": protocol.group})
    context = setup(steps[0].config.runtime)
    say = notify if context.is_main else (lambda _: None)
    say(f"people are told apart by {column_of(protocol)}" if column_of(protocol) else "clips are taken as independent")
    alone = folder_lock(protocol.out / ".lock", "another `reproduce`") if context.is_main else contextlib.nullcontext()
    with alone:
        _claim(protocol, context.is_main)
        for step in steps:
            _check_recipe(step, RunFolder(protocol.out / step.name))
            fold_splits(protocol.records, step.config.data)  # a cut that cannot be made is told before days of training
        start = time.monotonic()
        for number, step in enumerate(steps, 1):
            run = RunFolder(protocol.out / step.name)
            if not (run.path / "done.json").is_file():
                say(f"\n[{time.monotonic() - start:5.0f} s] step {number} of {len(steps)}: {run.path}")
                _do(step, run, progress, say, context.is_main)
    return context.is_main


def _do(step: Step, run: RunFolder, progress: bool, say: Callable[[str], None], main: bool) -> None:
    began = time.monotonic()
    result = train(step.config, run.path, resume=True, progress=progress, notify=say)
    if step.predicts_test:
        evaluate(run.path, split="test")
    if main:
        write_json(run.path / "done.json", {
            "val_pearson": result.best_metric, "best_epoch": result.best_epoch, "epochs": result.epochs,
            "seconds": round(time.monotonic() - began, 1)})


def _claim(protocol: Protocol, main: bool) -> None:
    """Makes the folder these records' and feature sets' own; further sets may come later."""
    path = protocol.out / "protocol.json"
    sets = {name: open_feature_set(protocol.records, name).hash for name in protocol.sets}
    known: Dict[str, str] = {}
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            records, known = found["records"], dict(found.get("features", {}))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{path}: is not what `reproduce` wrote; choose another folder") from None
        other = next((name for name in sets if known.get(name, sets[name]) != sets[name]), None)
        if records != protocol.records.hash or other:
            what = f"of another feature set {other} than that of" if other else "of other records than"
            raise DataError(f"{protocol.out}: holds runs {what} {protocol.records.path}; choose another folder")
    if main and not (path.is_file() and sets.items() <= known.items()):
        protocol.out.mkdir(parents=True, exist_ok=True)
        features = {"features": {**known, **sets}} if sets else {}
        write_json(path, {"records": protocol.records.hash, **features})


def _check_recipe(step: Step, run: RunFolder) -> None:
    if not run.config.is_file():
        return
    changed = trained_otherwise(to_dict(load_config(run.config)), to_dict(step.config))
    if changed:
        raise ConfigError(f"{run.path}: was begun with another recipe ({'; '.join(changed)}); set that back, or choose "
                          "another folder")
