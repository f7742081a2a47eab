# SPDX-License-Identifier: Apache-2.0
"""mindface-eri recipes"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("action", nargs="?", choices=("copy",), help="write a recipe to be edited; without it, they "
                                                                     "are listed")
    parser.add_argument("name", nargs="?", help="of the recipe to copy")
    parser.add_argument("--out", type=Path, metavar="YAML", help="file to write; without it, NAME.yaml here")


def run(arguments):
    """Lists the recipes, or copies one."""
    from mindface_eri.errors import ConfigError
    from mindface_eri.recipes import copy_recipe, list_recipes

    if (arguments.action is None) != (arguments.name is None):
        raise ConfigError("name the recipe: mindface-eri recipes copy NAME")
    if arguments.action is None:
        recipes = list_recipes()
        width = max(map(len, recipes))
        for name, line in recipes.items():
            print(f"{name:<{width}}  {line}")
    else:
        path = copy_recipe(arguments.name, arguments.out)
        print(f"wrote {path}; train with --config {path if path.parent != Path() else path.name}")
    return 0
