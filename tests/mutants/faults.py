# SPDX-License-Identifier: Apache-2.0
"""Small faults, one at a time, of the kind that a reviewer would call a bug.

The operators are mutmut's, a kept mutation tester, less those whose mutants end in a TypeError at once (`x = None`) or
change only words for people, and a few of ours for what it has none: a statement, a filter, a condition, an argument's
place. mutmut itself calls every function through a trampoline, which MindSpore cannot read: it compiles a Cell from
the source of its `construct`. So a mutant here is a whole file with one thing changed.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import libcst as cst
import libcst.matchers as m
import numpy
from libcst.metadata import MetadataWrapper
from mutmut.mutation import mutators

_TWINS = [("min", "max"), ("any", "all"), ("argmin", "argmax"), ("zeros", "ones"), ("floor", "ceil"), ("sin", "cos"),
          ("mean", "sum"), ("append", "extend"), ("first", "last"), ("minimum", "maximum"), ("left", "right"),
          ("std", "var"), ("nanmin", "nanmax"), ("zeros_like", "ones_like"), ("width", "height"), ("rows", "columns"),
          ("visual", "acoustic"), ("train", "val"), ("start", "stop"), ("low", "high"), ("begin", "end"),
          ("labels", "predictions"), ("before", "after"), ("reduce_min", "reduce_max"), ("sqrt", "square")]
_OTHER = {**dict(_TWINS), **{b: a for a, b in _TWINS}}
_FOR_PEOPLE = {"print", "say", "notify", "add_argument", "debug", "info", "warning", "warn", "escape", "set_title"}


@dataclass(frozen=True)
class Mutant:
    """One fault: what stands at a place of a file, and what stands there instead."""

    path: str  # within the repository
    line: int
    before: str  # the line, stripped
    after: str
    source: str  # the whole file with the fault

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  ->  {self.after}"


def _string(node: cst.SimpleString) -> Iterator[cst.CSTNode]:
    opening = len(node.prefix) + len(node.quote)
    if " " not in node.value and len(node.value) > opening + 2 and len(node.quote) == 1 and node.prefix != "r":
        yield node.with_changes(value=f"{node.value[:opening]}XX{node.value[opening:]}")


def _dropped_keyword(node: cst.Call) -> Iterator[cst.CSTNode]:
    for i, argument in enumerate(node.args):
        if argument.keyword is not None:
            yield node.with_changes(args=[*node.args[:i], *node.args[i + 1:]])


def _swapped_arguments(node: cst.Call) -> Iterator[cst.CSTNode]:
    plain = [i for i, a in enumerate(node.args) if a.keyword is None and not a.star]
    if len(plain) >= 2 and all(isinstance(node.args[i].value, (cst.Name, cst.Attribute)) for i in plain[:2]):
        arguments = list(node.args)
        i, j = plain[0], plain[1]
        arguments[i] = arguments[i].with_changes(value=node.args[j].value)
        arguments[j] = arguments[j].with_changes(value=node.args[i].value)
        yield node.with_changes(args=arguments)


def _negated(node: cst.If) -> Iterator[cst.CSTNode]:
    test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(cst.Not(), test))


def _unfiltered(node: cst.CompFor) -> Iterator[cst.CSTNode]:
    if node.ifs:
        yield node.with_changes(ifs=())


def _dropped_statement(node: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    (only, *more) = node.body
    call = m.matches(only, m.Expr(m.Call() | m.Yield()))
    if not more and (call or isinstance(only, cst.AugAssign)):
        yield node.with_changes(body=[cst.Pass()])


def _other_function(node: cst.Call) -> Iterator[cst.CSTNode]:
    if isinstance(node.func, cst.Name) and node.func.value in _OTHER:
        yield node.with_changes(func=cst.Name(_OTHER[node.func.value]))


_OPERATORS = [
    (cst.BaseNumber, mutators.operator_number), (cst.SimpleString, _string), (cst.Name, mutators.operator_name),
    (cst.UnaryOperation, mutators.operator_remove_unary_ops), (cst.Call, mutators.operator_dict_arguments),
    (cst.Call, mutators.operator_symmetric_string_methods_swap), (cst.CSTNode, mutators.operator_keywords),
    (cst.CSTNode, mutators.operator_swap_op), (cst.AugAssign, mutators.operator_augmented_assignment),
    (cst.IfExp, mutators.operator_if_exp), (cst.Call, _dropped_keyword), (cst.Call, _swapped_arguments),
    (cst.If, _negated), (cst.CompFor, _unfiltered), (cst.SimpleStatementLine, _dropped_statement),
    (cst.Call, _other_function),
]


class _Finder(cst.CSTVisitor):
    def __init__(self, text: str) -> None:
        self.text = text
        self.found = []  # pairs of a node and what takes its place
        super().__init__()

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._passed_over(node):
            return False
        for kind, operator in _OPERATORS:
            if isinstance(node, kind):
                with suppress(cst.CSTValidationError):  # what is not Python is no fault
                    self.found += [(node, mutated) for mutated in operator(node)]
        if isinstance(node, cst.Attribute) and self._exists(_OTHER.get(node.attr.value)):
            self.found.append((node, node.with_changes(attr=cst.Name(_OTHER[node.attr.value]))))
        return True

    def _exists(self, name: Optional[str]) -> bool:
        return name is not None and (hasattr(numpy, name) or f".{name}" in self.text)

    @staticmethod
    def _passed_over(node: cst.CSTNode) -> bool:
        """Annotations, imports and what only people read."""
        if isinstance(node, (cst.Annotation, cst.Import, cst.ImportFrom, cst.Decorator, cst.Raise, cst.FormattedString,
                             cst.ConcatenatedString)):
            return True
        if m.matches(node, m.SimpleStatementLine(body=[m.Expr(m.SimpleString() | m.ConcatenatedString())])):
            return True  # docstrings
        if m.matches(node, m.If(test=m.Name("TYPE_CHECKING"))):
            return True
        name = node.func if isinstance(node, cst.Call) else None
        name = name.attr if isinstance(name, cst.Attribute) else name
        return isinstance(name, cst.Name) and (name.value in _FOR_PEOPLE or name.value.endswith("Error"))


class _Source:
    """A file, and the changes that make its mutants."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path, self.text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        wrapper = MetadataWrapper(cst.parse_module(self.text))
        finder = _Finder(self.text)
        wrapper.visit(finder)
        self.module, self.changes = wrapper.module, finder.found

    def mutant(self, node: cst.CSTNode, mutated: cst.CSTNode) -> Optional[Mutant]:
        """None where the change is none, or is not Python."""
        try:
            changed = self.module.deep_replace(node, mutated).code
            compile(changed, self.path, "exec")
        except (SyntaxError, cst.CSTValidationError, ValueError):
            return None
        old, new = self.text.splitlines(), changed.splitlines()
        where = next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), None)
        if where is None:
            return None
        return Mutant(self.path, where + 1, old[where].strip(), new[where].strip(), changed)


def draw(root: Path, room: str, count: int, seed: int) -> List[Mutant]:
    """`count` mutants of a folder or file of the package, at most one a line, drawn evenly over all."""
    place = root / "mindface_eri" / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    changes = [(source, *change) for source in (_Source(path, root) for path in files) for change in source.changes]
    random.Random(f"{seed}:{room}").shuffle(changes)
    drawn: Dict[Tuple[str, int], Mutant] = {}
    for source, node, mutated in changes:
        if len(drawn) == count:
            break
        mutant = source.mutant(node, mutated)
        if mutant is not None:
            drawn.setdefault((mutant.path, mutant.line), mutant)
    return list(drawn.values())
