# SPDX-License-Identifier: Apache-2.0
"""Files appear whole or not at all; a folder belongs to one process at a time."""

import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mindface_eri import files
from mindface_eri.errors import BusyError
from mindface_eri.files import file_hash, folder_lock, remove_leftovers, replacing, write_bytes, write_json, write_text


def test_a_block_that_ends_well_gives_the_file(tmp_path):
    folder = tmp_path / "new" / "deep"
    with replacing(folder / "a.wav") as temporary:
        assert temporary.suffix == ".wav" and temporary.parent == folder
        temporary.write_text("whole")
        assert not (folder / "a.wav").exists()
    assert [p.name for p in folder.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("error", [ValueError("odd"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_the_old_file(error, tmp_path):
    target = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(type(error)), replacing(target, durable=True) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_the_longest_name_can_be_written(tmp_path):
    name = "é" * 125 + ".json"  # 255 bytes
    assert write_json(tmp_path / name, {"a": 1}).read_text() == '{\n  "a": 1\n}\n'


def test_errors_name_the_file_and_not_the_temporary_one(tmp_path):
    (tmp_path / "folder").mkdir()
    for path, number in ((tmp_path / "folder", errno.EISDIR), (tmp_path / ("x" * 300), errno.ENAMETOOLONG)):
        with pytest.raises(OSError) as caught:
            write_bytes(path, b"")
        assert (caught.value.errno, caught.value.filename) == (number, str(path))
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_links_and_devices_stay_what_they_are(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real.txt")
    write_text(tmp_path / "link", "through\n")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real.txt").read_bytes() == b"through\n"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "said")
    assert os.read(reader, 9) == b"said" and (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_half_characters_of_a_name_do_not_stop_a_table(tmp_path):
    assert write_text(tmp_path / "a.csv", "caf\udce9\n").read_bytes() == b"caf?\n"


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    kill = ("import os, sys; from mindface_eri.files import replacing\n"
            "with replacing(sys.argv[1]) as temporary: temporary.write_text('half'); os.kill(os.getpid(), 9)")
    subprocess.run([sys.executable, "-c", kill, str(tmp_path / "a.b.ckpt")], check=False)
    kept = [tmp_path / name for name in (".keep.tmp", ".a.1.tmp", "a.1.2.tmp", ".a.1.2.tmp.old.txt")]
    for path in kept:
        path.touch()
    assert len(list(tmp_path.iterdir())) == len(kept) + 1
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_lock_keeps_others_out_until_its_process_ends(tmp_path):
    hold = ("import sys, time; from mindface_eri.files import folder_lock\n"
            "with folder_lock(sys.argv[1], 'a run'): print('held', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path / "work" / ".lock")], stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match="work: another process .a run. is at work"), \
                folder_lock(tmp_path / "work" / ".lock", "a run"):
            pass
        process.kill()
        process.wait()
    with folder_lock(tmp_path / "work" / ".lock", "a run"):
        assert (tmp_path / "work" / ".lock").exists()
    assert not list((tmp_path / "work").iterdir())


def test_a_lock_ends_with_its_process_though_a_child_lives_on(tmp_path):
    hold = ("import ctypes, sys, time; from mindface_eri.files import folder_lock\n"
            "with folder_lock(sys.argv[1], 'a run'):\n"
            "    child = ctypes.CDLL(None).fork()  # by C code, which tells Python nothing\n"
            "    if child: print(child, flush=True)\n"
            "    time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path / ".lock")], stdout=subprocess.PIPE) as process:
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        try:
            with folder_lock(tmp_path / ".lock", "a run"):
                os.kill(child, 0)  # it lives
        finally:
            os.kill(child, signal.SIGKILL)


def test_texts_and_tables_keep_their_line_ends_and_letters(tmp_path):
    path = write_text(str(tmp_path / "a.csv"), "é,1\r\n漢,2\n")
    assert path == tmp_path / "a.csv" and path.read_bytes() == "é,1\r\n漢,2\n".encode()
    assert write_json(tmp_path / "b.json", {"z": [1.5, None], "a": "x"}).read_text() == (
        '{\n  "z": [\n    1.5,\n    null\n  ],\n  "a": "x"\n}\n')
    assert write_bytes(str(path), b"\x00\xff") == path and path.read_bytes() == b"\x00\xff"


def test_temporary_files_are_hidden_and_each_is_one_process_own(tmp_path):
    target = tmp_path / ("n" * 100 + "." + "s" * 30)
    with replacing(target) as one, replacing(target) as other:
        assert one != other and one.parent == other.parent == tmp_path
        for path in (one, other):
            assert path.name.startswith("." + "n" * 40 + f".{os.getpid()}.") and path.name.endswith(".tmp." + "s" * 19)
            path.write_text(path.name)
        remove_leftovers(tmp_path)  # they have the form that a killed process would leave
        assert not list(tmp_path.iterdir())
        one.write_text("one")
        other.write_text("other")
    assert [p.name for p in tmp_path.iterdir()] == [target.name] and target.read_text() == "one"  # the last to end


@pytest.mark.parametrize("durable", [False, True])
def test_what_shall_survive_a_power_cut_is_flushed_before_it_is_renamed(monkeypatch, tmp_path, durable):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append((os.fstat(descriptor).st_size, target.exists())))
    target = tmp_path / "a.ckpt"
    with replacing(target, durable=durable) as temporary:
        temporary.write_bytes(b"12345")
    assert flushed == ([(5, False)] if durable else []) and target.read_bytes() == b"12345"
    with replacing(tmp_path / "b.txt") as temporary:  # flushing takes its time: only where it is asked for
        temporary.write_text("x")
    assert len(flushed) == durable


def test_a_block_that_writes_nothing_and_errors_of_other_files_say_which(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a.txt"):
        pass
    assert caught.value.filename == str(tmp_path / "a.txt") and not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a.txt"):
        (tmp_path / "other.txt").read_text()
    assert caught.value.filename == str(tmp_path / "other.txt")
    with pytest.raises(OSError, match="^full$") as caught, replacing(tmp_path / "a.txt"):
        raise OSError("full")
    assert caught.value.errno is None


def test_the_hash_is_of_the_whole_file(tmp_path):
    content = bytes(range(256)) * 9000 + b"end"  # more than two blocks of 1 MiB
    assert file_hash(write_bytes(tmp_path / "a", content)) == hashlib.sha256(content).hexdigest()
    assert file_hash(write_bytes(tmp_path / "b", b"")) == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize("exists, written, left", [(False, False, False), (False, True, True), (True, False, True)])
def test_a_folder_that_only_the_lock_made_goes_with_it(tmp_path, exists, written, left):
    folder = tmp_path / "deep" / "work"
    if exists:
        folder.mkdir(parents=True)
    with pytest.raises(ValueError, match="odd"), folder_lock(folder / ".lock", "a run"):
        assert (folder / ".lock").is_file()
        if written:
            (folder / "result.txt").touch()
        raise ValueError("odd")  # the lock is given back after an error too
    assert folder.exists() is left and not (folder / ".lock").exists()


def test_a_lock_that_its_last_holder_removes_meanwhile_is_taken_anew(monkeypatch, tmp_path):
    lockf, calls = fcntl.lockf, []

    def late(stream, flags):
        calls.append(flags)
        lockf(stream, flags)
        if len(calls) == 1:
            (tmp_path / ".lock").unlink()

    monkeypatch.setattr(fcntl, "lockf", late)
    with folder_lock(tmp_path / ".lock", "a run"):
        assert (tmp_path / ".lock").exists()
    assert calls == [fcntl.LOCK_EX | fcntl.LOCK_NB] * 2


@pytest.mark.parametrize("error, refused", [
    (BlockingIOError(errno.EAGAIN, "held"), True), (PermissionError(errno.EACCES, "held"), True),
    (OSError(errno.ENOLCK, "no locks here"), False)])
def test_held_locks_refuse_and_file_systems_without_locks_do_not(monkeypatch, tmp_path, error, refused):
    def lockf(*_):
        raise error

    monkeypatch.setattr(fcntl, "lockf", lockf)
    ran = []
    if refused:
        with pytest.raises(BusyError, match=f"^{tmp_path}: another process .an export. is at work there; wait for it, "
                                            "or choose another folder$"), folder_lock(tmp_path / ".lock", "an export"):
            ran.append(1)
    else:
        with folder_lock(tmp_path / ".lock", "an export"):
            ran.append(1)
    assert ran == ([] if refused else [1])


def test_without_locks_of_any_kind_the_work_goes_on(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fcntl", None)  # Windows
    with folder_lock(tmp_path / "work" / ".lock", "a run"):
        assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("umask, mode", [("022", "644"), ("002", "664"), ("077", "600")])
def test_files_have_the_rights_of_any_new_one(tmp_path, umask, mode):
    """Also those that a library made more careful, as MindSpore does."""
    code = ("import os, sys; from mindface_eri.files import replacing, usual_mode, write_text\n"
            "write_text('a', 'x')\n"
            "with replacing('b') as path: path.touch(0o400); usual_mode(path)")
    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", f"import os; os.umask(0o{umask})\n{code}"], cwd=tmp_path, check=True,
                   env=environment)
    assert [f"{(tmp_path / name).stat().st_mode & 0o777:o}" for name in "ab"] == [mode, mode]


@pytest.mark.parametrize("name", [None, "", "other"])
def test_an_error_without_a_file_gets_its_name(tmp_path, name):
    with pytest.raises(OSError) as caught, replacing(tmp_path / "mine"):
        raise OSError(errno.ENOSPC, "No space left on device", *([] if name is None else [name]))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, name or str(tmp_path / "mine"))


def test_links_out_of_a_folder_are_told(tmp_path, caplog):
    for name in ("out", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "a.csv").symlink_to(tmp_path / "elsewhere" / "b.csv")
    (tmp_path / "out" / "c.csv").symlink_to("d.csv")
    files.write_text(tmp_path / "out" / "c.csv", "x")
    assert caplog.text == "" and (tmp_path / "out" / "d.csv").read_text() == "x"
    files.write_text(tmp_path / "out" / "a.csv", "x")
    assert f"a.csv is a link: what is written there lies in {tmp_path / 'elsewhere' / 'b.csv'}" in caplog.text
    assert (tmp_path / "elsewhere" / "b.csv").read_text() == "x"
