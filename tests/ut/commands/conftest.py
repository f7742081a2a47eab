# SPDX-License-Identifier: Apache-2.0
"""Stands for what the commands call: the functions themselves are tested in rooms of their own."""

import functools
import importlib
import inspect

import pytest

from mindface_eri.cli import main


@pytest.fixture
def stand_in(monkeypatch):
    """`stand_in("module.function", answer)`: the function answers that, or raises it; its calls, each with every
    argument of the true signature by name, so that it does not matter how it was handed over."""
    def put(target, answer=None):
        module, _, name = target.rpartition(".")
        module, calls = importlib.import_module(module), []
        signature = inspect.signature(getattr(module, name))

        @functools.wraps(getattr(module, name))  # another stand-in may take its place: it needs the signature
        def record(*args, **options):
            bound = signature.bind(*args, **options)
            bound.apply_defaults()
            calls.append(dict(bound.arguments))
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(module, name, record)
        return calls

    return put


@pytest.fixture
def status(capsys):
    """`status(words)`: the exit status of a command line, and what it wrote to both streams."""
    def run(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        return (code, *capsys.readouterr())

    return run
