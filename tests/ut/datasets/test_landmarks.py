# SPDX-License-Identifier: Apache-2.0
"""Landmarks in the records, their mean shape, and records of before they were stored."""

import json

import numpy as np
import pytest

from mindface_eri.datasets.build.plan import make_plan
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.datasets.held import HeldRecords, hold
from mindface_eri.datasets.labels import load_manifest
from mindface_eri.datasets.pipeline import create_dataset
from mindface_eri.datasets.records import open_records
from mindface_eri.datasets.statistics import landmark_statistics, mean_shape
from mindface_eri.errors import DataError


def laid(face, mean):
    """The face brought onto the mean shape by the best shift, scale and turn, found by least squares."""
    face = face - face.mean(axis=0)
    quarter = face @ np.array([[0, 1], [-1, 0]])
    basis = np.stack([face.ravel(), quarter.ravel()], axis=1)
    return (basis @ np.linalg.lstsq(basis, mean.ravel(), rcond=None)[0]).reshape(mean.shape)


def faces_of(rng, clips=3, frames=5):
    """Asymmetric faces somewhere in a picture, upside up; one instant of the first clip shows none."""
    shape, made = rng.normal(size=(68, 2)) * [1, 1.4], np.zeros((clips, frames, 68, 2), np.float32)
    for clip in range(clips):
        for frame in range(frames):
            angle, face = rng.normal(0.2, 0.3), shape + rng.normal(size=(68, 2)) * 0.1
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            made[clip, frame] = face @ turn * rng.uniform(20, 90) + rng.uniform(100, 500, 2)
    made[0, 3] = 0
    return made


def test_the_mean_shape_is_that_of_generalised_procrustes():
    """Faces laid on it have it as their mean, no other shape is nearer to all, and the deviation is theirs."""
    clips = faces_of(np.random.default_rng(2))
    mean, scale = mean_shape(clips)
    assert mean.shape == (68, 2) and mean.dtype == scale.dtype == np.float32 and scale.shape == (1,)
    np.testing.assert_allclose([mean.mean(), (mean.astype(float) ** 2).sum()], [0, 68], atol=1e-4)
    faces = clips.reshape(-1, 68, 2)[np.arange(15) != 3].astype(float)
    on_it = np.array([laid(face, mean) for face in faces])
    towards = on_it.mean(axis=0)
    np.testing.assert_allclose(towards / np.sqrt((towards ** 2).mean() * 2), mean, atol=2e-3)
    assert scale[0] == pytest.approx(np.sqrt(((on_it - mean) ** 2).mean()), rel=1e-4)
    upright = np.array([face - face.mean(axis=0) for face in faces]).mean(axis=0)
    turn = (mean * (upright @ np.array([[0, 1], [-1, 0]]))).sum() / (mean * upright).sum()
    assert abs(turn) < 0.1  # it stands as they stand on average


def test_no_face_at_all():
    mean, scale = mean_shape([np.zeros((4, 68, 2), np.float32)])
    np.testing.assert_allclose((mean ** 2).sum(axis=1), 1, rtol=1e-6)
    assert scale.tolist() == [1.0]
    assert mean_shape([np.tile(mean * 30 + 5, (2, 1, 1))])[1][0] < 1e-3  # nothing moves


def test_records_give_back_what_was_found(records, content, tiny):
    ids = records.ids("val")[::-1]
    for clip_id, record in zip(ids, records.read(ids, ("landmarks",))):
        np.testing.assert_array_equal(record["landmarks"], content(int(clip_id), tiny).landmarks)
    batch = next(iter(create_dataset(records, "val", batch_size=8, columns=("landmarks", "mfcc"))
                      .create_dict_iterator(num_epochs=1, output_numpy=True)))
    assert batch["landmarks"].shape == (8, tiny.frames, 68, 2)
    np.testing.assert_array_equal(batch["landmarks"][::-1][0], next(records.read(ids, ("landmarks",)))["landmarks"])
    found = landmark_statistics(records.files, records.rows(ids))
    expected = mean_shape([record["landmarks"] for record in records.read(ids, ("landmarks",))])
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.fixture
def records(records_folder):
    return open_records(records_folder)


@pytest.fixture
def before(tmp_path, corpus_writer, extractor, tiny):
    """Records whose plan was made before landmarks were stored, of ten clips; their data lie beside them."""
    manifest, out = load_manifest(corpus_writer(tmp_path / "data", range(40, 50))), tmp_path / "old"
    make_plan(out, manifest, tiny, resume=False, num_shards=1)
    said = json.loads((out / "plan.json").read_text())
    del said["fields"]
    (out / "plan.json").write_text(json.dumps({**said, "block_size": 6}))
    preprocess_dataset(None, out, tiny, manifest=manifest, resume=True, extractor=extractor, progress=False)
    said = json.loads((out / "dataset.json").read_text())
    assert said.pop("fields") == ["frames", "mfcc", "present", "timestamps", "boxes", "detected"]
    (out / "dataset.json").write_text(json.dumps(said))
    return out, manifest


def test_records_of_before_say_that_they_hold_none(before):
    records = open_records(before[0])
    assert records.fields == ("frames", "mfcc", "present", "timestamps", "boxes", "detected")
    for ask in (lambda: create_dataset(records, "train", batch_size=4, columns=("landmarks", "labels")),
                lambda: next(records.read(records.ids()[:1], ("landmarks",)))):
        with pytest.raises(DataError, match=r"old: these records hold no landmarks: .* preprocess the clips again"):
            ask()
    assert next(records.read(records.ids()[:1]))["mfcc"].any()


def test_records_begun_before_go_on_without(before, extractor, tiny):
    """A changed clip is read again; all parts keep the same fields, or MindSpore could not open them together."""
    out, manifest = before
    part = out / "records" / "part-00000.json"
    said = json.loads(part.read_text())
    said["rows"][2]["source"] = {"video": [1, 1, "0"]}
    part.write_text(json.dumps(said))
    summary = preprocess_dataset(None, out, tiny, manifest=manifest, resume=True, extractor=extractor, progress=False)
    assert summary.complete and (summary.total, summary.reused) == (10, 9)
    assert "landmarks" not in open_records(out).fields
    assert len(list(open_records(out).read(open_records(out).ids()))) == 10


def test_small_columns_are_read_once(records, monkeypatch):
    held, asked = hold(records, ("mfcc", "present")), []
    assert isinstance(held, HeldRecords) and hold(records, ("mfcc", "frames")) is records
    read = type(records).stream
    monkeypatch.setattr(type(records), "stream", lambda self, *rest: asked.append(list(rest[1])) or read(self, *rest))
    first = list(held.stream(["mfcc"], [3, 1, 3]))
    second = list(held.stream(["mfcc"], [1, 2]))
    assert asked == [[3, 1], [2]]
    for record, row in zip((*first, *second), (3, 1, 3, 1, 2)):
        np.testing.assert_array_equal(record["mfcc"], next(read(records, ["mfcc"], [row]))["mfcc"])
    monkeypatch.setattr("mindface_eri.datasets.held._MOST", 1000)
    assert hold(records, ("mfcc",)) is records
