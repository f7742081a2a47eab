# SPDX-License-Identifier: Apache-2.0
"""Python processes that we start import what this one imports, and nothing from the folder one happens to stand in.

`python -m` and `python -c` look there first, so that a `numpy.py` among somebody's clips would be run. Python can be
told not to since 3.11 only; a script's own folder, however, is known and can be taken out again. This is that script.
"""

import os
import sys
from typing import Dict, List

# Where the package lies: a folder up for each part of its name.
_ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * __name__.count(".")))
_SAFE = "PYTHONSAFEPATH"  # from Python 3.11 on, also for the processes that libraries start


def python(module: str, *words: object) -> List[str]:
    """The command line of `python -m module words...` that imports nothing from the working folder.

    It needs `environment()`.
    """
    return [sys.executable, os.path.abspath(__file__), module, *map(str, words)]


def environment(**more: str) -> Dict[str, str]:
    """This process's environment for such a command, `more` of it changed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(import_path()), _SAFE: "1", "PYTHONIOENCODING": "utf-8",
            **more}


def import_path() -> List[str]:
    """Where this process imports from, but for the working folder; what PYTHONPATH names stays."""
    paths = list(sys.path)
    by_name = getattr(sys.modules.get("__main__"), "__spec__", None) is not None  # python -m: the folder comes first
    if by_name and not os.environ.get(_SAFE) and paths and paths[0] == os.getcwd():
        del paths[0]
    paths = [path for path in paths if path]  # "" is the working folder, in an interactive Python
    return paths if _ROOT in paths else [*paths, _ROOT]


if __name__ == "__main__":
    if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
        del sys.path[0]
    import runpy

    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
