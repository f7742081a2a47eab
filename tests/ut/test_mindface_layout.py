# SPDX-License-Identifier: Apache-2.0
"""The part of MindFace: names and links in their new place, and tests that pass there without this package."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "mindface_layout.py"
# What the tool looks for in MindFace, and no more.
MINDFACE = {
    "mindface/__init__.py": "", "mindface/version.py": "__version__ = '0'\n",
    ".github/workflows/main.yml": """\
        python-version: ["3.7", "3.8", "3.9"]
      run: |
        pytest test/recognition/UT/*.py
      run: |
        pytest test/recognition/ST/*.py""",
    "README.md": "### Recognition\n\n### Detection\n- [Learn about detection configs](x.md)\n",
    "README_CN.md": "#### 识别任务\n\n## 教程\n\n### 识别任务\n",
    "requirements.txt": "mindspore_gpu==1.8.1\nnumpy==1.21.6\nopencv_python==4.6.0.66\nscikit-learn==1.1.2\ndownload",
    "test/requirements.txt": "mindspore\nnumpy\npylint==2.13.9\npytest\nnumpy==1.21.6\n",
    "setup.py": """\
from setuptools import find_packages, setup
setup(
    name="mindface", version="0.1", include_package_data=True,
    packages=find_packages(include=["mindface", "mindface.*"]),
    install_requires=[
        'numpy==1.21.6',
        "scikit-learn"
    ]
)
"""}
SUBSET = ("test_children.py", "test_files.py", "device/test_proofs.py", "device/test_gpu.py", "test_config.py",
          "test_cli.py", "test_recipes.py", "test_plugins.py", "datasets/test_labels.py",
          "datasets/build/test_preprocessing.py::test_one_and_two_workers_write_the_same", "deploy/test_model_card.py",
          "deploy/test_export.py::test_onnx_predictor_does_not_import_mindspore")


@pytest.fixture(scope="module")
def layout():
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        return importlib.import_module("mindface_layout")
    finally:
        sys.path.remove(str(SCRIPT.parent))


@pytest.fixture
def checkout(tmp_path):
    for name, text in MINDFACE.items():
        (tmp_path / "mindface" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mindface" / name).write_text(text, encoding="utf-8")
    return tmp_path / "mindface"


def run(checkout):
    return subprocess.run([sys.executable, str(SCRIPT), "--into", str(checkout)], capture_output=True, text=True,
                          encoding="utf-8", check=False)


@pytest.mark.parametrize("before, after", [
    ("import mindface_eri\nmindface_eri.train()\n", "import mindface.eri\nmindface.eri.train()\n"),
    ("from mindface_eri import cli\n", "from mindface.eri import cli\n"),
    ("from mindface_eri.prediction.predictor import x\n", "from mindface.eri.prediction.predictor import x\n"),
    ("getattr(mindface_eri, name)\n", "getattr(mindface.eri, name)\n"),
    ('x = "mindface_eri.preprocess.clip:extract_clip"\n', 'x = "mindface.eri.preprocess.clip:extract_clip"\n'),
    ('f"mindface_eri.{name}"\n', 'f"mindface.eri.{name}"\n'),
    ('"import sys, mindface_eri; mindface_eri.x"\n', '"import sys, mindface.eri; mindface.eri.x"\n'),
    ('"python -m mindface_eri.cli"\n', '"python -m mindface.eri.cli"\n'),
    ('"pip install mindface_eri[onnx]"\n', '"pip install mindface[onnx]"\n'),  # MindFace is what is installed there
    ('f"pip install mindface_eri[{extra}]"\n', 'f"pip install mindface[{extra}]"\n'),
    ('match=r"mindface_eri\\[onnx\\]"\n', 'match=r"mindface\\[onnx\\]"\n'),
    ('"import sys\\nimport mindface_eri\\n"\n', '"import sys\\nimport mindface.eri\\n"\n'),
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
    ("docs/deployment.md", "tutorials/eri/deployment.md"), ("README.md", "mindface/eri/README.md"),
    ("tests/ut/test_public_names.py", None), ("CONTRIBUTING.md", None), ("tools/mindface_patch.py", None)])
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


@pytest.mark.parametrize("source, code, names", [
    ("x.py", "import os\n", ""), ("x.py", "def f():\n    import os\n", "import-outside-toplevel"),
    ("x.py", "try:\n    import av\nexcept ImportError:\n    av = None\n", ""),
    ("x.py", "try:\n    f()\nexcept Exception as error:\n    pass\n", "broad-except"),
    ("x.py", "try:\n    f()\nexcept (KeyError, Exception) as error:\n    pass\n", "broad-except"),
    ("x.py", "class Broken(Exception):\n    pass\n", ""), ("x.py", "os._exit(3)\n", "protected-access"),
    ("x.py", "isinstance(x, Mapping)\n", "isinstance-second-argument-not-valid-type"),
    ("x.py", "def f():\n    import onnx  # noqa: F401\n", "import-outside-toplevel,unused-import"),
    ("device/gpu.py", "def f():\n    import os\n", "import-outside-toplevel,consider-using-with")])
def test_what_their_pylint_takes_for_faults_is_on_purpose(layout, source, code, names):
    line = "# SPDX-License-Identifier: Apache-2.0\n"
    text = layout.rewrite(f"mindface_eri/{source}", line + code)
    assert text == layout.FULL_HEADER + (f"# pylint: disable={names}\n" if names else "") + code
    assert "pylint" not in layout.rewrite(f"tests/{source}", line + code)


def test_what_is_on_purpose_in_single_files_names_files_that_are_there(layout):
    assert all((layout.ROOT / name).is_file() for name in layout._ON_PURPOSE_IN)


@pytest.mark.parametrize("before, after", [
    ("Path(__file__).parents[2] / 'x'", "Path(__file__).parents[3] / 'x'"),
    ("Path(__file__).parents[1] / 'x'", "Path(__file__).parents[1] / 'x'"),
    ('Path(__file__).parents[2] / "docs" / "devices.md"', 'Path(__file__).parents[3] / "docs/eri" / "devices.md"'),
    ("Path(files.__file__).parents[1]", "Path(files.__file__).parents[2]"),
    ("Path(mindface_eri.__file__).parents[1]", "Path(mindface.eri.__file__).parents[2]")])
def test_tests_find_what_they_read(layout, before, after):
    assert layout.rewrite("tests/ut/test_x.py", before + "\n") == after + "\n"


def test_package_data_is_named_folder_by_folder(layout, tmp_path):
    """Setuptools before 62.3, which Python 3.9 brings along, finds `**/*.css` one folder down and no further."""
    for name in ("a.css", "one/b.css", "one/two/c.css", "one/two/d.js", "one/two/e.css", "other/f.txt", "py.typed"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    declared = {"package_data": {"mindface_eri": ["py.typed", "**/*.css", "**/*.html", "other/*"]}}
    found = sys.modules["mindface_patch"]._each_folder(tmp_path, declared)
    assert found == ["py.typed", "*.css", "one/*.css", "one/two/*.css", "other/*"]


def test_the_package_data_of_the_patch_are_all_that_there_are(layout, checkout):
    block = re.search(r'"mindface.eri": \[(.*?)\]', run(checkout).stdout, re.S).group(1)
    package = layout.ROOT / "mindface_eri"
    found = {path for pattern in re.findall('"([^"]+)"', block) for path in package.glob(pattern)}
    assert "**" not in block and found == {
        path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}


def test_what_is_there_stays(layout, checkout):
    (checkout / "mindface/eri").mkdir()
    (checkout / "mindface/eri/config.py").touch()
    done = run(checkout)
    assert done.returncode == 1 and "config.py; nothing was written" in done.stderr and not done.stdout
    assert {path.relative_to(checkout).as_posix() for path in checkout.rglob("*") if path.is_file()} == {
        *MINDFACE, "mindface/eri/config.py"}


@pytest.mark.parametrize("name, text", [("mindface/__init__.py", None), ("README.md", "no list\n"), ("setup.py", "\n")])
def test_another_mindface_is_left_as_it_is(checkout, name, text):
    (checkout / name).unlink()
    if text is not None:
        (checkout / name).write_text(text)
    before = sorted(checkout.rglob("*"))
    done = run(checkout)
    assert done.returncode == 1 and str(checkout) in done.stderr and sorted(checkout.rglob("*")) == before


@pytest.mark.slow
def test_a_merged_checkout(checkout, tmp_path):
    done = run(checkout)
    assert done.returncode == 0 and "files written" in done.stderr
    assert all((checkout / name).read_text(encoding="utf-8") == text for name, text in MINDFACE.items())
    applied = subprocess.run(["git", "apply", "-"], cwd=checkout, input=done.stdout, text=True, encoding="utf-8",
                             capture_output=True, check=False)
    assert applied.returncode == 0, applied.stderr
    _patched_files(checkout)
    _links(checkout)
    _starts_anywhere(checkout, tmp_path)
    _tests_pass_without_this_package(checkout, tmp_path)


def _patched_files(checkout):
    needs = (checkout / "requirements.txt").read_text().split()
    assert [line for line in needs if line.startswith(("numpy", "opencv", "mindspore", "scikit", "download"))] == [
        "mindspore>=2.7.1,<2.11", "numpy>=1.22,<2", "opencv_python>=4.10,<4.12", "scikit-learn>=1.2,<2", "download"]
    assert "pylint==2.13.9" in (checkout / "test/requirements.txt").read_text().split()
    workflow = (checkout / ".github/workflows/main.yml").read_text()
    assert "recognition/ST/*.py\n        pytest test/eri/ST\n" in workflow and '["3.9"]' in workflow
    assert "### Reaction intensity" in (checkout / "README.md").read_text()
    assert "\n\n### 情绪反应强度估计\n" in (checkout / "README_CN.md").read_text(encoding="utf-8")


def _links(checkout):
    for page in checkout.rglob("*.md"):
        if "eri" in page.parts:
            for target in re.findall(r"\]\(([^)#:\s]+)[)#]", page.read_text(encoding="utf-8")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def _starts_anywhere(checkout, tmp_path):
    built = subprocess.run([sys.executable, "setup.py", "-q", "build", "--build-base", str(tmp_path / "build")],
                           cwd=checkout, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    eri = tmp_path / "build" / "lib" / "mindface" / "eri"
    for pattern in ("configs/demo_visual.yaml", "report/templates/*.html", "report/templates/*.css",
                    "report/templates/*.js", "pretrained/smile/*.onnx", "pretrained/smile/*.json",
                    "pretrained/dlib/*.svm", "py.typed"):
        assert list(eri.glob(pattern)), pattern
    for name in ("train", "eval", "infer"):
        said = subprocess.run([sys.executable, str(eri / f"{name}.py"), "--help"], cwd=tmp_path, capture_output=True,
                              text=True, check=True).stdout
        assert "usage:" in said


def _tests_pass_without_this_package(checkout, tmp_path):
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "sitecustomize.py").write_text("import sys\nsys.modules['mindface_eri'] = None\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "block")}
    names = [*(f"test/eri/UT/{name}" for name in SUBSET), "test/eri/ST/test_version_0_1.py"]
    pytest_itself = [sys.executable, Path(sys.executable).with_name("pytest")]  # `-m` would add the working folder
    done = subprocess.run([*pytest_itself, "-q", "-p", "no:cacheprovider", *names], cwd=checkout, env=environment,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    refused = subprocess.run([sys.executable, "-c", "import mindface.eri; import mindface_eri"], cwd=checkout,
                             env=environment, capture_output=True, text=True, check=False)
    assert "mindface_eri" in refused.stderr.splitlines()[-1] and refused.returncode
