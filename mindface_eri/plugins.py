# SPDX-License-Identifier: Apache-2.0
"""Makers by name, such as losses, networks and face detectors, to which others add their own.

A registration lasts as long as its process, and preprocessing works in processes of its own: the environment variable
MINDFACE_ERI_PLUGINS names the modules (separated by commas) that register things. Any process imports them when it
meets a name that it does not know. Only the environment can name modules, never a recipe, a checkpoint or a sidecar,
which may come from others.
"""

from __future__ import annotations

import difflib
import importlib
import os
from typing import Any, Callable, Dict, Iterable, Tuple, TypeVar

from mindface_eri.errors import ConfigError

PLUGINS_VARIABLE = "MINDFACE_ERI_PLUGINS"
Maker = TypeVar("Maker", bound=Callable[..., Any])


class Registry:
    """Makers of one kind of thing by name."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._makers: Dict[str, Callable[..., Any]] = {}

    def register(self, name: str) -> Callable[[Maker], Maker]:
        """A decorator of a class or function that gives the thing: `@register("huber")`.

        Raises:
            ConfigError: another maker has this name.
        """
        def add(maker: Maker) -> Maker:
            held = self._makers.get(name)
            if held is not None and _place(held) != _place(maker):
                raise ConfigError(f"{self.kind} {name!r} is {_place(held)} already; give {_place(maker)} another name")
            self._makers[name] = maker
            return maker
        return add

    def names(self) -> Tuple[str, ...]:
        """All names that are known now, plugins included."""
        import_plugins()
        return tuple(self._makers)

    def find(self, name: str) -> Callable[..., Any]:
        """The maker of this name.

        Raises:
            ConfigError: there is none, even among the plugins.
        """
        if name not in self._makers and name not in self.names():
            raise unknown(self.kind, name, self._makers)
        return self._makers[name]


def unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """What to raise for a name that nobody has registered."""
    known = tuple(known)
    near = difflib.get_close_matches(name, known, n=1)
    cure = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return ConfigError(f"{kind} {name!r} is unknown; {cure} (modules named in {PLUGINS_VARIABLE} can register more)")


def import_plugins() -> None:
    """Imports the modules that MINDFACE_ERI_PLUGINS names.

    Raises:
        ConfigError: one of them cannot be imported.
    """
    for module in filter(None, map(str.strip, os.environ.get(PLUGINS_VARIABLE, "").split(","))):
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever somebody's module does
            raise ConfigError(f"{PLUGINS_VARIABLE} names {module!r}, which cannot be imported ({type(error).__name__}: "
                              f"{error}); install it, or put its folder on PYTHONPATH") from None


def _place(maker: Callable[..., Any]) -> str:
    named = maker if hasattr(maker, "__qualname__") else type(maker)  # on Python 3.9 a partial has no module either
    return f"{named.__module__}.{named.__qualname__}"
