# SPDX-License-Identifier: Apache-2.0
"""The diagnosis names what is missing, why, and the cure."""

import importlib.metadata
import json

import pytest

from mindface_eri import doctor
from mindface_eri.cli import main


@pytest.fixture()
def no_device(monkeypatch):
    """Leaves out the device probe, which starts MindSpore in a process of its own."""
    monkeypatch.setattr(doctor, "_devices", lambda wanted: [doctor.Finding("device CPU", "ok", "available")])


def test_a_missing_package_is_named_with_its_cure(monkeypatch, no_device, capsys):
    true_version = importlib.metadata.version

    def version(name):
        if name in ("dlib-bin", "onnxruntime"):
            raise importlib.metadata.PackageNotFoundError(name)
        return true_version(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "-> pip install dlib-bin" in out
    assert "-> pip install 'mindface_eri[onnx]'" in out
    assert out.strip().endswith("1 missing: dlib-bin")


def test_a_broken_landmark_model_is_fatal(monkeypatch, no_device, tmp_path, capsys):
    monkeypatch.setenv("MINDFACE_ERI_LANDMARKS", str(tmp_path / "gone.dat"))
    assert main(["doctor", "--json"]) == 1
    found = {item["subject"]: item for item in json.loads(capsys.readouterr().out)}
    assert found["landmark model"]["status"] == "missing"
    assert "gone.dat" in found["landmark model"]["detail"]
    assert found["codecs"]["status"] == "ok"


REQUIREMENTS = [doctor.Requirement("driver", "for CUDA 12.2"),
                doctor.Requirement("CUDA libraries", "none", "pip install them"),
                doctor.Requirement("plugin loads", "no", "see above")]


def test_a_device_that_must_work_is_laid_out_piece_by_requirement():
    found = doctor._card_findings("GPU", False, REQUIREMENTS, wanted=True)
    assert [(f.subject, f.status) for f in found] == [
        ("GPU: driver", "ok"), ("GPU: CUDA libraries", "missing"), ("GPU: plugin loads", "missing"),
        ("device GPU", "missing")]
    assert found[-1].detail == "not available: CUDA libraries: none"
    assert found[-1].cure == "pip install them"


def test_a_device_that_need_not_work_is_one_note():
    (found,) = doctor._card_findings("GPU", False, REQUIREMENTS, wanted=False)
    assert (found.status, found.cure) == ("note", "pip install them")
    (found,) = doctor._card_findings("GPU", True, REQUIREMENTS[:1], wanted=False)
    assert (found.status, found.detail) == ("ok", "available")
    (found,) = doctor._card_findings("GPU", False, REQUIREMENTS[:1], wanted=False)
    assert "does not say why" in found.detail


def test_devices_are_probed_in_a_process_of_their_own():
    found = {f.subject: f for f in doctor._devices("GPU")}
    assert found["device CPU"].status == "ok"
    assert found["device GPU"].status == "ok" or (found["device GPU"].fatal and found["device GPU"].cure)
    assert not found["device Ascend"].fatal
