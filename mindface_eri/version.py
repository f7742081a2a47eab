# SPDX-License-Identifier: Apache-2.0
"""This package's version, and those of what its numbers depend on."""

from __future__ import annotations

from typing import Dict

__version__ = "0.1.0"

# Distributions by the name that is shown.
_DISTRIBUTIONS = {"mindspore": "mindspore", "onnxruntime": "onnxruntime", "openvino": "openvino", "numpy": "numpy",
                  "librosa": "librosa", "av": "av", "dlib": "dlib-bin", "opencv": "opencv-python-headless",
                  "torch": "torch"}


def versions() -> Dict[str, str]:
    """Name -> version of this package, Python and what of the rest is installed; nothing is imported for it."""
    import importlib.metadata
    import platform

    found = {"mindface_eri": __version__, "python": platform.python_version()}
    for name, distribution in _DISTRIBUTIONS.items():
        try:
            found[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
