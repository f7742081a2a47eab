# SPDX-License-Identifier: Apache-2.0
"""How a command ends: errors, signals, and what is said of them."""

import contextlib
import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

from mindface_eri import cli, signals
from mindface_eri.device import context
from mindface_eri.errors import ConfigError, ERIError


def ending(monkeypatch, error):
    """The command `summary` ends with this error, or does what a function says."""
    def fail(arguments):
        if callable(error):
            return error()
        raise error

    monkeypatch.setattr("mindface_eri.commands.summary.run", fail)


@pytest.mark.parametrize("error, said", [
    (OSError(errno.EDQUOT, "Quota exceeded", "x"), "the disk is full (x): free some space and run the same command"),
    (OSError(errno.ENOSPC, "No space left"), "the disk is full (standard output)"),
    *((OSError(number, "Not allowed", "x"), "x: Not allowed; name another place, or ask for the right to use this one")
      for number in (errno.EROFS, errno.EACCES, errno.EPERM)),
    (OSError(errno.EIO, "Input/output error", "x"), "x: Input/output error"),
    (OSError(errno.EIO, "Input/output error"), "[Errno 5] Input/output error"), (OSError("odd"), "odd"),
    (ConfigError("bad \x1b[2J"), "bad \\x1b[2J")])
def test_an_error_is_one_sentence_that_begins_with_the_command(monkeypatch, capsys, error, said):
    ending(monkeypatch, error)
    cli.main(["summary"])
    out, shown = capsys.readouterr()
    assert out == "" and shown.startswith(f"mindface-eri summary: error: {said}") and shown.count("\n") == 1


def test_verbose_shows_where_an_error_came_from(monkeypatch):
    for error, kind, said in ((ConfigError("unknown key"), ConfigError, "unknown key"),
                              (OSError(errno.ENOSPC, "No space", "x"), ERIError, r"disk is full \(x\)")):
        ending(monkeypatch, error)
        with pytest.raises(kind, match=said):
            cli.main(["summary", "--verbose"])


def test_an_error_that_nobody_foresaw_keeps_its_traceback(monkeypatch):
    ending(monkeypatch, ZeroDivisionError("odd"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["summary"])


@pytest.mark.parametrize("answer, status", [(None, 0), (0, 0), (1, 1)])
def test_the_commands_answer_is_the_status(monkeypatch, answer, status):
    ending(monkeypatch, lambda: answer)
    assert cli.main(["summary"]) == status


def test_a_reader_that_has_gone_is_no_traceback():
    code = ("import sys; from mindface_eri import cli; import mindface_eri.commands.summary as command\n"
            "def run(arguments):\n"
            "    for _ in range(100_000): print('a long line of a table')\n"
            "command.run = run; sys.exit(cli.main(['summary']))")
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run.stdout.readline()
    run.stdout.close()
    assert (run.stderr.read(), run.wait()) == ("", 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", [None, RuntimeError, OSError])
def test_a_signal_ends_a_command_whatever_a_library_makes_of_it(monkeypatch, capsys, number, kind):
    def work():
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if kind:
                raise kind("stopped") from None
            raise

    ending(monkeypatch, work)
    assert cli.main(["summary"]) == 130
    assert capsys.readouterr().err == "stopped; what is finished is kept\n"
    assert signals.stopped() is False, "the next command begins anew"


WITHIN = """
def run(work):
    return work()
"""


@pytest.fixture
def within_mindspore():
    """Calls a function as MindSpore calls what it was given."""
    space = {"__name__": "mindspore.common.api"}
    exec(WITHIN, space)
    return space["run"]


def test_nothing_is_raised_within_mindspore(monkeypatch, within_mindspore):
    """It makes messages and files of its own of it; half imported, it aborts the process."""
    events = []

    def inner():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        events.append("went on")

    def work():
        within_mindspore(inner)
        signals.stop_if_asked()
        events.append("not stopped")

    ending(monkeypatch, work)
    assert cli.main(["summary"]) == 130 and events == ["went on"]
    signals.stop_if_asked()  # of another time


def test_a_second_signal_does_not_stop_the_clearing_up(monkeypatch):
    events = []

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            events.append("cleared")

    ending(monkeypatch, work)
    assert cli.main(["summary"]) == 130 and events == ["cleared"]


HANG = """
import ctypes, subprocess, sys, threading, time
from mindface_eri import cli
import mindface_eri.commands.summary as command

def run(arguments):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print("at work", flush=True)
    {hang}

command.run = run
sys.argv = ["mindface-eri", "summary"]
sys.exit(cli.main())
"""
HANGS = {
    "in C": "[lock(mutex) for lock, mutex in [(ctypes.CDLL(None).pthread_mutex_lock, bytes(64))] for _ in range(2)]",
    "at its end": "threading.Thread(target=time.sleep, args=(60,)).start(); time.sleep(60)",
    "in Python": "time.sleep(60)",
}


@pytest.mark.parametrize("place", HANGS)
def test_a_signal_ends_the_process_within_three_seconds_whatever_it_is_at(place):
    """And its children, with one line."""
    run = subprocess.Popen([sys.executable, "-c", HANG.format(hang=HANGS[place])], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
    run.stdout.readline()
    time.sleep(0.1)
    began = time.monotonic()
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=20)  # its child writes there too, as long as it lives
    assert (run.returncode, said) == (130, "stopped; what is finished is kept\n") and time.monotonic() - began < 3


def test_a_command_runs_in_a_thread_too(handlers, monkeypatch):
    ending(monkeypatch, lambda: 7)
    done = []
    thread = threading.Thread(target=lambda: done.append(cli.main(["summary"])))
    thread.start()
    thread.join()
    assert done == [7] and signal.getsignal(signal.SIGTERM) == handlers[signal.SIGTERM]


@pytest.mark.parametrize("words, level, warned", [(["summary"], "3", "ignore"), (["summary", "--verbose"], "1", None)])
def test_mindspore_is_quiet_unless_asked_or_set(monkeypatch, words, level, warned):
    seen = []
    def work():
        seen.append({name: os.environ.get(name) for name in ("GLOG_v", "PYTHONWARNINGS")})
        warnings.warn("odd", stacklevel=1)

    ending(monkeypatch, work)
    monkeypatch.setattr(context, "prepare_device", lambda device: None)  # it sets what is not set yet
    for name in ("GLOG_v", "PYTHONWARNINGS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        cli.main(words)
        assert len(shown) == (0 if warned else 1)
        monkeypatch.setenv("GLOG_v", "0")
        cli.main(words)
    assert [row["GLOG_v"] for row in seen] == [level, "0"] and seen[0]["PYTHONWARNINGS"] == warned


@pytest.mark.parametrize("encoding", ["latin1", "ascii", "utf-8"])
def test_no_answer_is_lost_for_letters_that_the_terminal_lacks(encoding, monkeypatch):
    """They are spelt as JSON spells them, so that JSON stays JSON."""
    name, written = "\u4e2d \U0001f600 \udcff \xe9", io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    monkeypatch.setenv("MPLBACKEND", "module://nothing.of.the.kind")
    ending(monkeypatch, lambda: print(json.dumps([name], ensure_ascii=False)))
    assert cli.main(["summary"]) == 0 and os.environ["MPLBACKEND"] == "agg"
    sys.stdout.flush()
    assert json.loads(written.getvalue().decode(encoding)) == [name]


def library(name):
    """A function of a module of that name, which fails."""
    module = {"__name__": name}
    exec("def fail():\n    raise RuntimeError('For MatMul, out of memory\\n\\nC++ call stack')", module)
    return module["fail"]


@pytest.mark.parametrize("name", ["mindspore.common.api", "onnxruntime.capi"])
def test_a_run_time_error_of_a_library_is_a_sentence(name, monkeypatch, capsys):
    ending(monkeypatch, library(name))
    assert cli.main(["summary"]) == 1
    package = name.partition(".")[0]
    assert capsys.readouterr().err == (f"mindface-eri summary: error: {package} failed: For MatMul, out of memory; "
                                       "--verbose shows where\n")
    with pytest.raises(RuntimeError):
        cli.main(["summary", "--verbose"])
    ending(monkeypatch, library("mindface_eri.models"))
    with pytest.raises(RuntimeError):
        cli.main(["summary"])


def test_an_answer_that_cannot_be_printed_is_told(monkeypatch, capsys):
    """It waits in a buffer until the end."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        ending(monkeypatch, lambda: print("the answer"))
        assert cli.main(["summary"]) == 1
        assert "the disk is full (standard output)" in capsys.readouterr().err
        with contextlib.suppress(OSError):
            full.close()


def test_a_second_press_says_nothing_more(capfd):
    with signals.stoppable():
        try:
            signal.raise_signal(signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            time.sleep(0.2)  # the thread has heard of it by now
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.1)
    assert capfd.readouterr().err == ""
