# SPDX-License-Identifier: Apache-2.0
"""Clips of real faces whose expression is known: each person's portrait at rest is morphed into the expressive one.

A label is how far the morph has gone at its peak: no rater and no actor stands between the picture and the number. The
clips are morphs and no films: nobody speaks, and all that moves beside the expression is the camera.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Sequence, Tuple, Union

from mindface_eri.datasets.build.workers import Reply
from mindface_eri.datasets.groups import names_people
from mindface_eri.datasets.labels import EXTRA_COLUMNS
from mindface_eri.datasets.tables import write_table
from mindface_eri.errors import DataError, ERIError
from mindface_eri.files import folder_lock
from mindface_eri.synthetic.folder import SHARES, claim, draw_all, remove_unfinished
from mindface_eri.synthetic.morph import Morph
from mindface_eri.synthetic.portraits import Pair, hash_of, lay_over, read_portraits
from mindface_eri.synthetic.takes import Take, plan
from mindface_eri.threads import cores

NOTE = ("Faces are morphed between two portraits: these are no films of people. The portraits' licence and their "
        "people's consent hold for the clips, and for what is trained on them.")
CURVES = "intensities.csv"
VERSION = 1  # of what is drawn: raise it when the same seed no longer gives the same clips


@dataclass(frozen=True)
class Settings:
    """All that decides what the corpus holds."""

    emotion: str
    clips: int
    seed: int
    duration: Tuple[float, float]
    fps: Tuple[int, int]
    side: int
    portraits: str = ""  # hash
    version: int = VERSION

    def take(self, index: int) -> Take:
        """What happens in clip number `index`."""
        return plan(self.seed, index, self.duration, self.fps)


def synthesize_morphs(out: Union[str, os.PathLike], portraits: Union[str, os.PathLike], *, emotion: str,
                      clips: int = 160, seed: int = 0, duration: Tuple[float, float] = (2.0, 6.0),
                      fps: Tuple[int, int] = (15, 30), side: int = 288, workers: int = cores(), progress: bool = True
                      ) -> Dict[str, object]:
    """Writes a corpus of morphed faces with known intensities of one expression.

    `out` receives `data_info.csv` (File_ID, Split, the expression, Subject and the portraits' further columns),
    `intensities.csv` (the intensity in every frame), `<split>/mp4/00000.mp4` without sound and `corpus.json` (these
    arguments). The same seed gives the same clips whatever the number of workers. An interrupted run is taken up again,
    a finished one is reused.

    Args:
        out: folder, new or left by a run with the same arguments and portraits.
        portraits: a table of them or its folder, see `read_portraits`.
        emotion: name of what the expressive portraits show, the label's column.
        clips: number of clips, dealt out evenly; at least one for each person.
        seed: 0 or more.
        duration: shortest and longest clip, seconds.
        fps: lowest and highest whole number of frames a second.
        side: of the square pictures, pixels.
        workers: processes that draw.
        progress: show a bar.

    Returns:
        `clips`, `written`, `reused`, `people`, `splits` (clips of each), `note`.

    Raises:
        DataError: an argument or the table cannot be used, a portrait shows no face, or `out` holds another corpus.
        BusyError: another process draws into `out`.
        MediaError: a clip cannot be written.
    """
    settings = Settings(emotion, int(clips), int(seed), tuple(map(float, duration)), tuple(map(int, fps)), int(side))
    _check(settings, workers)
    pairs, extra = read_portraits(portraits, settings.seed)
    _check_table(settings, len(pairs), extra)
    settings = replace(settings, portraits=hash_of(pairs))
    root, own = Path(out), (Path(out), settings, pairs)
    with folder_lock(root / ".lock", "another synthesize"):
        claim(root, asdict(settings), NOTE)
        missing = [index for index in range(settings.clips) if not _path(*own, index).is_file()]
        draw_all(root, own, missing, _draw, f"{__name__}:draw", workers, progress)
        _write_tables(root, settings, pairs, extra)
    splits = [pairs[_person(settings, pairs, index)].split for index in range(settings.clips)]
    return {"clips": settings.clips, "written": len(missing), "reused": settings.clips - len(missing),
            "people": len(pairs), "splits": {name: splits.count(name) for name, _ in SHARES}, "note": NOTE}


def _check(settings: Settings, workers: int) -> None:
    """Refuses settings that no corpus can be made with."""
    low, high = settings.duration
    slow, fast = settings.fps
    problems = [
        (not settings.emotion.strip(), "the emotion has no name; say what the portraits show, such as Smile"),
        (settings.seed < 0, f"seed is {settings.seed}; give 0 or more"),
        (not 0.2 <= low <= high, f"duration is {low} to {high} s; give the shortest first, at least 0.2"),
        (not 1 <= slow <= fast <= 120, f"fps is {slow} to {fast}; give the lowest first, within 1 to 120"),
        (settings.side < 160, f"side is {settings.side}; faces are found in pictures of at least 160 pixels"),
        (workers < 1, f"workers is {workers}; give 1 or more"),
    ]
    for wrong, message in problems:
        if wrong:
            raise DataError(message)


def _check_table(settings: Settings, people: int, extra: Sequence[str]) -> None:
    """Each person needs a clip, each column a name of its own, and the expression's one that is read as a label's."""
    if settings.clips < people:
        raise DataError(f"clips is {settings.clips}; {people} people need at least one each")
    own = ["file_id", "split", "subject"]
    name = settings.emotion.strip()
    if name.lower() in (*own, *EXTRA_COLUMNS, *map(str.lower, extra)) or names_people(name):
        raise DataError(f"emotion {name!r} is the name of another column; call what the portraits show otherwise")
    twice = [name for name in extra if name.lower() in own]
    if twice:
        raise DataError(f"the portraits' column {twice[0]!r} has the name of one that is written; rename it")


def _person(settings: Settings, pairs: Sequence[Pair], index: int) -> int:
    """Whose clip it is: those of a person stand side by side, so that a process meets few people."""
    return index * len(pairs) // settings.clips


def _path(root: Path, settings: Settings, pairs: Sequence[Pair], index: int) -> Path:
    return root / pairs[_person(settings, pairs, index)].split.lower() / "mp4" / f"{index:05d}.mp4"


def _draw(own: Tuple[Path, Settings, List[Pair]], index: int) -> None:
    """Draws one clip; the file appears under its name only when it is complete."""
    from mindface_eri.preprocess.video import write_video

    _, settings, pairs = own
    path, take = _path(*own, index), settings.take(index)
    morph = _morph(pairs[_person(settings, pairs, index)], settings.side)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path)
    write_video(path, take.frames(morph), take.fps)


@lru_cache(maxsize=1)
def _morph(pair: Pair, side: int) -> Morph:
    return Morph(*lay_over(pair, side))


def draw(own: Tuple[Path, Settings, List[Pair]], index: int) -> Reply:
    """What a worker does: draws one clip."""
    try:
        _draw(own, index)
    except ERIError as error:
        return "failed", "draw", str(error)
    return "done", "", ""


def _write_tables(root: Path, settings: Settings, pairs: Sequence[Pair], extra: Sequence[str]) -> None:
    rows, curves = [], []
    for index in range(settings.clips):
        pair, take = pairs[_person(settings, pairs, index)], settings.take(index)
        name = f"[{index:05d}]"
        rows.append([name, pair.split, f"{take.label:.4f}", pair.person, *pair.extra])
        curves += [[name, f"{number / take.fps:.3f}", f"{value:.4f}"] for number, value in enumerate(take.curve)]
    write_table(root / CURVES, ["File_ID", "Seconds", settings.emotion], curves)
    write_table(root / "data_info.csv", ["File_ID", "Split", settings.emotion, "Subject", *extra], rows)
