# SPDX-License-Identifier: Apache-2.0
"""What gave the numbers: the model's file and hash, the versions and the preprocessing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict

from mindface_eri.config import to_dict
from mindface_eri.files import file_hash
from mindface_eri.version import versions


def provenance_of(model: os.PathLike, predictor: Any) -> Dict[str, object]:
    """Names and values for a page.

    Args:
        model: what the predictor was loaded from.
    """
    path = Path(model)
    file = path / "checkpoints" / "best.ckpt" if path.is_dir() else path
    facts: Dict[str, object] = {"model": path.resolve().name, "network": predictor.model.name}
    if file.is_file():
        facts["weights"] = f"{file.name}, sha256 {file_hash(file)[:16]}"
    if predictor.precision != "float32":
        facts["precision"] = predictor.precision
    facts["emotions"] = ", ".join(predictor.emotions)
    facts["preprocessing"] = flat(to_dict(predictor.preprocess))
    facts["software"] = ", ".join(f"{name} {version}" for name, version in versions().items())
    return facts


def flat(tree: dict, prefix: str = "") -> str:
    """Nested mappings as one line."""
    parts = []
    for key, value in tree.items():
        parts.append(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else f"{prefix}{key} {value}")
    return ", ".join(parts)
