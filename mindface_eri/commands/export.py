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
    parser.add_argument("--quantize", nargs="+", default=[], choices=("dynamic", "static"),
                        help="also write .onnx files with int8 matrix products, and convolutions where static")
    parser.add_argument("--bf16", action="store_true",
                        help="also write an .onnx file that OpenVINO computes in bfloat16 (extra openvino)")
    parser.add_argument("--clips", type=Path, metavar="RECORDS",
                        help="preprocessed clips like those to come: files of lower precision are compared with "
                             "float32 on their split val, and static takes its scales from train")
    parser.add_argument("--tolerance", type=float, default=0.05,
                        help="refuse a file of lower precision of which an intensity is further from float32")
    parser.add_argument("--least-pearson", type=float, default=0.99,
                        help="refuse one of which an emotion correlates less with float32 over these clips")


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
    kinds = [*(f"int8-{how}" for how in arguments.quantize), *(["bf16"] if arguments.bf16 else [])]
    _check_lower(arguments, kinds)
    report = export(arguments.run_folder or arguments.checkpoint, arguments.out, formats=tuple(arguments.formats),
                    batch=batch, device=arguments.device, parts=arguments.parts)
    print(format_table(["file", "MiB", "largest difference from the checkpoint"],
                       [[str(f.path), f"{f.path.stat().st_size / 2**20:.2f}", f"{f.max_difference:.1e}"]
                        for f in report.files]))
    if kinds:
        _lower(arguments, kinds, next(file.path for file in report.files if file.path.suffix == ".onnx"))
    print(f"{report.card}: fill in what it cannot know")
    return 0


def _check_lower(arguments, kinds):
    """Refuses what `lower` would, before float32 files are written."""
    from mindface_eri.deploy.lowered import check_asked
    from mindface_eri.errors import ConfigError

    if kinds:
        check_asked(kinds, arguments.clips, arguments.tolerance, arguments.least_pearson)
    if kinds and "onnx" not in arguments.formats:
        raise ConfigError("--quantize and --bf16 start from the .onnx file: add --format onnx")


def _lower(arguments, kinds, file):
    """Writes files of lower precision and prints how far from float32 they are."""
    from mindface_eri.deploy.lower import lower
    from mindface_eri.evaluation.tables import format_table

    files = lower(arguments.run_folder or arguments.checkpoint, file, kinds, arguments.clips,
                  tolerance=arguments.tolerance, least_pearson=arguments.least_pearson)
    print(format_table(["file", "MiB", "largest difference from float32", "emotion", "Pearson with float32", "clips"],
                       [[str(one.path), f"{one.path.stat().st_size / 2**20:.2f}",
                         f"{one.precision.max_difference:.1e}", emotion, f"{value:.5f}", one.precision.clips]
                        for one in files for emotion, value in one.precision.pearson.items()]))
