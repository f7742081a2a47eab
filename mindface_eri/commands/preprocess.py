# SPDX-License-Identifier: Apache-2.0
"""mindface-eri preprocess"""

import os
from pathlib import Path

from mindface_eri.commands.common import add_config, add_person, read_config
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
    parser.add_argument("--resume", action="store_true", help="go on in a folder that an earlier run began")
    parser.add_argument("--num-shards", type=int, default=int(os.environ.get("MS_WORKER_NUM", 1)),
                        help="machines that share the data set; under msrun, its worker count")
    parser.add_argument("--shard-index", type=int, default=int(os.environ.get("RANK_ID", 0)),
                        help="which of them this is, from 0; under msrun, its rank")
    parser.add_argument("--preview", type=int, default=0, metavar="K",
                        help="write a contact sheet (PNG) for each of the first K clips")
    parser.add_argument("--clip-limit", type=float, default=3600.0, metavar="SECONDS",
                        help="give a clip up that takes longer")


def run(arguments):
    """Preprocesses; status 1 when a clip failed."""
    from mindface_eri.datasets.build.preprocessing import preprocess_dataset

    config = read_config(arguments, preprocess__face__detector=arguments.detector,
                         preprocess__face__mode=arguments.mode, preprocess__face__follow=arguments.person)
    summary = preprocess_dataset(
        arguments.data, arguments.out, config.preprocess, workers=arguments.workers, resume=arguments.resume,
        num_shards=arguments.num_shards, shard_index=arguments.shard_index, preview=arguments.preview,
        clip_limit=arguments.clip_limit)
    print(f"{summary.done} clips in {arguments.out} ({summary.reused} were there), {summary.failed} failed, "
          f"{summary.seconds:.1f} s")
    if summary.failed:
        print(f"reasons: {arguments.out / 'failures.csv'}")
    return int(summary.failed > 0)
