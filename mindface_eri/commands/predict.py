# SPDX-License-Identifier: Apache-2.0
"""mindface-eri predict"""

import sys
from pathlib import Path

from mindface_eri.commands.common import add_device, add_person, add_scheduler
from mindface_eri.prediction.answers import FORMATS, form_of, format_answers
from mindface_eri.signals import stop_if_asked
from mindface_eri.threads import cores


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH",
                        help="media files, folders, quoted globs, or a CSV of paths")
    parser.add_argument("--model", type=Path, metavar="MODEL",
                        help="run folder, .ckpt, .mindir or .onnx; without one, the package's own, which estimates how "
                             "strongly a face comes to smile, and nothing else")
    parser.add_argument("--format", choices=FORMATS, default="table", help="form of the answer")
    parser.add_argument("--out", type=Path, help="file to write; its ending (.csv, .json) chooses the form")
    parser.add_argument("--report", type=Path, metavar="HTML|FOLDER",
                        help="write a page: a file for one video, a folder with an index for several")
    parser.add_argument("--overlay", type=Path, metavar="MP4|FOLDER",
                        help="write the video with box, landmarks and moving bars: a file, or a folder for several")
    parser.add_argument("--figure", type=Path, metavar="PNG|FOLDER",
                        help="draw faces, sound and intensities, as PNG and SVG: a file, or a folder for several")
    parser.add_argument("--features", action="append", default=[], metavar="NAME=FOLDER",
                        help="for networks with branches of other features: folder of a set's CSV files")
    add_person(parser)
    parser.add_argument("--people", metavar="CSV|folder",
                        help="for networks that normalise by person: a table of File_ID and Subject, or the word "
                             "folder where each holds the clips of one; ten or more of each person are needed")
    parser.add_argument("--window", type=float, default=0.0, metavar="SECONDS",
                        help="timeline: length of the sliding windows; without it, 12 for videos longer than 30 s")
    parser.add_argument("--hop", type=float, default=0.0, metavar="SECONDS",
                        help="timeline: from one window to the next; without it, half a window")
    parser.add_argument("--whole", action="store_true", help="one row a video, however long it is")
    parser.add_argument("--batch-size", type=int, default=1,
                        help="clips or windows predicted together; more than one pays on GPU and Ascend only")
    parser.add_argument("--workers", type=int, default=1, help="processes that take clips apart")
    parser.add_argument("--clip-limit", type=float, default=3600.0, metavar="SECONDS",
                        help="give a clip up that takes longer to take apart")
    add_scheduler(parser, "and answer their clips themselves, instead of --workers processes here")
    add_device(parser, "auto")


def run(arguments):
    """Predicts; status 1 when a clip failed."""
    from mindface_eri.prediction.jobs import find_jobs
    from mindface_eri.prediction.predictor import load_predictor

    _check(arguments)
    jobs = find_jobs(arguments.paths)
    predictor = load_predictor(arguments.model, device=arguments.device)
    folders = dict(pair.partition("=")[::2] for pair in arguments.features)
    _check_features(predictor.model, folders)
    writer = _writer(arguments, jobs, predictor)
    _check_targets(jobs, [*([arguments.out] if arguments.out else []), *(writer.targets() if writer else [])])
    rows, progress = [], _Progress(len(jobs))
    predictions = _predictions(arguments, predictor, jobs, folders, writer)
    try:
        for prediction in predictions:
            rows += prediction.rows()
            if writer is not None:
                writer(prediction)
            progress()
            stop_if_asked()
    except KeyboardInterrupt:
        if rows:
            _answer(arguments, predictor, rows, writer)  # what is finished is kept
        raise
    _tell_missing(rows, folders)
    return _answer(arguments, predictor, rows, writer)


def _predictions(arguments, predictor, jobs, folders, writer):
    """One for each job, by this process and its workers, or by those of a scheduler."""
    from mindface_eri.prediction.people import people_of

    people = None if arguments.people is None else people_of(arguments.people, jobs, _tell)
    options = {"window": arguments.window, "hop": arguments.hop, "whole": arguments.whole,
               "batch_size": arguments.batch_size, "clip_limit": arguments.clip_limit,
               "attention": writer is not None and writer.attention, "moving": writer is not None and writer.moving,
               "features": folders, "person": arguments.person, "people": people}
    if arguments.scheduler is None:
        return predictor.predict(jobs, workers=min(arguments.workers, 4 * cores()), **options)
    from mindface_eri.prediction.cluster import predict_on_cluster

    return predict_on_cluster(arguments.scheduler, predictor, arguments.model, jobs, device=arguments.device,
                              clips=writer is not None, **options)


def _answer(arguments, predictor, rows, writer):
    """Prints or writes the rows, names the other files, and gives the exit status."""
    from mindface_eri.files import write_text

    text = format_answers(rows, predictor.emotions, form_of(arguments.out, arguments.format))
    if arguments.out is None:
        print(text)
    else:
        print(f"{len(rows)} rows in {write_text(arguments.out, text + chr(10))}")
    for path in writer.finish() if writer is not None else ():
        print(f"wrote {path}", file=sys.stderr)
    failures = writer.failures if writer is not None else []
    for reason in failures:
        print(f"mindface-eri predict: {reason}", file=sys.stderr)
    failed = sum(bool(row.get("error")) and "start" not in row for row in rows)
    if failed:
        clips = len({row["File_ID"] for row in rows if "start" in row}) + sum("start" not in row for row in rows)
        print(f"{clips - failed} of {clips} answered; {failed} failed, reasons in the last column", file=sys.stderr)
    return int(failed > 0 or bool(failures))


def _writer(arguments, jobs, predictor):
    if not (arguments.report or arguments.overlay or arguments.figure):
        return None
    from mindface_eri.prediction.default_model import default_model
    from mindface_eri.report.writer import Writer

    model = arguments.model or default_model(arguments.device)
    return Writer([job.name for job in jobs], predictor, model, report=arguments.report,
                  overlay=arguments.overlay, figure=arguments.figure)


def _check_targets(jobs, targets):
    """No clip is overwritten by what is made of it."""
    from mindface_eri.errors import ConfigError

    clips = {path.resolve() for job in jobs for path in (job.video, job.audio) if path is not None}
    for target in targets:
        if target.resolve() in clips:
            raise ConfigError(f"{target} is one of the clips, and would be overwritten; name another file or folder")


def _check(arguments):
    from mindface_eri.errors import ConfigError

    for name, low in (("batch_size", 1), ("workers", 1), ("window", 0), ("hop", 0)):
        if getattr(arguments, name) < low:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(arguments, name)}: must be at least {low}")
    if arguments.whole and (arguments.window or arguments.hop):
        raise ConfigError("--whole asks for one row a video, --window and --hop for a timeline; give one or the other")


def _check_features(model, folders):
    from mindface_eri.errors import ConfigError

    unknown = [name for name in folders if name not in model.features]
    if unknown:
        raise ConfigError(f"--features {unknown[0]}: {model.name} takes "
                          f"{', '.join(model.features) or 'no other features than those of the clip'}")


def _tell_missing(rows, folders):
    """Says for how many of the clips that were answered a set has no file: a wrong folder looks like that."""
    from mindface_eri.prediction.inputs import features_file

    answered = {row["File_ID"] for row in rows if not row.get("error")}
    for name, folder in folders.items():
        missing = sum(features_file(folder, clip) is None for clip in answered)
        if missing:
            print(f"mindface-eri predict: {folder} has no file for {missing} of {len(answered)} clips; they are "
                  f"answered without {name}", file=sys.stderr)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


class _Progress:
    """A bar on standard error where that is a terminal; one clip needs none."""

    def __init__(self, total):
        from tqdm import tqdm

        self.bar = tqdm(total=total, unit="clip", disable=total < 2 or not sys.stderr.isatty(), leave=False)

    def __call__(self):
        self.bar.update()
        if self.bar.n >= self.bar.total:
            self.bar.close()
