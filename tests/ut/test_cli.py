# SPDX-License-Identifier: Apache-2.0
"""The console command: help, exit statuses, and errors as sentences."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mindface_eri
from mindface_eri import cli
from mindface_eri.commands import benchmark
from mindface_eri.device import context
from mindface_eri.errors import ConfigError, MediaError

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert f"mindface-eri {command}" in capsys.readouterr().out


def test_tools_are_what_msrun_and_mindfaces_users_start():
    tools = {path.stem for path in TOOLS.glob("*.py")} - {"mindface_layout", "mindface_patch", "site_pages"}
    assert tools == {"train", "evaluate", "export", "preprocess", "reproduce", "predict"} <= set(cli.COMMANDS)


def test_help_imports_nothing_heavy():
    code = ("import sys\nfrom mindface_eri.cli import COMMANDS, main\n"
            "for command in COMMANDS:\n"
            "    try: main([command, '--help'])\n"
            "    except SystemExit: pass\n"
            "heavy = {'numpy', 'scipy', 'mindspore', 'librosa', 'dlib', 'cv2', 'av', 'matplotlib', 'onnxruntime'}\n"
            "print(sorted(heavy & set(sys.modules)))")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("error, status", [
    (ConfigError("unknown key"), 2), (MediaError("no picture"), 1), (OSError(28, "No space left", "x.ckpt"), 1),
    (PermissionError(13, "Permission denied", "x"), 1), (KeyboardInterrupt(), 130)])
def test_errors_become_a_sentence_and_a_status(monkeypatch, capsys, error, status):
    def fail(arguments):
        raise error

    monkeypatch.setattr("mindface_eri.commands.summary.run", fail)
    assert cli.main(["summary"]) == status
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown.strip()
    if status == 1 and getattr(error, "errno", None) == 28:
        assert "disk is full (x.ckpt)" in shown


@pytest.mark.parametrize("words, name, paths", [
    ("predict --whole a.mp4 --model m b.mp4", "paths", ["a.mp4", "b.mp4"]),
    ("predict --model m -- -rf.mp4", "paths", ["-rf.mp4"]),
    ("compare a --split val b", "runs", [Path("a"), Path("b")]),
    ("submission --labels l a.csv --out o b.csv", "predictions", [Path("a.csv"), Path("b.csv")]),
    ("evaluate --by Age run", "run_folder", Path("run")),
    ("benchmark predict --repeats 2 a.mp4 --json b.mp4", "paths", [Path("a.mp4"), Path("b.mp4")]),
    ("benchmark --repeats 2 predict a.mp4", "paths", [Path("a.mp4")]),
    ("benchmark --repeats 2", "paths", [])])
def test_paths_and_options_come_in_any_order(words, name, paths):
    arguments, _ = cli._parse(words.split())
    assert getattr(arguments, name) == paths


def test_all_subjects_are_measured_with_the_options_given(monkeypatch):
    started = []
    monkeypatch.setattr(benchmark, "_wait", lambda command, variables: started.append(command) or 0)
    monkeypatch.setattr(sys, "argv", ["tools/benchmark.py", "--repeats", "1"])
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert cli.main(["benchmark", "--repeats", "1"]) == 0
    assert [command[3:] for command in started] == [["benchmark", subject, "--repeats", "1"] for subject in (
        "preprocess", "features", "data", "infer", "train", "kernels", "predict", "timeline", "route")]


def test_wrong_usage_is_status_2():
    for words in ([], ["fly"], ["train"], ["--verbose", "summary"], ["--", "summary"], ["summary", "--fly"],
                  ["predict", "--model", "m"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 2


@pytest.mark.parametrize("name", sorted(set(mindface_eri.__all__) - {"__version__"}))
def test_every_public_name_exists(name):
    assert callable(getattr(mindface_eri, name))


@pytest.mark.parametrize("words, device", [
    ("summary", "auto"), ("evaluate r", "auto"), ("evaluate r --device Ascend", "Ascend")])
def test_the_device_is_made_ready_where_a_command_names_one(words, device, monkeypatch):
    made = []
    monkeypatch.setattr(context, "prepare_device", made.append)
    for command in ("summary", "evaluate"):
        monkeypatch.setattr(f"mindface_eri.commands.{command}.run", lambda arguments: made.append("run"))
    cli.main(words.split())
    assert made == [device, "run"]


def test_help_shows_defaults_where_there_is_one_to_speak_of(capsys):
    for command in cli.COMMANDS:
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        shown = " ".join(capsys.readouterr().out.split())
        line = cli.COMMANDS[command]
        assert f"{line[0].upper()}{line[1:]}." in shown
        assert not any(f"(default: {nothing})" in shown for nothing in (None, False, []))
        assert ("(default: 160)" in shown) == (command == "synthesize")
        assert ("--config YAML" in shown) == ("-c YAML" in shown), "its short form is the same everywhere"
        assert "--verbose show MindSpore's own messages, and the traceback of an error" in shown


def test_the_list_of_commands_and_the_version(capsys):
    for words, status in (["--help"], 0), (["--version"], 0), ([], 2), (["--verbose", "summary"], 2):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == status
        out, shown = capsys.readouterr()
        if words == ["--help"]:
            text = " ".join(out.split())
            assert all(f"{name} {line}" in text for name, line in cli.COMMANDS.items())
        if words == ["--version"]:
            assert out == f"mindface_eri {mindface_eri.__version__}\n"
        if status:
            assert out == "" and "mindface-eri: error:" in shown


def test_without_words_those_of_the_shell_are_taken(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mindface-eri", "--version"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"mindface_eri {mindface_eri.__version__}\n"
