# SPDX-License-Identifier: Apache-2.0
"""The part of MindFace: names and links in their new place, and tests that pass there without this package."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mindface_eri import __version__

SCRIPT = Path(__file__).parents[2] / "tools" / "mindface_layout.py"
SUBSET = ("test_config.py", "test_cli.py", "test_recipes.py", "test_plugins.py", "datasets/test_labels.py",
          "datasets/build/test_preprocessing.py::test_one_and_two_workers_write_the_same", "deploy/test_model_card.py",
          "deploy/test_export.py::test_onnx_predictor_does_not_import_mindspore")


@pytest.fixture(scope="module")
def layout():
    spec = importlib.util.spec_from_file_location("mindface_layout", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("before, after", [
    ("import mindface_eri\nmindface_eri.train()\n", "import mindface.eri\nmindface.eri.train()\n"),
    ("from mindface_eri import cli\n", "from mindface.eri import cli\n"),
    ("from mindface_eri.prediction.predictor import x\n", "from mindface.eri.prediction.predictor import x\n"),
    ("getattr(mindface_eri, name)\n", "getattr(mindface.eri, name)\n"),
    ('x = "mindface_eri.preprocess.clip:extract_clip"\n', 'x = "mindface.eri.preprocess.clip:extract_clip"\n'),
    ('f"mindface_eri.{name}"\n', 'f"mindface.eri.{name}"\n'),
    ('"import sys, mindface_eri; mindface_eri.x"\n', '"import sys, mindface.eri; mindface.eri.x"\n'),
    ('"python -m mindface_eri.cli"\n', '"python -m mindface.eri.cli"\n'),
    ('"pip install mindface_eri[onnx]"\n', '"pip install mindface_eri[onnx]"\n'),  # the distribution keeps its name
    ('{"mindface_eri": 1}\n', '{"mindface_eri": 1}\n'),
    ("_PREFIX = 'mindface_eri_cuda'\n", "_PREFIX = 'mindface_eri_cuda'\n")])
def test_modules_are_renamed_and_nothing_else(layout, before, after):
    assert layout.rename_imports(before) == after


def test_what_would_not_be_python_any_more_is_refused(layout):
    with pytest.raises(SyntaxError):
        layout.rename_imports("dict(mindface_eri=1)\n")


@pytest.mark.parametrize("source, target", [
    ("tests/fixtures/answers.py", "test/eri/fixtures/answers.py"), ("tests/mutants/run.py", None),
    ("tests/extractors/fake_extractor.py", "test/eri/extractors/fake_extractor.py"),
    ("tests/data/version_0_1.tar.xz", "test/eri/data/version_0_1.tar.xz"),
    ("mindface_eri/models/tcn.py", "mindface/eri/models/tcn.py"),
    ("configs/demo_visual.yaml", "mindface/eri/configs/demo_visual.yaml"),
    ("tests/ut/models/test_parity.py", "test/eri/UT/models/test_parity.py"),
    ("tests/conftest.py", "test/eri/conftest.py"), ("tests/fixtures/answers.py", "test/eri/fixtures/answers.py"),
    ("tests/extractors/fake_extractor.py", "test/eri/extractors/fake_extractor.py"),
    ("tests/data/version_0_1.tar.xz", "test/eri/data/version_0_1.tar.xz"), ("tests/mutants/run.py", None),
    ("docs/data.md", "docs/eri/data.md"), ("tests/ut/test_docs.py", None),
    ("tests/ut/test_public_names.py", None), ("CONTRIBUTING.md", None)])
def test_places(layout, source, target):
    assert layout.new_place(source) == target


def test_a_page_keeps_its_links(layout):
    text = "[a](data.md#x) [b](../configs/README.md) [c](../CONTRIBUTING.md) [d](https://x.y) `configs/a.yaml`"
    assert layout.rewrite("docs/recipe.md", text) == (
        "[a](data.md#x) [b](../../mindface/eri/configs/README.md) c [d](https://x.y) `mindface/eri/configs/a.yaml`")


@pytest.mark.parametrize("first", ["", "#!/usr/bin/env python\n"])
def test_the_licence_stands_in_full_there(layout, first):
    line = "# SPDX-License-Identifier: Apache-2.0\n"
    text = layout.rewrite("mindface_eri/x.py", f'{first}{line}"""x"""\nLINE = """\n{line}"""\n')
    assert text.startswith(f"{first}# Copyright 2026 The mindface_eri authors\n#\n# Licensed under the Apache License")
    assert text.endswith(f'# {"=" * 76}\n"""x"""\nLINE = """\n{line}"""\n')


def test_files_of_the_package_are_named_by_their_new_place(layout):
    assert layout.rewrite("setup.py", 'ROOT / "mindface_eri/version.py"') == 'ROOT / "mindface/eri/version.py"'


def test_a_full_folder_is_refused(layout, tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(FileExistsError):
        layout.lay_out(tmp_path)


@pytest.mark.slow
def test_its_tests_pass_there_without_this_package(layout, tmp_path):
    written = layout.lay_out(tmp_path / "out")
    pages = [tmp_path / "out" / name for name in written if name.endswith(".md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:\s]+)[)#]", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "sitecustomize.py").write_text("import sys\nsys.modules['mindface_eri'] = None\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path / "block", tmp_path / "out")))}
    said = subprocess.run([sys.executable, "setup.py", "--version"], cwd=tmp_path / "out", env=environment,
                          capture_output=True, text=True, check=True).stdout
    assert said.split()[-1] == __version__
    names = [*(f"test/eri/UT/{name}" for name in SUBSET), "test/eri/ST/test_version_0_1.py"]
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names], cwd=tmp_path / "out",
                         env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:]
    refused = subprocess.run([sys.executable, "-c", "import mindface.eri; import mindface_eri"], cwd=tmp_path / "out",
                             env=environment, capture_output=True, text=True, check=False)
    assert "mindface_eri" in refused.stderr.splitlines()[-1] and refused.returncode
