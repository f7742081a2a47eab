# SPDX-License-Identifier: Apache-2.0
"""The generated corpus: layout, labels, repeatability, taking up an interrupted run."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import pearsonr

from mindface_eri.constants import EMOTIONS
from mindface_eri.errors import DataError
from mindface_eri.synthetic import corpus as synthetic
from mindface_eri.synthetic import performance
from mindface_eri.synthetic.corpus import Settings, render_clip, split_of, synthesize

TINY = {"clips": 4, "seed": 5, "duration": (0.3, 0.5), "fps": (8, 10), "size": (96, 72), "progress": False,
        "workers": 1}


def settings(**changes):
    return Settings(**{"clips": 8, "seed": 5, "duration": (0.4, 0.8), "fps": (15, 30), "size": (160, 120),
                       "emotions": EMOTIONS, **changes})


def rows(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("generated") / "corpus"
    return root, synthesize(root, **TINY)


def test_layout(corpus):
    root, summary = corpus
    table = rows(root / "data_info.csv")
    assert list(table[0]) == ["File_ID", "Split", *EMOTIONS, "Age", "Country"]
    assert [row["File_ID"] for row in table] == ["[00000]", "[00001]", "[00002]", "[00003]"]
    assert [row["Split"] for row in table] == ["Train", "Train", "Val", "Test"]
    for row in table:
        stem, split = row["File_ID"].strip("[]"), row["Split"].lower()
        assert (root / split / "mp4" / f"{stem}.mp4").stat().st_size > 1000
        assert (root / split / "wav" / f"{stem}.wav").stat().st_size > 1000
    media = [p for p in root.rglob("*") if p.suffix in (".mp4", ".wav")]
    assert len(media) == 8 and not [p for p in root.rglob("*") if "tmp" in p.name]
    assert summary["written"] == 4 and summary["splits"] == {"Train": 2, "Val": 1, "Test": 1}
    assert "knows nothing about people" in summary["note"]


def test_labels_of_test_are_blank_and_kept_aside(corpus):
    root, _ = corpus
    table, hidden = rows(root / "data_info.csv"), rows(root / "test_labels.csv")
    for row in table[:3]:
        values = [float(row[name]) for name in EMOTIONS]
        assert max(values) == 1.0 and min(values) >= 0.0
    assert [table[3][name] for name in EMOTIONS] == [""] * 7 and table[3]["Age"]
    assert [row["File_ID"] for row in hidden] == ["[00003]"]
    assert max(float(hidden[0][name]) for name in EMOTIONS) == 1.0


def test_media_hold_what_was_drawn(corpus):
    soundfile = pytest.importorskip("soundfile")
    av = pytest.importorskip("av")
    root, _ = corpus
    frames, voice, plan = render_clip(settings(**{k: TINY[k] for k in ("clips", "seed", "duration", "fps", "size")}), 0)
    drawn = np.stack(list(frames))
    wave, rate = soundfile.read(root / "train" / "wav" / "00000.wav", dtype="float32")
    assert rate == 16000 and np.abs(wave - voice).max() < 1e-4
    with av.open(str(root / "train" / "mp4" / "00000.mp4")) as container:
        decoded = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
        assert container.streams.audio[0].codec_context.name == "aac"
        assert container.streams.video[0].average_rate == plan.fps
    assert decoded.shape == drawn.shape
    assert np.abs(decoded.astype(int) - drawn).mean() < 6


def test_a_second_run_reuses_and_an_interrupted_one_goes_on(corpus):
    root, _ = corpus
    clip = root / "val" / "mp4" / "00002.mp4"
    before = clip.stat().st_mtime_ns
    assert synthesize(root, **TINY)["reused"] == 4
    assert clip.stat().st_mtime_ns == before
    labels = (root / "data_info.csv").read_bytes()
    clip.unlink()
    (root / "data_info.csv").unlink()
    leftover = clip.with_name(".00002.99999.tmp.mp4")
    leftover.write_bytes(b"half")
    assert synthesize(root, **TINY)["written"] == 1
    assert not leftover.exists()
    assert clip.is_file() and (root / "data_info.csv").read_bytes() == labels


@pytest.mark.parametrize("change", [{"seed": 6}, {"clips": 5}, {"duration": (0.3, 0.6)}, {"size": (100, 80)},
                                    {"emotions": ("Joy", "Awe")}])
def test_other_arguments_over_a_corpus_are_refused(corpus, change):
    root, _ = corpus
    with pytest.raises(DataError, match=f"other arguments: {next(iter(change))} .*another folder"):
        synthesize(root, **{**TINY, **change})


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "data_info.csv").write_text("mine")
    with pytest.raises(DataError, match="did not write"):
        synthesize(tmp_path, **TINY)
    assert (tmp_path / "data_info.csv").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_damaged_settings_are_named(tmp_path):
    (tmp_path / "corpus.json").write_text("{")
    with pytest.raises(DataError, match=r"corpus\.json"):
        synthesize(tmp_path, **TINY)


@pytest.mark.parametrize(("change", "word"), [
    ({"clips": 2}, "at least 3"), ({"seed": -1}, "seed"), ({"duration": (3, 2)}, "duration"),
    ({"duration": (0, 2)}, "duration"), ({"fps": (30, 15)}, "fps"), ({"size": (32, 32)}, "size"),
    ({"emotions": ()}, "emotions"), ({"emotions": ("A",) * 2}, "twice"), ({"emotions": tuple("abcdefgh")}, "1 to 7"),
    ({"workers": 0}, "workers")])
def test_impossible_arguments(tmp_path, change, word):
    with pytest.raises(DataError, match=word):
        synthesize(tmp_path / "out", **{**TINY, **change})
    assert not (tmp_path / "out").exists()


def test_own_emotions(tmp_path):
    summary = synthesize(tmp_path / "own", **{**TINY, "clips": 3, "emotions": ("Joy", "Awe")})
    assert summary["clips"] == 3
    assert list(rows(tmp_path / "own" / "data_info.csv")[0]) == ["File_ID", "Split", "Joy", "Awe", "Age", "Country"]
    plan = performance.plan(0, 0, 2, (1, 1), (15, 15))
    assert plan.label.shape == (2,) and not plan.face[2:].any() and not plan.voice[2:].any()


def test_each_clip_depends_on_seed_and_index_alone():
    first, voice, plan = render_clip(settings(), 1)
    again, same_voice, same_plan = render_clip(settings(clips=80), 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert np.array_equal(voice, same_voice) and np.array_equal(plan.label, same_plan.label)
    _, other, other_plan = render_clip(settings(seed=6), 1)
    assert not np.array_equal(plan.label, other_plan.label) and other_plan.person != plan.person


@pytest.mark.slow
def test_workers_do_not_change_the_pictures(corpus, tmp_path):
    root, _ = corpus
    synthesize(tmp_path / "twice", **{**TINY, "workers": 2})
    for path in root.rglob("*"):
        if path.suffix in (".csv", ".wav", ".mp4"):
            assert (tmp_path / "twice" / path.relative_to(root)).read_bytes() == path.read_bytes(), path


def test_frames_come_one_by_one_for_any_length():
    plan = performance.plan(0, 0, 7, (600.0, 600.0), (30, 30))
    frames = performance.draw_frames(plan, (96, 72))
    assert next(frames).shape == (72, 96, 3)
    assert plan.seconds == 600.0
    frames.close()


def test_envelope_rises_holds_and_decays():
    envelope = performance.Envelope(start=0.1, peak=0.2, decay=0.9, rest=0.5)
    assert [envelope(share) for share in (0.0, 0.1, 0.15, 0.2, 0.5, 0.95, 1.0)] == pytest.approx(
        [0.0, 0.0, 0.5, 1.0, 1.0, 0.75, 0.5])


def test_each_modality_knows_a_part_and_both_know_more():
    plans = [performance.plan(0, index, 7, (2, 6), (15, 30)) for index in range(600)]
    face, voice, label = (np.array([getattr(p, k) for p in plans]) for k in ("face", "voice", "label"))
    for emotion in range(7):
        alone = [pearsonr(shown[:, emotion], label[:, emotion])[0] for shown in (face, voice)]
        both = pearsonr(face[:, emotion] + voice[:, emotion], label[:, emotion])[0]
        assert min(alone) > 0.55 and max(alone) < 0.88 and both > max(alone) + 0.08


def test_splits_cover_all_clips_in_order():
    assert [split_of(i, 3) for i in range(3)] == ["Train", "Val", "Test"]
    names = [split_of(i, 200) for i in range(200)]
    assert [names.count(n) for n in ("Train", "Val", "Test")] == [130, 40, 30]
    assert names == sorted(names, key=["Train", "Val", "Test"].index)


def test_the_record_says_what_it_is(corpus):
    root, _ = corpus
    record = json.loads((root / "corpus.json").read_text())
    assert record["seed"] == 5 and record["note"] == synthetic.NOTE
