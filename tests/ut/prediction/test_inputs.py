# SPDX-License-Identifier: Apache-2.0
"""What a network needs of a clip, and the features that other programs computed for it."""

import types

import numpy as np
import pytest

from mindface_eri.errors import DataError, MediaError
from mindface_eri.prediction import inputs
from mindface_eri.prediction.inputs import Prepared, check_folders, check_given, features_file, prepare, stacked
from mindface_eri.prediction.jobs import Job

FAU = {"columns": ["AU01", "AU02", "AU04"], "time_column": "t", "unit": "ms", "method": "linear"}
GAZE = {"columns": ["x"], "time_column": None, "unit": "s", "method": "linear"}


@pytest.mark.parametrize("name, present, words", [
    ("eri_visual", [0, 1], "a face"), ("eri_acoustic", [1, 0], "sound"), ("eri_dual_branch", [0, 0], "a face or sound"),
    ("eri_multi_branch", [0, 0], "a face or sound"), ("eri_visual", [1, 0], None), ("eri_acoustic", [0, 1], None),
    ("eri_dual_branch", [0, 1], None), ("eri_dual_branch", [1, 0], None), ("eri_features", [0, 0], None)])
def test_what_a_network_cannot_do_without(name, present, words, tiny):
    sets = {"features": ("fau",), "feature_widths": (3,)} if name in ("eri_multi_branch", "eri_features") else {}
    model = tiny(name, **sets)
    clip = types.SimpleNamespace(present=np.array(present, np.float32), note="the reason")
    said = inputs.need_of(model, clip)
    assert said == ("" if words is None else f"{name} needs {words}, and none was found (the reason); "
                                             "use a model of both modalities")
    clip.note = ""
    assert "(" not in inputs.need_of(model, clip)
    assert inputs.modalities_needed(model) == {"eri_visual": [0], "eri_acoustic": [1], "eri_dual_branch": [0, 1],
                                        "eri_multi_branch": [0, 1, 2], "eri_features": [2]}[name]


def test_the_file_of_a_clip(tmp_path):
    assert features_file(tmp_path, "00001") is None
    (tmp_path / "00001.csv").mkdir()  # no file
    (tmp_path / "[00001].csv").touch()
    assert features_file(tmp_path, "00001") == tmp_path / "[00001].csv"
    (tmp_path / "00001.csv").rmdir()
    (tmp_path / "00001.csv").touch()
    assert features_file(str(tmp_path), "00001") == tmp_path / "00001.csv"


@pytest.fixture
def folders(tmp_path):
    """CSV files of `hum` for both sets, and of `low` in brackets for one."""
    for name in ("fau", "gaze"):
        (tmp_path / name).mkdir()
    (tmp_path / "fau" / "hum.csv").write_text("t,AU04,AU01,AU02\n0,1,10,7\n2000,5,30,7\n")
    (tmp_path / "gaze" / "hum.csv").write_text("x\n-1\n2\n")
    (tmp_path / "fau" / "[low].csv").write_text("t,AU01,AU02,AU04\n0,3,4,5\n")
    return {name: tmp_path / name for name in ("gaze", "fau")}


@pytest.fixture
def multi(tiny):
    return tiny("eri_multi_branch", features=("fau", "gaze"), feature_widths=(3, 1))


def test_feature_files_are_aligned_and_missing_ones_are_zeros(multi, make_clip, folders):
    clip = make_clip(seconds=1.5, face=False)  # instants at 0, 0.5, 1 and 1.5 s
    found = prepare(multi, {"fau": FAU, "gaze": GAZE}, Job("hum"), clip, folders)
    np.testing.assert_allclose(found.features["fau"], [[10, 7, 1], [15, 7, 2], [20, 7, 3], [25, 7, 4]], rtol=1e-6)
    np.testing.assert_allclose(found.features["gaze"], [[-1], [0], [1], [2]], atol=1e-6)  # no times: spread evenly
    assert found.present.tolist() == [0, 1, 1, 1] and found.present.dtype == np.float32 and found.clip is clip
    other = prepare(multi, {"fau": FAU, "gaze": GAZE}, Job("low"), make_clip(seconds=1.5), folders)
    assert other.features["fau"].tolist() == [[3, 4, 5]] * 4 and other.features["gaze"].tolist() == [[0]] * 4
    assert other.present.tolist() == [1, 1, 1, 0] and other.features["gaze"].dtype == np.float32
    batch = stacked([found, other])
    assert list(batch.features) == ["fau", "gaze"] and batch.features["fau"].shape == (2, 4, 3)
    assert batch.present.tolist() == [[0, 1, 1, 1], [1, 1, 1, 0]]
    assert batch.frames.shape == (2, 4, 32, 32, 3) and np.array_equal(batch.mfcc[1], other.clip.mfcc)
    thin = found.every(3)
    np.testing.assert_allclose(thin.features["gaze"], [[-1], [2]], atol=1e-6)
    assert thin.clip.timestamps.tolist() == [0, 1.5] and thin.there == (True, True)


def test_a_network_of_features_alone_needs_its_file(tiny, make_clip, folders):
    model = tiny("eri_features", features=("fau",), feature_widths=(3,))
    clip = make_clip(seconds=1.5)
    assert prepare(model, {"fau": FAU}, Job("low"), clip, folders).features["fau"].shape == (4, 3)
    (folders["fau"] / "hum.csv").write_text("t,AU01,AU02\n0,1,2\n")
    (folders["fau"] / "[low].csv").unlink()
    with pytest.raises(DataError) as error:
        prepare(model, {"fau": FAU}, Job("low"), clip, folders)
    assert str(error.value) == f"{folders['fau']}: no low.csv there, and eri_features needs it"
    with pytest.raises(DataError, match="no column 'AU04'"):
        prepare(model, {"fau": FAU}, Job("hum"), clip, folders)


def test_what_a_clip_lacks_is_said_before_its_features_are_read(multi, make_clip, folders):
    (folders["fau"] / "hum.csv").write_text("damaged")
    with pytest.raises(MediaError, match=r"^hum: eri_multi_branch needs a face or sound, and none was found; use a"):
        prepare(multi, {"fau": FAU, "gaze": GAZE}, Job("hum"), make_clip(face=False, sound=False), folders)


def test_every_set_needs_a_folder(multi, folders):
    check_folders(multi, folders)
    with pytest.raises(DataError, match=r"multi_branch takes the feature set .gaze., .*\(gaze=FOLDER\), or"):
        check_folders(multi, {"fau": folders["fau"]})
    with pytest.raises(DataError, match="feature set 'gaze': .*hum.csv is no folder; name the one of its CSV files"):
        check_folders(multi, {**folders, "gaze": folders["gaze"] / "hum.csv"})


@pytest.mark.parametrize("change, said", [
    ({"frames": np.zeros((5, 32, 32, 3), np.uint8)}, r"frames of \(5, 32, 32, 3\) uint8, the network takes \(4, 32, "),
    ({"frames": np.zeros((4, 112, 112, 3), np.uint8)}, r"frames of \(4, 112, 112, 3\) uint8, the network takes \(4, "),
    ({"frames": np.zeros((4, 32, 32, 3), np.float32)}, r"frames of \(4, 32, 32, 3\) float32, the network takes"),
    ({"mfcc": np.zeros((4, 1024), np.float32)}, r"mfcc of \(4, 1024\) float32, the network takes \(4, 16\); take it "
     r"apart by extract_clip\(path, predictor.preprocess\)")])
def test_a_clip_taken_apart_in_another_way_is_refused(change, said, predictor, make_clip):
    good = make_clip()
    check_given(predictor.preprocess, Job("00001", clip=good))
    with pytest.raises(DataError, match=f"^00001: {said}"):
        check_given(predictor.preprocess, Job("00001", clip=type(good)(**{**vars(good), **change})))


def test_columns_of_a_prepared_clip(make_clip):
    assert Prepared(make_clip(sound=False), {}, ()).present.tolist() == [1, 0]
