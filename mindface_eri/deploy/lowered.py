# SPDX-License-Identifier: Apache-2.0
"""Files of lower precision than float32: what their descriptions say of them, so that none passes as the float32 file.

int8-dynamic: weights of matrix products as int8, scales of what they are multiplied with taken from each call.
int8-static: the same with scales from calibration, and convolutions as well.
bf16: the float32 graph, computed in bfloat16 by OpenVINO where the processor has it.
"""

from __future__ import annotations

import importlib.util
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

from mindface_eri.errors import ConfigError, MissingDependencyError
from mindface_eri.version import versions

RUNTIMES = {"int8-dynamic": "onnxruntime", "int8-static": "onnxruntime", "bf16": "openvino"}
_WORDS = {"int8-dynamic": "int8 (dynamic)", "int8-static": "int8 (static)", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Lowered:
    """The key `precision` of a description.

    Attributes:
        kind: a key of `RUNTIMES`.
        clips: how many clips it was compared with float32 on, beside copies of some that lack a modality.
        records: hash of the records that these are of.
        split: theirs.
        calibration_clips: of the split train, from which int8-static took its scales; 0 for the others.
        max_difference: the largest difference of an intensity from float32.
        tolerance: the largest that was allowed.
        pearson: by emotion, its correlation with float32 over these clips.
        least_pearson: the lowest that was allowed.
        mean_difference: by emotion.
        runtime_version: of what computed it then; another one may choose other kernels.
    """

    kind: str
    clips: int
    records: str
    split: str
    calibration_clips: int
    max_difference: float
    tolerance: float
    pearson: Mapping[str, float]
    least_pearson: float
    mean_difference: Mapping[str, float]
    runtime_version: str

    @property
    def runtime(self) -> str:
        """What computes it, and what it was compared in."""
        return RUNTIMES[self.kind]

    def sentence(self, file: os.PathLike) -> str:
        """What people should read beside its answers."""
        now = str(versions().get(self.runtime))
        other = ("" if now == self.runtime_version else
                 f" That was in {self.runtime} {self.runtime_version}; {now} may differ: export again to be sure.")
        return (f"{Path(file).name} computes in {_WORDS[self.kind]}, not in float32: on {self.clips} clips its "
                f"intensities were up to {self.max_difference:.4f} off, and correlated with float32's by at least "
                f"{math.floor(1e4 * min(self.pearson.values())) / 1e4:.4f}.{other}")

    def as_dict(self) -> Dict[str, Any]:
        """For the description."""
        return {**asdict(self), "runtime": self.runtime}


def lowered_path(file: os.PathLike, kind: str) -> Path:
    """`eri_visual.onnx` -> `eri_visual.bf16.onnx`."""
    file = Path(file)
    return file.with_name(f"{file.stem}.{kind}{file.suffix}")


def lowered_of(content: Optional[Mapping[str, Any]]) -> Optional[Lowered]:
    """What the key `precision` of a description holds; None where there is none: float32.

    Raises:
        ValueError: a kind that this version does not know.
        KeyError, TypeError: it is damaged.
    """
    if content is None:
        return None
    if content["kind"] not in RUNTIMES:
        raise ValueError(f"precision.kind is {content['kind']!r}, which this version does not know")
    return Lowered(**{name: content[name] for name in Lowered.__dataclass_fields__})


def check_asked(kinds: Sequence[str], clips: Any, tolerance: float = 0.05, least_pearson: float = 0.99) -> None:
    """Raises a `ConfigError` as `lower` does, before anything is written."""
    unknown = [kind for kind in kinds if kind not in RUNTIMES]
    if unknown or not kinds:
        raise ConfigError(f"precision {', '.join(unknown) or 'none'}: choose from {', '.join(RUNTIMES)}")
    if clips is None and "int8-static" in kinds:
        raise ConfigError("static quantization takes the scales of all that is computed from real clips, and is wrong "
                          "for others: give records of clips like those to come (--clips RECORDS)")
    if clips is None:
        raise ConfigError(f"{kinds[0]} is compared with float32 on clips like those to come: give their records "
                          "(--clips RECORDS)")
    if "bf16" in kinds and importlib.util.find_spec("openvino") is None:
        raise MissingDependencyError("bfloat16 is computed by OpenVINO: pip install 'mindface_eri[openvino]'")
    if not 0 < tolerance < 1 or not 0 < least_pearson < 1:
        raise ConfigError(f"a tolerance of {tolerance} and a least Pearson of {least_pearson}: both lie between 0 and "
                          "1")
