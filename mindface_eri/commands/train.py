"""mindface-eri train"""

from pathlib import Path

from mindface_eri.commands.common import add_config, add_device, read_config


def add_arguments(parser):
    """Adds this command's arguments."""
    add_config(parser, required=True)
    parser.add_argument("--data", type=Path, help="folder of records (override data.records)")
    parser.add_argument("--out", type=Path, required=True, help="run folder to write")
    parser.add_argument("--visual-run", type=Path, help="fusion: run of the visual branch (train.visual_run)")
    parser.add_argument("--acoustic-run", type=Path, help="fusion: run of the acoustic branch (train.acoustic_run)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    add_device(parser)


def run(arguments):
    """Trains and prints where the best checkpoint lies."""
    from mindface_eri.runner.trainer import train

    config = read_config(arguments, data__records=arguments.data, train__visual_run=arguments.visual_run,
                         train__acoustic_run=arguments.acoustic_run)
    result = train(config, arguments.out, resume=arguments.resume)
    print(f"best validation Pearson {result.best_metric:.4f} in epoch {result.best_epoch}; "
          f"checkpoint {arguments.out / 'checkpoints' / 'best.ckpt'}")
    return 0
