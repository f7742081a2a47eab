# SPDX-License-Identifier: Apache-2.0
"""mindface-eri preprocess"""

import sys
from pathlib import Path

from mindface_eri.commands.common import add_config, add_person, add_scheduler, read_config
from mindface_eri.threads import cores


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("data", type=Path, help="a data set (data_info.csv, or labels.csv and partition.csv), or any "
                                                "folder of media files")
    parser.add_argument("out", type=Path, help="folder for the records")
    add_config(parser)
    parser.add_argument("--detector", metavar="NAME",
                        help="override preprocess.face.detector: auto, dlib, mtcnn, or one that a plugin registers")
    parser.add_argument("--mode", choices=("track", "every-frame"), help="override preprocess.face.mode")
    add_person(parser)
    parser.add_argument("--workers", type=int, default=cores(), help="processes")
    add_scheduler(parser, "instead of --workers processes here")
    parser.add_argument("--resume", action="store_true", help="go on in a folder that an earlier run began")
    parser.add_argument("--num-shards", type=int,
                        help="machines that share the data set (default: 1, under msrun its worker count)")
    parser.add_argument("--shard-index", type=int,
                        help="which of them this is, from 0 (default: 0, under msrun its rank)")
    parser.add_argument("--preview", type=int, default=0, metavar="K",
                        help="write a contact sheet (PNG) for each of the first K clips")
    parser.add_argument("--clip-limit", type=float, default=3600.0, metavar="SECONDS",
                        help="give a clip up that takes longer")
    parser.add_argument("--verify", action="store_true",
                        help="with --resume: find clips that have changed by their hash, not by size and time alone")


def run(arguments):
    """Preprocesses; status 1 when a clip failed."""
    from mindface_eri.datasets.build.preprocessing import preprocess_dataset
    from mindface_eri.device.context import is_scheduler, launched
    from mindface_eri.device.hardware import has_mindspore

    if arguments.num_shards is None and launched()[1] > 1 and is_scheduler():
        return 0  # msrun's workers share the clips, and need nobody to find each other
    config = read_config(arguments, preprocess__face__detector=arguments.detector,
                         preprocess__face__mode=arguments.mode, preprocess__face__follow=arguments.person)
    num_shards, shard_index = _share(arguments)
    summary = preprocess_dataset(
        arguments.data, arguments.out, config.preprocess, workers=arguments.workers, resume=arguments.resume,
        num_shards=num_shards, shard_index=shard_index, preview=arguments.preview,
        clip_limit=arguments.clip_limit, verify=arguments.verify, scheduler=arguments.scheduler)
    print(f"{summary.done} clips in {arguments.out} ({summary.reused} were there), {summary.failed} failed, "
          f"{summary.seconds:.1f} s")
    if config.preprocess.augment.speeds:
        splits = " and ".join(config.preprocess.augment.splits)
        print(f"{summary.copies} copies of the sound of {splits} clips lie beside them, for training alone")
    if summary.failed:
        print(f"reasons: {arguments.out / 'failures.csv'}")
    if not has_mindspore():
        print("They wait for MindSpore, which packs them into records for training: run this again with --resume where "
              "mindface_eri[train] is installed; the label table has to be there, the media need not")
    return int(summary.failed > 0)


def _share(arguments):
    """How many runs share the data set and which one this is: as the options say, or else msrun."""
    from mindface_eri.device.context import launched, stray_ranks
    from mindface_eri.errors import ConfigError

    rank, processes = launched()
    num_shards = processes if arguments.num_shards is None else arguments.num_shards
    if arguments.shard_index is not None:
        return num_shards, arguments.shard_index
    if rank is None and num_shards > 1:
        raise ConfigError("msrun started several processes, but not with ranks that are known from the start; give "
                          "each machine its --node_rank, or this command its --shard-index")
    if num_shards == 1 and stray_ranks():
        print(f"mindface-eri preprocess: {stray_ranks()} was not set by msrun: this run takes all clips (--num-shards "
              "and --shard-index share them)", file=sys.stderr)
    return num_shards, rank or 0
