# SPDX-License-Identifier: Apache-2.0
"""Recipes by their names: from any folder, as a base, listed, copied, and what is refused."""

from pathlib import Path

import pytest

from mindface_eri import recipes
from mindface_eri.cli import main
from mindface_eri.config import load_config
from mindface_eri.errors import ConfigError
from mindface_eri.recipes import copy_recipe, find_recipe, list_recipes, recipes_folder

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["eri_paper_visual", "eri_paper_visual.yaml", "eri_paper_fusion_pm0.8"])
def test_a_bare_name_is_the_packages_recipe_in_any_folder(name):
    assert load_config(name) == load_config(CONFIGS / f"{name.removesuffix('.yaml')}.yaml")


def test_a_recipe_builds_on_the_packages_or_on_what_lies_beside_it(elsewhere):
    (elsewhere / "sub").mkdir()
    (elsewhere / "sub" / "mine.yaml").write_text("base: [demo_visual, own.yaml]\ntrain: {epochs: 3}\n")
    (elsewhere / "sub" / "own.yaml").write_text("train: {epochs: 2, batch_size: 5}\n")
    config = load_config("sub/mine.yaml")
    assert (config.model, config.train.epochs, config.train.batch_size) == (load_config("demo_visual").model, 3, 5)
    (elsewhere / "_base_paper.yaml").write_text("train: {epochs: 9}\n")  # what lies beside a file goes first
    (elsewhere / "other.yaml").write_text("base: _base_paper.yaml\n")
    assert load_config("other.yaml").train.epochs == 9 and load_config("eri_paper_visual").train.epochs != 9


def test_two_files_of_one_name_are_not_guessed_between(elsewhere):
    path = copy_recipe("demo_visual")
    assert find_recipe("demo_visual").read_bytes() == path.read_bytes()  # whichever: they are the same
    path.write_text("base: demo_visual\ntrain: {epochs: 77}\n")
    with pytest.raises(ConfigError, match="demo_visual: is a recipe of the package, and demo_visual.yaml lies here"):
        load_config("demo_visual")
    assert find_recipe("demo_visual.yaml") == Path("demo_visual.yaml")
    assert find_recipe("sub/demo_visual") == Path("sub/demo_visual")


def test_what_is_no_recipe_names_the_nearest(elsewhere):
    with pytest.raises(ConfigError, match="configs/eri_paper_visual.yaml: cannot be read .*; the package has "
                                          "eri_paper_visual: --config eri_paper_visual"):
        load_config("configs/eri_paper_visual.yaml")
    with pytest.raises(ConfigError, match="nonsense: cannot be read .*; `mindface-eri recipes` lists some"):
        load_config("nonsense")


def test_the_list_says_what_each_is(capsys):
    assert set(list_recipes()) == {path.stem for path in CONFIGS.glob("*.yaml") if not path.stem.startswith("_base")}
    assert all(len(line) > 10 and "\n" not in line for line in list_recipes().values())
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list_recipes())
    assert lines[0].split("  ")[0] == "demo_acoustic" and lines[0].endswith("The acoustic branch of the demonstration")


def test_a_copy_can_be_edited_and_used(elsewhere, capsys):
    assert main(["recipes", "copy", "demo_fusion"]) == 0
    assert capsys.readouterr().out == "wrote demo_fusion.yaml; train with --config demo_fusion.yaml\n"
    assert (elsewhere / "demo_fusion.yaml").read_bytes() == (CONFIGS / "demo_fusion.yaml").read_bytes()
    assert load_config("demo_fusion.yaml") == load_config(CONFIGS / "demo_fusion.yaml")
    assert main(["recipes", "copy", "demo_fusion"]) == 2
    assert "demo_fusion.yaml: is there already; name another file with --out" in capsys.readouterr().err
    assert main(["recipes", "copy", "demo_fusion.yaml", "--out", "a/b.yaml"]) == 0 and load_config("a/b.yaml")
    assert main(["recipes", "copy", "demo_fusin"]) == 2
    assert "no recipe 'demo_fusin'; the package has demo_fusion" in capsys.readouterr().err
    assert main(["recipes", "copy"]) == 2


def test_a_wheel_has_them_within_the_package(elsewhere, monkeypatch):
    package = elsewhere / "site-packages" / "mindface_eri"
    monkeypatch.setattr(recipes, "__file__", str(package / "recipes.py"))
    with pytest.raises(ConfigError, match="its recipes are missing; install mindface_eri again"):
        recipes_folder()
    (package / "configs").mkdir(parents=True)
    (package / "configs" / "_base_paper.yaml").touch()
    assert recipes_folder() == package / "configs"
