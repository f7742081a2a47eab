# SPDX-License-Identifier: Apache-2.0
"""The public names, which are imported when first used, are the ones that type checkers see."""

import ast
from pathlib import Path

import mindface_eri

ROOT = Path(__file__).parents[2]


def imports(path):
    """{name: module} of what a file imports by `from module import name`."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {alias.asname: node.module for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_type_checkers_find_each_name_where_it_is_imported_from():
    seen = imports(ROOT / "mindface_eri" / "__init__.py")
    seen.pop(None)  # names that are not handed on
    assert seen == {name: f"mindface_eri.{module}" for name, module in mindface_eri._PUBLIC.items()}


def test_each_name_is_used_where_the_types_are_checked():
    used = {node.attr for node in ast.walk(ast.parse((ROOT / "tests/typing/public_names.py").read_text("utf-8")))
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "mindface_eri"}
    assert set(mindface_eri.__all__) - used == set()


def test_the_types_are_installed_too():
    assert (Path(mindface_eri.__file__).parent / "py.typed").is_file()
    assert '"py.typed"' in (ROOT / "setup.py").read_text(encoding="utf-8")  # in package_data
