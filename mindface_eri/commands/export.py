# SPDX-License-Identifier: Apache-2.0
"""mindface-eri export"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("run_folder", type=Path, nargs="?", metavar="RUN", help="run folder, or a .ckpt file")
    parser.add_argument("--checkpoint", type=Path, metavar="RUN", help="the same, as version 0.1 has it")
    parser.add_argument("--format", nargs="+", default=["mindir"], choices=("mindir", "onnx", "air"), dest="formats",
                        help="file formats")
    parser.add_argument("--batch", default="dynamic", metavar="dynamic|N", help="size of the batch axis")
    parser.add_argument("--out", type=Path, help="folder to write; without it, RUN/export")
    parser.add_argument("--parts", action="store_true",
                        help="write the part for each frame alone and the part over time as files of their own, too: "
                             "timelines then compute each frame once")
    parser.add_argument("--device", choices=("auto", "CPU", "GPU", "Ascend"), default="auto",
                        help="where checkpoint and MindIR are compared, in full float32; auto: CPU")


def run(arguments):
    """Exports, checks and prints the differences."""
    from mindface_eri.deploy.exporter import export
    from mindface_eri.errors import ConfigError
    from mindface_eri.evaluation.tables import format_table

    if (arguments.run_folder is None) == (arguments.checkpoint is None):
        raise ConfigError("name the run folder to export, once: mindface-eri export RUN")
    if arguments.batch != "dynamic" and not (arguments.batch.isdigit() and int(arguments.batch) > 0):
        raise ConfigError(f"--batch {arguments.batch}: expected 'dynamic' or a number of clips, such as 16")
    batch = None if arguments.batch == "dynamic" else int(arguments.batch)
    report = export(arguments.run_folder or arguments.checkpoint, arguments.out, formats=tuple(arguments.formats),
                    batch=batch, device=arguments.device, parts=arguments.parts)
    print(format_table(["file", "MiB", "largest difference from the checkpoint"],
                       [[str(f.path), f"{f.path.stat().st_size / 2**20:.2f}", f"{f.max_difference:.1e}"]
                        for f in report.files]))
    print(f"{report.card}: fill in what it cannot know")
    return 0
