# SPDX-License-Identifier: Apache-2.0
"""Which files belong to which clip: endings, pairs, splits, several of one name, and the order of all of it."""

import os
import unicodedata
from pathlib import Path

import pytest

from mindface_eri.datasets.media import AUDIO_SUFFIXES, VIDEO_SUFFIXES, MediaIndex, clips_of_paths
from mindface_eri.errors import DataError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(folder, clip_id, split="train"):
    """Names of picture and sound file below the folder."""
    return tuple(path and path.relative_to(folder).as_posix() for path in MediaIndex(folder).find(clip_id, split))


def clips(root, *paths):
    return [(clip_id, *(path and path.relative_to(root).as_posix() for path in files))
            for clip_id, *files in clips_of_paths(paths or [root])]


def test_the_known_endings():
    assert VIDEO_SUFFIXES == (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts",
                              ".mts", ".3gp", ".ogv", ".m2ts", ".vob", ".asf", ".3g2")
    assert AUDIO_SUFFIXES == (".wav", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".aac", ".wma", ".aif", ".aiff",
                              ".amr", ".caf", ".oga", ".mka", ".weba", ".m4b")


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_every_ending_is_found_in_any_case(tmp_path, change):
    for suffix in VIDEO_SUFFIXES + AUDIO_SUFFIXES:
        name = f"a{change(suffix)}"
        folder = touch(tmp_path / suffix, f"deep/{name}", "a.txt", "a.mp4.part", "a")
        pair = (f"deep/{name}", None) if suffix in VIDEO_SUFFIXES else (None, f"deep/{name}")
        assert found(folder, "a") == pair and clips(folder) == [("a", *pair)]


def test_of_several_files_the_first_ending_then_the_shallowest_then_the_first_name_counts(tmp_path):
    assert found(touch(tmp_path / "a", "1.avi", "deep/1.mp4", "1.flac", "deep/1.wav"), "1") == (
        "deep/1.mp4", "deep/1.wav")
    assert found(touch(tmp_path / "b", "x/y/1.mp4", "z/1.mp4", "1.ogg", "x/1.mp3"), "1") == ("z/1.mp4", "x/1.mp3")
    assert found(touch(tmp_path / "c", "z/1.mp4", "b/1.mp4", "z/1.wav", "b/1.wav"), "1") == ("b/1.mp4", "b/1.wav")


def test_the_split_is_the_nearest_folder_that_names_one(tmp_path):
    root = touch(tmp_path / "test", "val/old/Train/1.mp4", "train/VAL/2.mp4", "Devel/mp4/3.mp4", "dev/wav/3.wav",
                 "valid/4.mp4", "validation/5.mp4", "training/6.mp4", "7.mp4", "train/7.mkv", "test/8.mp4", "x/8.wav")
    assert found(root, "1", "train")[0] and not found(root, "1", "val")[0]
    assert found(root, "2", "val")[0] and not found(root, "2", "train")[0]
    assert found(root, "3", "val") == ("Devel/mp4/3.mp4", "dev/wav/3.wav")
    assert found(root, "4", "val")[0] and found(root, "5", "val")[0] and not found(root, "5", "test")[0]
    assert found(root, "6", "test")[0] == "training/6.mp4", "no split's name, so it may be anybody's"
    assert [found(root, "7", split)[0] for split in ("train", "val")] == ["train/7.mkv", "7.mp4"]
    assert found(root, "8", "test") == ("test/8.mp4", None), "where its split has files, others do not join in"
    assert found(root, "8", "val") == (None, "x/8.wav")
    assert found(root, "9", "val") == (None, None)


def test_an_id_may_carry_its_ending(tmp_path):
    root = touch(tmp_path, "a.mp4", "a.wav", "b.v2.mp4", "c.mp4.mp4", "c.mkv", "d.mkv")
    assert found(root, "a.mp4") == found(root, "a.MP4") == found(root, "a") == ("a.mp4", "a.wav")
    assert found(root, "a.wav") == ("a.mp4", "a.wav")
    assert found(root, "b.v2")[0] == "b.v2.mp4" and found(root, "c.mp4")[0] == "c.mp4.mp4"
    assert found(root, "d.txt") == found(root, "d.") == (None, None)


def test_hidden_files_are_passed_over_and_links_followed(tmp_path):
    touch(tmp_path / "else", "linked.mp4")
    root = touch(tmp_path / "root", ".cache/1.mp4", ".2.mp4", "._3.mp4", "sub/4.mp4")
    (root / "there").symlink_to(tmp_path / "else")
    assert clips(root) == [("4", "sub/4.mp4", None), ("linked", "there/linked.mp4", None)]
    assert found(root, "linked")[0] == "there/linked.mp4" and found(root, "1") == found(root, ".2") == (None, None)


def test_files_and_folders_in_the_order_given_and_each_once(tmp_path):
    touch(tmp_path, "z.mp4", "b/2.wav", "b/10.mp4", "b/2.mp4", "b/a/1.flac", "c.odd")
    wanted = [("z", "z.mp4", None), ("10", "b/10.mp4", None), ("2", "b/2.mp4", "b/2.wav"), ("1", None, "b/a/1.flac"),
              ("c", "c.odd", None)]
    assert clips(tmp_path, tmp_path / "z.mp4", str(tmp_path / "b"), tmp_path / "c.odd", tmp_path / "z.mp4",
                 tmp_path / "b/2.mp4") == wanted
    assert clips(tmp_path, tmp_path / "b/2.wav", tmp_path / "b/2.mp4") == [("2", "b/2.mp4", "b/2.wav")]


def test_several_files_of_one_stem_are_several_clips(tmp_path):
    touch(tmp_path, "a.mp4", "a.mkv", "a.wav", "b.wav", "b.mp3", "c.mp4", "c.wav")
    assert sorted(clips(tmp_path)) == [("a.mkv", "a.mkv", None), ("a.mp4", "a.mp4", None), ("a.wav", None, "a.wav"),
                                       ("b.mp3", None, "b.mp3"), ("b.wav", None, "b.wav"), ("c", "c.mp4", "c.wav")]


def test_equal_stems_get_as_many_folders_in_front_as_tell_them_apart(tmp_path):
    touch(tmp_path, "p/x/1.mp4", "q/x/1.mp4", "q/y/2.mp4", "q/z/2.mp4", "3.mp4")
    assert sorted(clip[0] for clip in clips(tmp_path)) == ["3", "p_x_1", "q_x_1", "y_2", "z_2"]
    assert {clip_id: video for clip_id, video, _ in clips(tmp_path)}["q_x_1"] == "q/x/1.mp4"


def test_two_clips_that_cannot_be_told_apart_are_refused(tmp_path):
    touch(tmp_path, "a:b.mp4", "a[b.mp4")
    with pytest.raises(DataError, match="two clips would both be called '.*a_b'; rename one"):
        clips(tmp_path)


def test_what_tables_cannot_hold_becomes_an_underscore(tmp_path):
    touch(tmp_path, "[1]:\\\n\x1f ~é.mp4")
    assert clips(tmp_path)[0][0] == "_1_____ ~é"


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(DataError, match=r"gone: no such file or folder"):
        clips_of_paths([tmp_path, tmp_path / "gone"])
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match=rf"{tmp_path}, {tmp_path}/sub: no media file there; .*\.mp4 .* \.aiff"):
        clips_of_paths([tmp_path, Path(tmp_path, "sub")])


@pytest.mark.parametrize("written, asked", [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_name_is_one_however_its_accents_are_written(tmp_path, written, asked):
    name = "Zo\u00eb \u00e5"
    touch(tmp_path, f"{unicodedata.normalize(written, name)}.mp4", f"{unicodedata.normalize(asked, name)}.wav")
    pair = MediaIndex(tmp_path).find(unicodedata.normalize(asked, name), "train")
    assert [path.suffix for path in pair] == [".mp4", ".wav"]
    ((clip_id, video, audio),) = clips_of_paths([tmp_path])
    assert clip_id == name and (video.suffix, audio.suffix) == (".mp4", ".wav")


def test_an_id_with_an_ending_means_that_file(tmp_path):
    touch(tmp_path, "a.mp4", "a.mkv", "a.wav", "a.flac")
    assert found(tmp_path, "a.mkv") == ("a.mkv", "a.wav") and found(tmp_path, "a") == ("a.mp4", "a.wav")
    assert found(tmp_path, "a.flac") == ("a.mp4", "a.flac")


def test_loops_of_links_end(tmp_path):
    """Two links in each of three folders: followed to their end, they are more paths than atoms."""
    folders = [tmp_path / name for name in ("a", "a/b", "c")]
    for folder in folders:
        folder.mkdir()
        touch(folder, f"{folder.name}.mp4")
    for folder in folders:
        (folder / "up").symlink_to(tmp_path, target_is_directory=True)
        (folder / "across").symlink_to(folders[0], target_is_directory=True)
    (tmp_path / "zz").symlink_to("zz")  # to itself
    assert sorted(name for name, *_ in clips(tmp_path)) == ["a", "b", "c"]
    assert [name for name in "abc" if MediaIndex(tmp_path).find(name, "train")[0] is not None] == ["a", "b", "c"]


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path, caplog):
    """Deeper than a path can say; nothing of it is passed over without a word."""
    touch(tmp_path, "a.mp4")
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert clips(tmp_path) == [("a", "a.mp4", None)] and "cannot be looked into (File name too long)" in caplog.text


def test_a_path_of_more_than_512_letters_is_a_clip(tmp_path):
    folder = tmp_path.joinpath(*["e" * 200] * 4)
    touch(folder, "long.mp4", "long.wav")
    ((clip_id, video, audio),) = clips_of_paths([tmp_path])
    assert clip_id == "long" and len(str(video)) > 800 and audio.is_file()
