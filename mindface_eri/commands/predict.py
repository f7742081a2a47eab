"""mindface-eri predict"""

import os
from pathlib import Path

from mindface_eri.report.answers import FORMATS, format_answers


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="media files, folders or quoted globs")
    parser.add_argument("--model", type=Path, required=True, help="run folder, .ckpt, .mindir or .onnx")
    parser.add_argument("--format", choices=FORMATS, default="table", help="form of the answer")
    parser.add_argument("--out", type=Path, help="file to write; its ending (.csv, .json) chooses the form")


def run(arguments):
    """Predicts; status 1 when a clip failed."""
    from mindface_eri.datasets.labels import find_media
    from mindface_eri.deploy.runtime import load_predictor

    predictor = load_predictor(arguments.model)
    rows = predictor.predict(find_media(arguments.paths))
    form = arguments.format
    if arguments.out is not None and arguments.out.suffix[1:] in FORMATS:
        form = arguments.out.suffix[1:]
    text = format_answers(rows, predictor.emotions, form)
    if arguments.out is None:
        print(text)
    else:
        temporary = arguments.out.with_name(arguments.out.name + ".tmp")
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, arguments.out)
        print(f"{len(rows)} rows in {arguments.out}")
    return int(any(row.get("error") for row in rows))
