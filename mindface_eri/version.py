# SPDX-License-Identifier: Apache-2.0
"""This package's version, and those of what its numbers depend on."""

from __future__ import annotations

from typing import Dict

__version__ = "0.1.0"

# Distributions by the name that is shown; of several that bring the same the first that is there.
_DISTRIBUTIONS = {"mindspore": ("mindspore",), "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
                  "openvino": ("openvino",), "numpy": ("numpy",), "librosa": ("librosa",), "av": ("av",),
                  "dlib": ("dlib-bin", "dlib"),
                  "opencv": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless",
                             "opencv-contrib-python"), "torch": ("torch",)}


def versions() -> Dict[str, str]:
    """Name -> version of this package, Python and what of the rest is installed; nothing is imported for it."""
    import importlib.metadata
    import platform

    found = {"mindface_eri": __version__, "python": platform.python_version()}
    for name, distributions in _DISTRIBUTIONS.items():
        for distribution in distributions:
            try:
                found[name] = importlib.metadata.version(distribution)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found
