# SPDX-License-Identifier: Apache-2.0
"""The console command `mindface-eri`: finds the command's module, parses, calls it, and turns errors into sentences.

Exit status: 0 done, 1 the work (or some clips) failed, 2 wrong usage, 130 stopped by Ctrl-C or SIGTERM.
Only the chosen command's module is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import codecs
import errno
import importlib
import json
import os
import sys
import warnings
from typing import List, NoReturn, Optional, Sequence

from mindface_eri import signals
from mindface_eri.errors import ConfigError, ERIError, readable
from mindface_eri.version import __version__

# command -> one line for --help; its module is mindface_eri/commands/<name with underscores>.py
COMMANDS = {
    "doctor": "say what this machine can do, what is missing and the command that mends it",
    "selftest": "hold a device against the CPU, and print a table for an issue",
    "demo": "run the whole route on the generated corpus and six real clips",
    "synthesize": "generate a corpus with known intensities, of drawn people or of portraits",
    "samples": "fetch six real clips with sound (CREMA-D, ODbL)",
    "recipes": "list the recipes that come with the package, or copy one to edit",
    "labels": "read a label table of any form, say what was understood, and write the normal form",
    "preprocess": "turn clips into records: face crops and MFCC stacks",
    "add-features": "store per-frame features that other programs computed beside the records",
    "train": "train a branch, or the fusion of both",
    "extract-features": "compute the features of trained branches once, for fusion",
    "evaluate": "score a run, or a predictions file, against labels",
    "baseline": "score statistics that take a second to fit, which a network has to be better than",
    "reproduce": "train and score the paper's tables 1 to 4 on a data set",
    "cross-validate": "score a recipe on people never seen: folds by person, several seeds, a page",
    "compare": "put runs side by side, with intervals and p",
    "figures": "draw a run: learning curves, scatter, confusion, counts",
    "submission": "write or check a challenge submission",
    "predict": "estimate the intensities of video files; without a model, of smiles",
    "serve": "answer over HTTP: a page to drop clips on or switch a camera on, and an interface for programs",
    "export": "write MindIR and ONNX files and check them against the checkpoint",
    "convert-weights": "turn PyTorch weights into a checkpoint: a ResNet-18 stem, or a whole network",
    "summary": "list parameters, multiply-adds and memory of a network, part by part",
    "benchmark": "measure speed side by side with what one would use instead",
}


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default only where there is one to speak of."""

    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        return action.help if action.default in (None, False, []) else super()._get_help_string(action)


# Packages that an installation need not have, and what a command says that wants one of them after all.
_NOT_EVERYWHERE = {"mindspore": "needs MindSpore, which a light installation leaves out: {}",
                   **{name: f"needs {name}: pip install 'mindface_eri[bench]'" for name in ("librosa", "torch")}}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs one command and returns the exit status.

    Args:
        argv: the command and its arguments; None takes those of the process, which ends here where it is stopped.
    """
    with signals.stoppable(whole_process=argv is None):
        status = _main(list(sys.argv[1:] if argv is None else argv))
        if status == signals.STATUS and argv is None:
            signals.end_process()
    return status


def _main(argv: List[str]) -> int:
    """Parses, makes ready, runs the command; its exit status."""
    arguments = None
    try:
        arguments, run = _parse(argv)
        _quieten(arguments.verbose)
        _take_any_surroundings()
        _prepare_device(arguments)
        status = run(arguments) or 0
        sys.stdout.flush()  # the end of an answer may still wait here
        return status
    except (KeyboardInterrupt, Exception) as error:
        return _end(arguments, error)


def _end(arguments: Optional[argparse.Namespace], error: BaseException) -> int:
    """Says why the command ended, and with which status; an error that nobody foresaw goes on."""
    if signals.stopped() or isinstance(error, KeyboardInterrupt):
        signals.say_stopped()
        return signals.STATUS
    if arguments is None:
        raise error
    if isinstance(error, BrokenPipeError):  # the reader, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, OSError):
        return _fail(arguments, _sentence(error), 1)
    if isinstance(error, ModuleNotFoundError) and (missing := (error.name or "").partition(".")[0]) in _NOT_EVERYWHERE:
        from mindface_eri.device.hardware import WITH_MINDSPORE

        return _fail(arguments, _NOT_EVERYWHERE[missing].format(WITH_MINDSPORE), 1)
    if isinstance(error, RuntimeError) and not arguments.verbose and _raised_by(error) in ("mindspore", "onnxruntime"):
        said = (str(error).strip().splitlines() or ["no reason"])[0]
        return _fail(arguments, f"{_raised_by(error)} failed: {said}; --verbose shows where", 1)
    if isinstance(error, ERIError):
        return _fail(arguments, error, 2 if isinstance(error, ConfigError) else 1)
    raise error


def _raised_by(error: BaseException) -> str:
    """The package whose code raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] if trace is not None else ""


def _parse(argv: Sequence[str]):
    """(arguments, what to run). Paths and options come in any order, which argparse's sub-parsers would not allow."""
    if not argv or argv[0] not in COMMANDS:
        _explain(argv)
    name, words = argv[0], list(argv[1:])
    module = importlib.import_module("mindface_eri.commands." + name.replace("-", "_"))
    line = COMMANDS[name]
    parser = argparse.ArgumentParser(prog=f"mindface-eri {name}", description=line[0].upper() + line[1:] + ".",
                                     formatter_class=_HelpFormatter)
    module.add_arguments(parser)
    parser.add_argument("--verbose", action="store_true",
                        help="show MindSpore's own messages, and the traceback of an error")
    # Mixed parsing forgets, up to Python 3.11 at least, that nothing after "--" is an option.
    arguments = parser.parse_args(words) if "--" in words else parser.parse_intermixed_args(words)
    arguments.command, arguments.words = name, words
    return arguments, module.run


def _explain(argv: Sequence[str]) -> NoReturn:
    """Ends with the list of commands, the version, or what is wrong with the first word."""
    parser = argparse.ArgumentParser(
        prog="mindface-eri", description="Emotional reaction intensity from a face and its voice, in MindSpore.",
        epilog="`mindface-eri COMMAND --help` explains a command.")
    parser.add_argument("--version", action="version", version=f"mindface_eri {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        commands.add_parser(name, help=line, add_help=False)
    parser.parse_args(argv)
    parser.error("the command comes first")


def _quieten(verbose: bool) -> None:
    if verbose:
        os.environ.setdefault("GLOG_v", "1")
        return
    os.environ.setdefault("GLOG_v", "3")  # MindSpore: errors only
    warnings.filterwarnings("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for worker processes


def _take_any_surroundings() -> None:
    """Whatever a notebook's or another program's environment says, figures are drawn into files, and answers that the
    terminal's encoding cannot hold are spelt out, as JSON spells them, instead of being lost."""
    os.environ["MPLBACKEND"] = "agg"
    codecs.register_error("spell out", lambda error: (json.dumps(error.object[error.start:error.end])[1:-1], error.end))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="spell out")


def _prepare_device(arguments: argparse.Namespace) -> None:
    from mindface_eri.device.context import prepare_device

    prepare_device(getattr(arguments, "device", None) or "auto")  # before the command imports MindSpore


def _sentence(error: OSError) -> object:
    where = error.filename or "standard output"  # all files name themselves (files.py)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (f"the disk is full ({where}): free some space and run the same command again, with --resume where it "
                "has that; what is finished is kept")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{where}: {error.strerror}; name another place, or ask for the right to use this one"
    return f"{where}: {error.strerror}" if error.strerror and error.filename else error


def _fail(arguments: argparse.Namespace, error: object, status: int) -> int:
    if arguments.verbose:
        raise error if isinstance(error, BaseException) else ERIError(str(error))
    print(f"mindface-eri {arguments.command}: error: {readable(error)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
