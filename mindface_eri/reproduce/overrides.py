# SPDX-License-Identifier: Apache-2.0
"""What --set may not say of a protocol: what the protocol says itself, and what no training of it would take."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Dict, Iterator, Mapping, Sequence

from mindface_eri.config import Config, override_of, to_dict
from mindface_eri.datasets.records import Records
from mindface_eri.errors import ConfigError

_OWN_BRANCHES = "fusion builds on the branches that this protocol trains"
_A_FOLD = "in table 3 a fold is the validation split of its training, as in the paper; `mindface-eri train` nests folds"
REASONS: Dict[str, str] = {  # key -> why the protocol replaces it
    "model.name": "each stage has its own network",
    "model.emotions": "they are the records'",
    "model.features": "table 1 has rows of all the feature sets that the records hold",
    "model.feature_widths": "they are the records'",
    "data.records": "the command's first argument names them",
    "data.fold": "each fold is trained",
    "data.fold_as": _A_FOLD,
    "data.fold_val": _A_FOLD,
    "runtime.seed": "--seeds says how many there are, from 0",
    "train.visual_run": _OWN_BRANCHES,
    "train.acoustic_run": _OWN_BRANCHES,
    "train.features_runs": _OWN_BRANCHES,
}


def check_overrides(overrides: Sequence[str], asked: Config, steps: Sequence[Config], records: Records, *,
                    flags: Mapping[str, object] = MappingProxyType({})) -> None:
    """Refuses an override that would be told in the report and change nothing.

    Args:
        overrides: `section.key=value` strings.
        asked: a recipe with them.
        steps: the recipes of the trainings that are about to be made of it.
        flags: keys that an option of the command says, with what it says.

    Raises:
        ConfigError: names the override and the reason.
    """
    wanted, made = flat(to_dict(asked)), flat({"preprocess": to_dict(records.preprocess)})
    taken = [flat(to_dict(step)) for step in steps]
    for text in overrides:
        for key in _leaves(*override_of(text)):
            reason = REASONS.get(key)
            if flags.get(key) not in (None, wanted.get(key)):
                reason = f"the command says {flags[key]}"
            elif key in made and made[key] != wanted[key]:
                reason = f"{records.path} was preprocessed with {made[key]!r}; name the data set, and another folder"
            elif reason is None and not any(step.get(key) == wanted.get(key) for step in taken):
                reason = "no training of these tables on these records takes it"
            if reason:
                raise ConfigError(f"--set {text}: {key} is not for a protocol to be told: {reason}")


def flat(tree: Mapping, prefix: str = "") -> Dict[str, Any]:
    """A tree as dotted keys and values."""
    found: Dict[str, Any] = {}
    for key, value in tree.items():
        found.update(flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return found


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield key
