# SPDX-License-Identifier: Apache-2.0
"""The generated corpus: drawn people with computed voices, in the layout of Hume-Reaction.

It is a demonstration and a test instrument: the whole route can be tried with it, and its labels can be learned from
what is drawn and heard. A model trained on it knows nothing about people.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Iterator, Sequence, Tuple, Union

import numpy as np

from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.build.workers import Reply
from mindface_eri.datasets.tables import write_table
from mindface_eri.errors import DataError, ERIError, MediaError
from mindface_eri.files import folder_lock, replacing
from mindface_eri.synthetic import performance
from mindface_eri.synthetic.folder import SHARES, claim, draw_all, remove_unfinished, split_of
from mindface_eri.synthetic.voice import SAMPLE_RATE
from mindface_eri.threads import cores

NOTE = "People are drawn and voices computed: a model trained on this corpus knows nothing about people."
VERSION = 2  # of what is drawn and spoken: raise it when the same seed no longer gives the same clips


@dataclass(frozen=True)
class Settings:
    """All that decides what the corpus holds."""

    clips: int
    seed: int
    duration: Tuple[float, float]
    fps: Tuple[int, int]
    size: Tuple[int, int]
    emotions: Tuple[str, ...]
    version: int = VERSION


def synthesize(out: Union[str, os.PathLike], *, clips: int = 160, seed: int = 0,
               duration: Tuple[float, float] = (2.0, 6.0),
               fps: Tuple[int, int] = (15, 30), size: Tuple[int, int] = (320, 240),
               emotions: Sequence[str] = EMOTIONS, workers: int = cores(), progress: bool = True) -> Dict[str, object]:
    """Writes a corpus of drawn, speaking people with known intensities.

    A model trained on it knows nothing about people: it is for demonstrations and tests.
    `out` receives `data_info.csv` (Test labels blank, as in Hume-Reaction), `test_labels.csv` (the Test rows with their
    labels), `<split>/mp4/00000.mp4` with sound, `<split>/wav/00000.wav` and `corpus.json` (these arguments). The same
    seed gives the same labels and pictures whatever the number of workers. An interrupted run is taken up again, a
    finished one is reused.

    Args:
        out: folder, new or left by a run with the same arguments.
        clips: number of clips over the three splits, at least 3.
        seed: 0 or more.
        duration: shortest and longest clip, seconds.
        fps: lowest and highest whole number of frames a second.
        size: width and height of the pictures, pixels.
        emotions: one to seven names of intensities.
        workers: processes that draw.
        progress: show a bar.

    Returns:
        `clips`, `written`, `reused`, `seconds` (of media), `splits` (clips of each), `note`.

    Raises:
        DataError: an argument is out of range, or `out` holds another corpus.
        BusyError: another process draws into `out`.
        MediaError: a clip cannot be written.
    """
    settings = Settings(int(clips), int(seed), tuple(map(float, duration)), tuple(map(int, fps)),
                        tuple(map(int, size)), tuple(emotions))
    _check(settings, workers)
    root = Path(out)
    with folder_lock(root / ".lock", "another synthesize"):
        claim(root, asdict(settings), NOTE)
        missing = [index for index in range(settings.clips) if not _finished(root, settings, index)]
        draw_all(root, (root, settings), missing, _draw, f"{__name__}:draw", workers, progress)
        plans = [_plan(settings, index) for index in range(settings.clips)]
        _write_tables(root, settings, plans)
    names = [split_of(index, settings.clips) for index in range(settings.clips)]
    return {"clips": settings.clips, "written": len(missing), "reused": settings.clips - len(missing),
            "seconds": round(sum(plan.seconds for plan in plans), 1),
            "splits": {name: names.count(name) for name, _ in SHARES}, "note": NOTE}


def render_clip(settings: Settings, index: int) -> Tuple[Iterator[np.ndarray], np.ndarray, performance.Performance]:
    """One clip of the corpus without any file.

    Returns:
        the frames, each (H, W, 3) uint8 RGB, drawn as they are asked for; the voice, (samples,) float32 at 16 kHz;
        and what was performed.
    """
    plan = _plan(settings, index)
    return performance.draw_frames(plan, settings.size), performance.make_waveform(plan), plan


def _plan(settings: Settings, index: int) -> performance.Performance:
    return performance.plan(settings.seed, index, len(settings.emotions), settings.duration, settings.fps)


def _check(settings: Settings, workers: int) -> None:
    """Refuses settings that cannot be drawn, all problems in one error."""
    low, high = settings.duration
    slow, fast = settings.fps
    count = len(settings.emotions)
    problems = [
        (settings.clips < 3, f"clips is {settings.clips}; the three splits need at least 3"),
        (settings.seed < 0, f"seed is {settings.seed}; give 0 or more"),
        (not 0.2 <= low <= high, f"duration is {low} to {high} s; give the shortest first, at least 0.2"),
        (not 1 <= slow <= fast <= 120, f"fps is {slow} to {fast}; give the lowest first, within 1 to 120"),
        (min(settings.size) < 64, f"size is {settings.size}; pictures need at least 64 x 64 pixels"),
        (not 1 <= count <= performance.CHANNELS,
         f"{count} emotions; the drawings have movements for 1 to {performance.CHANNELS}"),
        (len(set(settings.emotions)) < count, f"emotions are named twice: {', '.join(settings.emotions)}"),
        (workers < 1, f"workers is {workers}; give 1 or more"),
    ]
    for wrong, message in problems:
        if wrong:
            raise DataError(message)


def _paths(root: Path, settings: Settings, index: int) -> Tuple[Path, Path]:
    folder = root / split_of(index, settings.clips).lower()
    return folder / "mp4" / f"{index:05d}.mp4", folder / "wav" / f"{index:05d}.wav"


def _finished(root: Path, settings: Settings, index: int) -> bool:
    return all(path.is_file() for path in _paths(root, settings, index))


def _draw(settings: Tuple[Path, Settings], index: int) -> None:
    _write_clip(*settings, index)


def draw(settings: Tuple[Path, Settings], index: int) -> Reply:
    """What a worker does: writes one clip."""
    try:
        _draw(settings, index)
    except ERIError as error:
        return "failed", "draw", str(error)
    return "done", "", ""


def _write_clip(root: Path, settings: Settings, index: int) -> None:
    """Draws one clip into its two files; each appears under its name only when it is complete."""
    import soundfile

    from mindface_eri.preprocess.video import write_video

    mp4, wav = _paths(root, settings, index)
    mp4.parent.mkdir(parents=True, exist_ok=True)
    wav.parent.mkdir(parents=True, exist_ok=True)
    for path in (mp4, wav):
        remove_unfinished(path)
    frames, waveform, plan = render_clip(settings, index)
    try:
        with replacing(wav) as temporary:
            soundfile.write(temporary, waveform, SAMPLE_RATE, subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise MediaError(f"{wav}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    write_video(mp4, frames, plan.fps, waveform, SAMPLE_RATE)


def _write_tables(root: Path, settings: Settings, plans: Sequence[performance.Performance]) -> None:
    """data_info.csv, and beside it the labels that the test split keeps back."""
    header = ["File_ID", "Split", *settings.emotions, "Age", "Country"]
    rows, hidden = [], []
    for index, plan in enumerate(plans):
        split = split_of(index, settings.clips)
        row = [f"[{index:05d}]", split, *(f"{v:.4f}" for v in plan.label), plan.person.age, plan.person.country]
        if split == "Test":
            hidden.append(row)
            row = [*row[:2], *[""] * len(plan.label), *row[-2:]]
        rows.append(row)
    write_table(root / "test_labels.csv", header, hidden)
    write_table(root / "data_info.csv", header, rows)
