# SPDX-License-Identifier: Apache-2.0
"""Frozen dataclasses from nested mappings and back, every value checked against its field.

Unknown keys and values of the wrong type or range are refused with a `ConfigError` that names the key, the value and
the nearest known key.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from dataclasses import field
from typing import Any, Mapping, Sequence

from mindface_eri.errors import ConfigError


def one_of(default: str, *others: str) -> Any:
    """A field that takes one of some words."""
    return field(default=default, metadata={"choices": (default, *others)})


def number(default: Any, low: float, high: float = float("inf")) -> Any:
    """A field that takes a number within limits."""
    return field(default=default, metadata={"low": low, "high": high})


def listed(**limits: float) -> Any:
    """A list that may be empty, as it is by default."""
    return field(default=(), metadata={"empty": True, **limits})


def to_dict(config: Any) -> dict:
    """A dataclass as plain dicts, lists and scalars, ready for YAML or JSON."""
    return {key: list(value) if isinstance(value, tuple) else to_dict(value) if dataclasses.is_dataclass(value)
            else value for key, value in ((f.name, getattr(config, f.name)) for f in dataclasses.fields(config))}


def from_dict(cls: type, tree: Mapping, where: str = "") -> Any:
    """Builds the dataclass `cls` from nested mappings; the reverse of `to_dict`.

    Keys that `cls.RETIRED` names are passed over.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where or 'the recipe'}: expected a mapping of keys, got {tree!r}")
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}
    values = {}
    for key, value in tree.items():
        name = f"{where}.{key}" if where else str(key)
        if key in getattr(cls, "RETIRED", ()):
            continue
        if key not in known:
            raise ConfigError(f"unknown key {name!r}{_suggest(str(key), known)}")
        values[key] = _coerce(value, hints[key], known[key].metadata, name)
    return cls(**values)


def _coerce(value: Any, hint: Any, metadata: Mapping, name: str) -> Any:
    """`value` as the field's type wants it, or a ConfigError that names the field."""
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value or {}, name)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:  # Optional[X]
        return None if value is None else _coerce(value, arguments[0], metadata, name)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence) or not (value or metadata.get("empty")):
            raise ConfigError(f"{name}: expected a list of at least one value, got {value!r}")
        return tuple(_coerce(item, arguments[0], metadata, f"{name}[{i}]") for i, item in enumerate(value))
    value = _scalar(value, hint, name)
    choices = metadata.get("choices")
    if choices and value not in choices:
        raise ConfigError(f"{name}: {value!r} is not one of {', '.join(choices)}")
    if "low" in metadata and (not metadata["low"] <= value <= metadata["high"] or math.isinf(value)):
        raise ConfigError(f"{name}: {value!r} is outside [{metadata['low']}, {metadata['high']}]")
    return value


def _scalar(value: Any, kind: type, name: str) -> Any:
    """`value` as a bool, int, float or text, or a ConfigError that names the field."""
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    if kind in (int, float) and not isinstance(value, bool):
        try:  # PyYAML reads 1e-4 as a string
            parsed = float(value)
        except (TypeError, ValueError, OverflowError):
            parsed = None
        if parsed is not None and (kind is float or parsed.is_integer()):
            return value if isinstance(value, kind) else kind(parsed)
    raise ConfigError(f"{name}: expected {kind.__name__}, got {value!r}")


def _suggest(key: str, known: Mapping) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"
