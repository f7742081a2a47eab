# SPDX-License-Identifier: Apache-2.0
"""What a command does without its options is what the function that it calls does without its arguments."""

import argparse
import importlib
import inspect
from pathlib import Path

import pytest

from mindface_eri.cli import COMMANDS

PREPROCESS, PREDICT = "datasets.build.preprocessing.preprocess_dataset", "prediction.predictor.Predictor.predict"
HELD_OUT = "evaluation.held_out"
EXPORT, SCORE = "deploy.exporter.export", "evaluation.runs.evaluate_run"
SUBJECTS = {"data": "data.benchmark_data", "features": "features.benchmark_features", "route": "route.benchmark_route",
            "growth": "growth.benchmark_growth", "infer": "networks.benchmark_infer",
            "predict": "predict.benchmark_predict", "preprocess": "preprocess.benchmark_preprocess",
            "train": "training.benchmark_train", "kernels": "kernels.benchmark_kernels",
            "timeline": "timeline.benchmark_timeline"}

# command: option -> functions under mindface_eri (and their argument, where it has another name) that receive it.
HANDED = {
    "doctor": {"device": ["doctor.diagnose"]},
    "selftest": {"device": ["selftest.table.selftest"]},
    "demo": {name: ["demo.run_demo"] for name in ("recipes", "clips", "seed")},
    "labels": {},
    "recipes": {"out": ["recipes.copy_recipe"]},
    "synthesize": {name: ["synthetic.corpus.synthesize", "synthetic.morph_corpus.synthesize_morphs"]
                   for name in ("clips", "seed", "duration", "fps", "workers")},
    "samples": {"archive": ["datasets.samples.fetch_samples"]},
    "preprocess": {name: [PREPROCESS] for name in ("workers", "resume", "preview", "clip_limit", "verify",
                                              "scheduler")},
    "add-features": {name: ["datasets.feature_import.add_features"] for name in ("name", "columns", "unit", "method")},
    "train": {name: ["runner.trainer.train"] for name in ("resume", "profile_data")},
    "extract-features": {"split": ["runner.features.extract_features splits"],
                         "device": ["runner.features.extract_features"],
                         "scheduler": ["runner.features.extract_features"],
                         "data": ["runner.features.extract_features records"]},
    "evaluate": {"data": [f"{SCORE} records", "evaluation.evaluator.evaluate records"],
                 "split": [SCORE, "evaluation.runs.read_scored", "evaluation.evaluator.evaluate"],
                 "labels": [SCORE, "evaluation.runs.read_scored"], "group": [SCORE, "evaluation.runs.read_scored"],
                 "device": [SCORE, "evaluation.evaluator.evaluate"], "by": ["evaluation.scores.score"]},
    "reproduce": {"tables": ["reproduce.protocol.Protocol"], "group": ["reproduce.protocol.Protocol"],
                  "device": ["reproduce.protocol.Protocol"], "overrides": ["reproduce.protocol.Protocol"],
                  "test_labels": ["reproduce.reproduction.write_reproduction"],
                  "workers": [PREPROCESS]},
    "baseline": {"folds": [], "splits": [f"{HELD_OUT}.score_splits"], "pool": [f"{HELD_OUT}.score_folds"],
                 "seed": [f"{HELD_OUT}.score_folds"],
                 **{name: [f"{HELD_OUT}.score_splits", f"{HELD_OUT}.score_folds"]
                    for name in ("by", "modalities", "copies")}},
    "compare": {"split": ["evaluation.runs.read_scored"], "labels": ["evaluation.runs.read_scored"],
                "group": ["evaluation.runs.read_scored"]},
    "figures": {name: ["report.run_figures.write_run_figures"] for name in ("split", "labels", "formats", "out")},
    "cross-validate": {**{name: ["study.plan.plan_study"] for name in ("overrides", "folds", "by", "seeds", "device")},
                       "workers": [PREPROCESS]},
    "submission": {"missing": ["evaluation.submission.write_submission"]},
    "predict": {**{name: [PREDICT] for name in ("window", "hop", "whole", "batch_size", "clip_limit", "features",
                                                "person", "people")},
                "device": ["prediction.predictor.load_predictor"],
                "model": ["prediction.predictor.load_predictor path"]},
    "serve": {**{name: ["serve.settings.Settings"] for name in (
        "host", "port", "token", "token_file", "workers", "uploads", "max_megabytes", "max_seconds", "max_megapixels",
        "clip_limit", "upload_limit", "memory", "live", "keep", "allow_url")},
              "device": ["prediction.predictor.load_predictor"],
              "model": ["prediction.predictor.load_predictor path"]},
    "export": {"formats": [EXPORT], "out": [f"{EXPORT} out_dir"], "device": [EXPORT], "parts": [EXPORT],
               **dict.fromkeys(("tolerance", "least_pearson"), ["deploy.lower.lower", "deploy.lowered.check_asked"])},
    "convert-weights": {},
    "summary": {"batch_size": ["models.summary.summarize batch_sizes"]},
    "benchmark": {"repeats": [f"benchmark.{SUBJECTS[name]}" for name in ("data", "features", "infer", "predict",
                                                                         "preprocess", "train", "kernels", "timeline")],
                  "threads": [f"benchmark.{SUBJECTS[name]}" for name in ("infer", "predict", "train", "kernels",
                                                                         "timeline")],
                  "workers": [f"benchmark.{SUBJECTS[name]}" for name in ("data", "route", "growth")]},
}
# The command's own: what it reads, prints and writes, its recipe, and what of the recipe it overrides.
OWN = {"config", "overrides", "json", "verbose", "format", "out", "report", "overlay", "figure", "predictions", "check",
       "checkpoint", "paths", "no_baseline", "what", "detector", "mode", "person", "visual_run", "acoustic_run",
       "features_runs", "recipes", "clips", "portraits", "emotion", "media", "scale", "labels", "column", "sheet",
       "quantize", "bf16"}
# Said otherwise on the command line: "dynamic" is Python's None, three seeds are 0, 1 and 2;
# a command always has a process to lose.
SPELT = {("labels", "seed"): (0, "datasets.label_import.Options seed", 0),
         ("predict", "workers"): (1, f"{PREDICT} workers", 0),
         ("predict", "scheduler"): (None, f"{PREDICT} taken", None),  # a function of its own takes it
         ("export", "batch"): ("dynamic", f"{EXPORT} batch", None),
         ("preprocess", "num_shards"): (None, f"{PREPROCESS} num_shards", 1),  # None: as msrun says, or these
         ("preprocess", "shard_index"): (None, f"{PREPROCESS} shard_index", 0),
         ("reproduce", "seeds"): (3, "reproduce.protocol.Protocol seeds", (0, 1, 2))}


def options(command):
    """Option -> default, of those that can be left out."""
    parser = argparse.ArgumentParser(description="")
    importlib.import_module("mindface_eri.commands." + command.replace("-", "_")).add_arguments(parser)
    return {action.dest: action.default for action in parser._actions
            if not action.required and action.dest != "help" and action.option_strings}


def default(place, option):
    """The default of an argument: "module.function argument"."""
    path, _, name = place.partition(" ")
    module, found = path, None
    while found is None:
        module = module.rpartition(".")[0]
        try:
            found = importlib.import_module(f"mindface_eri.{module}")
        except ModuleNotFoundError:
            continue
    for part in path[len(module) + 1:].split("."):
        found = getattr(found, part)
    value = inspect.signature(found).parameters[name or option].default
    assert value is not inspect.Parameter.empty, f"{path} has no default for {name or option}"
    return value


def plain(value):
    """Lists as tuples, paths as text, and one word for nothing."""
    if isinstance(value, (list, tuple)) or (value is not None and not value and hasattr(value, "keys")):
        return tuple(value)
    return str(value) if isinstance(value, Path) else value


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    monkeypatch.delenv("MS_WORKER_NUM", raising=False)
    monkeypatch.delenv("RANK_ID", raising=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_defaults_are_those_of_python(command):
    given = options(command)
    for option, places in HANDED[command].items():
        for place in places:
            assert plain(given[option]) == plain(default(place, option)), f"--{option}: {place}"


@pytest.mark.parametrize("command, option", SPELT)
def test_defaults_that_are_spelt_otherwise(command, option):
    said, place, meant = SPELT[command, option]
    assert options(command)[option] == said and default(place, option) == meant


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_is_forgotten_here(command):
    spelt = {option for of, option in SPELT if of == command}
    overriding = {"data", "device"} if command == "train" else set()
    assert set(options(command)) <= set(HANDED[command]) | spelt | OWN | overriding
