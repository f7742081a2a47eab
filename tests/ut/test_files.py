# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""Files appear whole or not at all; a folder belongs to one process at a time."""

import errno
import os
import subprocess
import sys

import pytest

from mindface_eri.errors import BusyError
from mindface_eri.files import folder_lock, remove_leftovers, replacing, write_bytes, write_json, write_text


def test_a_block_that_ends_well_gives_the_file(tmp_path):
    with replacing(tmp_path / "new" / "a.wav") as temporary:
        assert temporary.suffix == ".wav" and temporary.parent == tmp_path / "new"
        temporary.write_text("whole")
        assert not (tmp_path / "new" / "a.wav").exists()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.wav"]


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
