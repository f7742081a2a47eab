# SPDX-License-Identifier: Apache-2.0
"""Puts small faults into the package, one at a time, and says which of them the fast tests notice.

    make mutants                       # every room, 50 faults each: hours
    make mutants ROOM=preprocess       # one folder, or one file (runner/step), of the package
    make mutants ROOM=models COUNT=10 SEED=7

One process imports MindSpore and the other large libraries once and is forked for each mutant: a fork starts its tests
at once, in a copy of the checkout of its own. The tests of the mutant's module come first, then those of its room, then
whatever else names the module; the first failure ends them. What is left alive is listed, for somebody to judge.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Dict, List, Optional

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from faults import Mutant, draw  # noqa: E402 - a script beside this one

ROOMS = ("preprocess", "models", "loss", "metrics", "datasets", "runner", "deploy", "report", "prediction",
         "evaluation", "study", "selftest")
HEAVY = ("mindspore", "mindspore.dataset", "mindspore.mindrecord", "numpy", "scipy.signal", "scipy.stats", "librosa",
         "cv2", "av", "dlib", "matplotlib.pyplot", "PIL.Image", "yaml", "onnx", "onnxruntime", "pytest", "hypothesis")
KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"


class Tree:
    """A copy of the checkout in which one mutant at a time stands."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.path, self.log = folder, folder / "log.txt"
        names = subprocess.run(["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"],
                               check=True, capture_output=True, text=True).stdout.splitlines()
        for name in names:
            if (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder / "mindface_eri")], check=True)
        self.files = sorted(p.relative_to(folder).as_posix() for p in (folder / "tests").rglob("test_*.py"))
        self._undo: Optional[Mutant] = None
        self._original = ""

    def put(self, mutant: Optional[Mutant]) -> None:
        """The checkout as it is, but for `mutant`."""
        if self._undo is not None:
            self._write(self._undo.path, self._original)
        self._undo = mutant
        if mutant is not None:
            self._original = (self.path / mutant.path).read_text(encoding="utf-8")
            self._write(mutant.path, mutant.source)

    def _write(self, name: str, text: str) -> None:
        target = self.path / name
        target.write_text(text, encoding="utf-8")
        for stale in (target.parent / "__pycache__").glob(f"{target.stem}.*.pyc"):
            stale.unlink()

    def tests(self, module: str) -> List[str]:
        """The test files for a file of the package, the nearest first."""
        parts = Path(module).relative_to("mindface_eri").with_suffix("").parts
        room, stem = ("/".join(parts[:-1]), parts[-1])
        mine = f"tests/ut/{room}/" if room else "tests/ut/"
        dotted = "mindface_eri." + ".".join(parts)
        named = [name for name in self.files if self._names(name, dotted, parts)]
        mirrored = [name for name in self.files if name.startswith(f"{mine}test_{stem}")]
        near = [name for name in self.files if name.startswith(mine)] if room else []
        return list(dict.fromkeys([*mirrored, *(n for n in named if n in near), *near, *named]))

    def _names(self, test: str, dotted: str, parts: tuple) -> bool:
        text = (self.path / test).read_text(encoding="utf-8")
        from_package = f"from {dotted.rpartition('.')[0]} import" in text and parts[-1] in text
        return dotted in text or from_package


class Child:
    """A forked process that runs test files over a tree until one fails."""

    def __init__(self, tree: Tree, tests: List[str], seconds: float) -> None:
        self.begun, self.limit = time.monotonic(), seconds
        tree.log.unlink(missing_ok=True)
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _run_tests(tree.path, tests, tree.log)

    def poll(self) -> Optional[str]:
        """How it ended, if it has."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        late = time.monotonic() - self.begun > self.limit
        if not pid and not late:
            return None
        _end_group(self.pid)
        if not pid:
            os.waitpid(self.pid, 0)
            return TIMEOUT
        return SURVIVED if os.waitstatus_to_exitcode(status) == 0 else KILLED

    def wait(self) -> str:
        """How it ends."""
        while (end := self.poll()) is None:
            time.sleep(0.1)
        return end


def _run_tests(tree: Path, tests: List[str], log: Path) -> None:
    """Never returns: the forked process ends here."""
    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    status = 70
    try:
        scratch = tree / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        os.chdir(tree)
        os.environ.update(PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1", TMPDIR=str(scratch))
        tempfile.tempdir = None
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(tree))
        import pytest

        status = int(pytest.main(["-x", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={scratch}/t", *tests]))
    finally:
        sys.stdout.flush()
        os._exit(status)


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def judge(root: Path, mutants: List[Mutant], jobs: int, work: Path, limit: Optional[float]) -> Dict[Mutant, str]:
    """What becomes of each mutant, printed on the way.

    Args:
        limit: seconds that a mutant's tests may take; None runs the tests without a fault first, and takes three times
            as long.

    Raises:
        SystemExit: the tests fail without any fault.
    """
    trees = [Tree(root, work / str(k)) for k in range(jobs)]
    if limit is None:
        begun = time.monotonic()
        every = list(dict.fromkeys(name for mutant in mutants for name in trees[0].tests(mutant.path)))
        if Child(trees[0], every, 3600.0).wait() != SURVIVED:
            raise SystemExit(trees[0].log.read_text(errors="replace")[-3000:]
                             + "\nthese tests fail without any fault; mend them first")
        limit = 30 + 3 * (time.monotonic() - begun)
    waiting, running, ends = list(mutants), {}, {}
    while waiting or running:
        for k, tree in enumerate(trees):
            if k not in running and waiting:
                mutant = waiting.pop(0)
                tree.put(mutant)
                tests = tree.tests(mutant.path)
                running[k] = (mutant, Child(tree, tests, limit))
        for k, (mutant, child) in list(running.items()):
            end = child.poll()
            if end is not None:
                del running[k]
                trees[k].put(None)
                ends[mutant] = end
                seconds = time.monotonic() - child.begun
                print(f"[{len(ends)}/{len(mutants)}] {end:8} {seconds:4.0f} s  {mutant}", flush=True)
        time.sleep(0.05)
    return ends


def _preload() -> None:
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    os.environ.setdefault("GLOG_v", "3")
    for name in HEAVY:
        importlib.import_module(name)


def table(ends: Dict[Mutant, str]) -> str:
    """Rates by room in Markdown, then the survivors; what ran too long may be one, where --limit is short."""
    rooms: Dict[str, Counter] = {}
    for mutant, end in ends.items():
        rooms.setdefault(Path(mutant.path).parts[1].removesuffix(".py"), Counter())[end] += 1
    lines = ["| room | faults | noticed | of these by running too long | rate |", "| --- | ---: | ---: | ---: | ---: |"]
    for room, found in [*sorted(rooms.items()), ("all", sum(rooms.values(), Counter()))]:
        noticed = found.total() - found[SURVIVED]
        rate = noticed / max(found.total(), 1)
        lines.append(f"| {room} | {found.total()} | {noticed} | {found[TIMEOUT]} | {rate:.0%} |")
    lines += ["", *(f"- `{mutant}`{', ran too long' * (end == TIMEOUT)}" for mutant, end in ends.items()
                    if end != KILLED)]
    return "\n".join(lines)


def main() -> int:
    """Status 1 where less than --at-least of the faults is noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", help=f"folders or files of the package; default: {' '.join(ROOMS)}")
    parser.add_argument("--count", type=int, default=50, help="faults a room")
    parser.add_argument("--total", type=int, help="faults in all, drawn from all rooms alike; wins over --count")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=float, metavar="SECONDS",
                        help="what a fault's tests may take; without it, the tests run once without a fault first")
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="the checkout")
    parser.add_argument("--at-least", type=float, default=0.0, help="share that has to be noticed")
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    parser.add_argument("--list", action="store_true", help="show the faults only")
    args = parser.parse_args()
    root, rooms = args.root.resolve(), args.rooms or list(ROOMS)
    counts = [args.count] * len(rooms)
    if args.total:
        counts = [args.total // len(rooms) + (k < args.total % len(rooms)) for k in range(len(rooms))]
    mutants = [mutant for room, count in zip(rooms, counts) for mutant in draw(root, room, count, args.seed)]
    if args.list:
        print(*mutants, sep="\n")
        return 0
    _preload()
    with tempfile.TemporaryDirectory(prefix="mutants-") as work:
        ends = judge(root, mutants, args.jobs, Path(work), args.limit)
    if args.out:
        args.out.write_text(json.dumps([{"fault": str(m), "end": end} for m, end in ends.items()], indent=1))
    print(table(ends))
    noticed = sum(end != SURVIVED for end in ends.values()) / max(len(ends), 1)
    if noticed < args.at_least:
        print(f"{noticed:.0%} of the faults were noticed, need {args.at_least:.0%}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
