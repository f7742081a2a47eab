# SPDX-License-Identifier: Apache-2.0
"""A generated corpus: its tables letter by letter, its limits, and runs taken up, refused or shared by processes."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from mindface_eri.constants import EMOTIONS
from mindface_eri.errors import BusyError, DataError, ERIError, MediaError
from mindface_eri.synthetic import corpus as synthetic
from mindface_eri.synthetic import folder, performance
from mindface_eri.synthetic.corpus import Settings, render_clip, split_of, synthesize
from mindface_eri.threads import cores

TINY = {"clips": 4, "seed": 5, "duration": (0.3, 0.5), "fps": (8, 10), "size": (96, 72)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("generated") / "corpus"
    return root, synthesize(root, **TINY, emotions=("Joy", "Awe"), progress=False)


def plans(clips=4, emotions=2):
    return [performance.plan(5, index, emotions, (0.3, 0.5), (8, 10)) for index in range(clips)]


def test_the_tables_letter_by_letter(corpus):
    root, summary = corpus
    rows, hidden = ["File_ID,Split,Joy,Awe,Age,Country"], ["File_ID,Split,Joy,Awe,Age,Country"]
    for index, (plan, split) in enumerate(zip(plans(), ("Train", "Train", "Val", "Test"))):
        who = f"{plan.person.age},{plan.person.country}"
        labels = f"{plan.label[0]:.4f},{plan.label[1]:.4f}"
        rows.append(f"[{index:05d}],{split},{',' if split == 'Test' else labels},{who}")
        if split == "Test":
            hidden.append(f"[{index:05d}],Test,{labels},{who}")
    assert (root / "data_info.csv").read_text().splitlines() == rows
    assert (root / "test_labels.csv").read_text().splitlines() == hidden
    assert summary == {"clips": 4, "written": 4, "reused": 0, "seconds": round(sum(p.seconds for p in plans()), 1),
                       "splits": {"Train": 2, "Val": 1, "Test": 1}, "note": synthetic.NOTE}
    assert json.loads((root / "corpus.json").read_text()) == {
        "clips": 4, "seed": 5, "duration": [0.3, 0.5], "fps": [8, 10], "size": [96, 72], "emotions": ["Joy", "Awe"],
        "version": 2, "note": synthetic.NOTE}


def test_either_file_of_a_clip_that_is_missing_is_made_again(corpus):
    root, _ = corpus
    picture, sound = root / "train/mp4/00001.mp4", root / "val/wav/00002.wav"
    before = sound.read_bytes()
    picture.unlink()
    sound.unlink()
    left = [root / "train/mp4/.00001.7.0.tmp.mp4", root / "val/wav/.00002.7.0.tmp.wav"]
    others = [root / "train/mp4/.00000.7.0.tmp.mp4"]
    for path in left + others:
        path.touch()
    again = synthesize(root, **TINY, emotions=("Joy", "Awe"), progress=False)
    assert (again["written"], again["reused"]) == (2, 2) and sound.read_bytes() == before and picture.is_file()
    assert [path.exists() for path in left + others] == [False, False, True]
    others[0].unlink()


def test_progress_is_shown_where_there_is_something_to_draw(corpus, capfd):
    root, _ = corpus
    synthesize(root, **TINY, emotions=("Joy", "Awe"))
    assert "drawing" not in capfd.readouterr().err
    (root / "test/wav/00003.wav").unlink()
    synthesize(root, **TINY, emotions=("Joy", "Awe"))
    assert "drawing: 100%" in capfd.readouterr().err


class Pool:
    """Stands for a pool of processes, which take seconds to start: draws at once, here."""

    def __init__(self, workers, target, settings):
        assert target == "mindface_eri.synthetic.corpus:draw"
        self.workers, self.settings, self.ended = workers, settings, False
        Pool.made.append(self)

    def map(self, tasks):
        return (synthetic.draw(self.settings, task) for task in tasks)

    def close(self):
        self.ended = True


@pytest.mark.parametrize("workers, used", [(1, []), (2, [2]), (9, [4])])
def test_processes_draw_the_same_and_no_more_than_there_are_clips(corpus, tmp_path, monkeypatch, workers, used, capfd):
    monkeypatch.setattr(Pool, "made", [], raising=False)
    monkeypatch.setattr(folder, "WorkerPool", Pool)
    root, _ = corpus
    made = synthesize(tmp_path / "twice", **TINY, emotions=("Joy", "Awe"), workers=workers)
    assert made["written"] == 4 and "drawing: 100%" in capfd.readouterr().err
    assert [(pool.workers, pool.ended) for pool in Pool.made] == [(count, True) for count in used]
    for path in [*root.rglob("*.csv"), *root.rglob("*.wav"), *root.rglob("*.mp4")]:
        assert (tmp_path / "twice" / path.relative_to(root)).read_bytes() == path.read_bytes(), path
    for error, told in ((MediaError("disk"), MediaError), (OSError("odd"), OSError)):
        monkeypatch.setattr(synthetic, "_write_clip", lambda *_, error=error: (_ for _ in ()).throw(error))
        (tmp_path / "twice/train/mp4/00000.mp4").unlink(missing_ok=True)
        (tmp_path / "twice/train/mp4/00001.mp4").unlink(missing_ok=True)
        with pytest.raises(ERIError if used and told is MediaError else told) as caught:
            synthesize(tmp_path / "twice", **TINY, emotions=("Joy", "Awe"), workers=workers, progress=False)
        if used and told is MediaError:
            assert str(caught.value) == (f"{tmp_path}/twice: 2 of 2 clips were not drawn (clip 00000: disk); run again "
                                         "to go on, with fewer workers")
        assert not used or Pool.made[-1].workers == 2 and Pool.made[-1].ended


DYING = '''
import os
from mindface_eri.synthetic.corpus import draw as real

def draw(settings, index):
    if index == 1:
        os._exit(5)
    return real(settings, index)
'''


def test_a_process_that_dies_costs_its_clip_alone_and_the_next_run_draws_it(corpus, tmp_path, monkeypatch):
    (tmp_path / "dying_drawer.py").write_text(DYING)
    monkeypatch.syspath_prepend(str(tmp_path))
    real = folder.WorkerPool
    monkeypatch.setattr(folder, "WorkerPool", lambda count, _, settings: real(count, "dying_drawer:draw", settings))
    root, _ = corpus
    out, options = tmp_path / "corpus", {**TINY, "emotions": ("Joy", "Awe"), "progress": False}
    with pytest.raises(ERIError) as caught:
        synthesize(out, **options, workers=2)
    assert str(caught.value) == (
        f"{out}: 1 of 4 clips were not drawn (clip 00001: the worker process ended with status 5 (at both attempts)); "
        "run again to go on, with fewer workers")
    assert len(list(out.rglob("*.mp4"))) == 3 and not (out / "data_info.csv").exists()
    again = synthesize(out, **options)
    assert (again["written"], again["reused"]) == (1, 3)
    for path in [*root.rglob("*.csv"), *root.rglob("*.wav"), *root.rglob("*.mp4")]:
        assert (out / path.relative_to(root)).read_bytes() == path.read_bytes(), path


def test_a_corpus_of_another_version_or_emotions_is_refused(corpus):
    root, _ = corpus
    with pytest.raises(DataError, match=r"arguments: fps \[8, 10\] \(now \[8, 11\]\), emotions .*; give the same"):
        synthesize(root, **{**TINY, "fps": (8, 11)}, progress=False)
    record = root / "corpus.json"
    text = record.read_text()
    for old in ('"version": 1', '"odd": 2'):
        record.write_text(text.replace('"version": 2', old))
        with pytest.raises(DataError, match=r"other arguments: version (1|None) \(now 2\)"):
            synthesize(root, **TINY, emotions=("Joy", "Awe"), progress=False)
    record.write_text("[]")
    with pytest.raises(DataError, match="is not this corpus's settings; delete"):
        synthesize(root, **TINY, progress=False)
    record.write_text(text)


@pytest.mark.parametrize("name", ["data_info.csv", "train", "val", "test"])
def test_what_others_made_is_left_alone(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=f"holds {name} that this command did not write; give another folder"):
        synthesize(tmp_path, **TINY, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_one_process_at_a_time(tmp_path, monkeypatch):
    held = []

    def lock(path, what):
        held.append((path, what))
        raise BusyError(f"{path.parent}: another process ({what})")

    monkeypatch.setattr(synthetic, "folder_lock", lock)
    with pytest.raises(BusyError, match="another synthesize"):
        synthesize(tmp_path / "out", **TINY, progress=False)
    assert held == [(tmp_path / "out" / ".lock", "another synthesize")] and not (tmp_path / "out").exists()


def test_a_clip_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "train" / "wav" / "00000.wav").mkdir(parents=True)
    settings = Settings(4, 5, (0.3, 0.5), (8, 10), (96, 72), ("Joy",))
    with pytest.raises(MediaError, match=r"00000\.wav: cannot be written"):
        synthetic._write_clip(tmp_path, settings, 0)


@pytest.mark.parametrize("change, message", [
    ({"clips": 2}, "clips is 2; the three splits need at least 3"), ({"seed": -1}, "seed is -1; give 0 or more"),
    ({"duration": (0.19, 1)}, "duration is 0.19 to 1.0 s; give the shortest first"),
    ({"fps": (0, 9)}, "fps is 0 to 9"), ({"fps": (9, 121)}, "fps is 9 to 121; give the lowest first, within 1 to 120"),
    ({"size": (64, 63)}, r"size is \(64, 63\); pictures need at least 64"), ({"size": (63, 99)}, "size is"),
    ({"emotions": ("A", "B", "A")}, "emotions are named twice: A, B, A"),
    ({"workers": 0}, "workers is 0; give 1 or more"),
])
def test_limits_from_outside(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        synthesize(tmp_path / "out", **{**TINY, **change})


def test_limits_from_inside():
    """The smallest and largest of everything passes; asked of the check alone, since drawing it would take long."""
    smallest = {"clips": 3, "seed": 0, "duration": (0.2, 0.2), "fps": (1, 1), "size": (64, 64), "emotions": ("A",)}
    for change in ({}, {"fps": (120, 120)}, {"emotions": EMOTIONS}):
        synthetic._check(Settings(**{**smallest, **change}), 1)


@pytest.mark.parametrize("clips, counts", [
    (3, [1, 1, 1]), (4, [2, 1, 1]), (5, [3, 1, 1]), (7, [5, 1, 1]), (8, [5, 2, 1]), (10, [6, 2, 2]), (20, [13, 4, 3]),
])
def test_splits_by_hand(clips, counts):
    names = [split_of(index, clips) for index in range(clips)]
    assert [names.count(name) for name in ("Train", "Val", "Test")] == counts
    assert names == ["Train"] * counts[0] + ["Val"] * counts[1] + ["Test"] * counts[2]


def test_defaults_and_what_a_clip_is_made_of():
    settings = Settings(**{**TINY, "emotions": ("Joy", "Awe")})
    frames, wave, plan = render_clip(settings, 2)
    expected = plans()[2]
    assert plan.seed == (5, 2) and plan.person == expected.person and np.array_equal(plan.label, expected.label)
    frames = list(frames)
    assert len(frames) == round(plan.seconds * plan.fps) and frames[0].shape == (72, 96, 3)
    assert len(wave) == round(plan.seconds * 16000) and wave.dtype == np.float32
    assert asdict(settings)["version"] == synthetic.VERSION == 2
    defaults = synthesize.__kwdefaults__
    assert defaults == {
        "clips": 160, "seed": 0, "duration": (2.0, 6.0), "fps": (15, 30), "size": (320, 240), "emotions": EMOTIONS,
        "workers": cores(), "progress": True}


def test_plans_of_many_clips_keep_their_ranges():
    made = [performance.plan(1, index, 7, (2.0, 6.0), (15, 17)) for index in range(300)]
    assert {plan.fps for plan in made} == {15, 16, 17}
    seconds = [plan.seconds for plan in made]
    assert 2.0 <= min(seconds) < 2.1 and 5.9 < max(seconds) <= 6.0
    assert all(plan.label.max() == 1.0 and plan.label.min() >= 0.0 for plan in made)
    assert len({plan.person for plan in made}) == 300
