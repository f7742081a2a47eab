# SPDX-License-Identifier: Apache-2.0
"""mindface-eri train"""

import dataclasses
from pathlib import Path

from mindface_eri.commands.common import add_config, add_device, read_config


def add_arguments(parser):
    """Adds this command's arguments."""
    add_config(parser, required=True)
    parser.add_argument("--data", type=Path, help="folder of records (override data.records)")
    parser.add_argument("--out", type=Path, required=True, help="run folder to write")
    parser.add_argument("--visual-run", type=Path, help="fusion: run of the visual branch (train.visual_run)")
    parser.add_argument("--acoustic-run", type=Path, help="fusion: run of the acoustic branch (train.acoustic_run)")
    parser.add_argument("--features-run", type=Path, action="append", dest="features_runs",
                        help="fusion: run of a branch of other features (train.features_runs); may be given many times")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--profile-data", action="store_true",
                        help="say also how many clips a second the data pipeline alone gives, and training takes")
    add_device(parser)


def run(arguments):
    """Trains, draws the learning curves, prints where the best checkpoint lies and what a small corpus lets expect."""
    from mindface_eri.runner.profile import profile_line
    from mindface_eri.runner.trainer import train

    config = read_config(arguments, data__records=arguments.data, train__visual_run=arguments.visual_run,
                         train__acoustic_run=arguments.acoustic_run, train__features_runs=arguments.features_runs)
    _speed_up(config.model)
    words = _words_before(config)
    for sentence in words:
        print(sentence, flush=True)
    result = train(config, arguments.out, resume=arguments.resume, profile_data=arguments.profile_data)
    if not result.is_main:
        return 0
    if result.pipeline_rate is not None:
        print(profile_line(result.pipeline_rate, result.history))
    _draw(arguments.out)
    print(f"best validation Pearson {result.best_metric:.4f} in epoch {result.best_epoch}; "
          f"checkpoint {arguments.out / 'checkpoints' / 'best.ckpt'}")
    if words:
        print("\n".join(_words_after(arguments.out)))
    return 0


def _speed_up(model):
    """This process trains nothing else: without frames its networks hold no convolution, those of others aside."""
    from mindface_eri.device.context import compute_without_convolutions
    from mindface_eri.models.registry import OWN

    if model.name in OWN and "frames" not in model.inputs:
        compute_without_convolutions()


def _words_before(config):
    """What a small corpus lets expect; nothing of others, nor in a process that does not write."""
    from mindface_eri.device.context import launched
    from mindface_eri.errors import ERIError
    from mindface_eri.evaluation.small import words_before_training

    try:
        return words_before_training(config) if launched()[0] == 0 else []
    except ERIError:  # training says so, and what to do
        return []


def _words_after(folder):
    """The validation score beside the baseline's."""
    from mindface_eri.errors import ERIError
    from mindface_eri.evaluation.beside import baseline_beside
    from mindface_eri.evaluation.runs import read_scored
    from mindface_eri.evaluation.small import caution_of_choice

    try:
        scored = dataclasses.replace(read_scored(folder), name=folder.resolve().name)
    except ERIError as error:
        return [f"no baseline beside it: {error}"]
    beside = baseline_beside(folder, scored)
    return [line for line in (*beside.tables(), *beside.said, caution_of_choice(scored)) if line]


def _draw(folder):
    """The picture is an extra: training works where Matplotlib does not."""
    try:
        from mindface_eri.report.run_figures import draw_learning_curves
    except ImportError as error:
        print(f"no learning curves drawn: {error}")
    else:
        print(f"learning curves {draw_learning_curves(folder)}")
