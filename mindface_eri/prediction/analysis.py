# SPDX-License-Identifier: Apache-2.0
"""One video looked at closely: what was found in it, what the network says, and where it looked."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from mindface_eri.errors import MediaError
from mindface_eri.prediction.predictor import modalities_needed, need_of
from mindface_eri.prediction.windows import LONG, Grid, default_windows, plan_grid
from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.clip import Clip, extract_clip
from mindface_eri.preprocess.video import frame_times, probe, read_frames


@dataclass(frozen=True)
class Analysis:
    """N sampled frames of one video, E emotions, S segments of time (one where there is no timeline)."""

    name: str
    path: Path
    clip: Clip  # with N frames
    emotions: Tuple[str, ...]
    intensities: np.ndarray  # (E,); of a timeline, the mean over time
    segments: np.ndarray  # (S, 2) seconds from the first picture
    values: np.ndarray  # (S, E), NaN where there is neither a face nor a sound
    temporal: Optional[np.ndarray] = None  # (N,) attention weights; None where the predictor gives none
    spatial: Optional[np.ndarray] = None  # (N, h, w)
    waveform: Optional[np.ndarray] = None  # (samples,) from the first picture on, or None without sound
    sample_rate: int = 16000
    window: float = 0.0  # seconds; 0 where the clip was taken whole
    hop: float = 0.0

    @property
    def is_timeline(self) -> bool:
        """Whether values change over time."""
        return self.window > 0

    def rows(self) -> List[dict]:
        """Rows for an answer: one, or one a segment with its start and end in seconds."""
        if not self.is_timeline:
            return [{"File_ID": self.name, **dict(zip(self.emotions, map(float, self.intensities)))}]
        rows = []
        for (start, end), row in zip(self.segments, self.values):
            known = np.isfinite(row).all()
            answer = dict(zip(self.emotions, map(float, row))) if known else {"error": "neither face nor sound here"}
            rows.append({"File_ID": self.name, "start": round(float(start), 3), "end": round(float(end), 3), **answer})
        return rows


def duration_of(path: os.PathLike) -> float:
    """Seconds from the first to the last picture, or of sound where there is no picture."""
    times = frame_times(path)
    return float(times[-1] - times[0]) if len(times) > 1 else probe(path).duration


def analyse(path: os.PathLike, predictor: Any, *, name: Optional[str] = None, audio_path: Optional[os.PathLike] = None,
            window: float = 0.0, hop: float = 0.0, whole: bool = False, batch_size: int = 1,
            attention: bool = True, notify: Callable[[str], None] = lambda _: None) -> Analysis:
    """Predicts a video and keeps all that a page shows.

    Args:
        predictor: from `load_predictor`; one that has `attention` gives the weights too.
        audio_path: sound that wins over the video's own.
        window, hop: seconds; either one asks for a timeline, 0 takes 12 s and half a window. Without them, a video
            longer than 30 s gets a timeline.
        whole: never a timeline.
        batch_size: windows predicted together; on a processor more than one costs memory and saves nothing.
        attention: whether to ask for the weights too, which takes a graph of its own.

    Raises:
        MediaError: the video cannot be used.
        ConfigError: window or hop cannot be used.
    """
    path, config = Path(path), predictor.preprocess
    source = audio_path if audio_path is not None else path
    length = duration_of(path)
    windowed = not whole and (window > 0 or hop > 0 or length > LONG)
    grid = None
    if windowed:
        window, hop = default_windows(window, hop)
        grid = plan_grid(length, config.frames, min(window, max(length, 1e-3)), min(hop, max(length, 1e-3)))
        config = dataclasses.replace(config, frames=grid.samples)
    notify(f"{path.name}: reading {length:.1f} s")
    clip = extract_clip(path, config, audio_path=audio_path)
    waveform = waveform_of(source, path, clip, config.audio.sample_rate, separate=audio_path is not None)
    common = {"name": name or path.stem, "path": path, "clip": clip, "emotions": tuple(predictor.emotions),
              "waveform": waveform, "sample_rate": config.audio.sample_rate}
    missing = need_of(predictor, clip)
    if missing:
        raise MediaError(f"{path}: {missing}")
    if grid is None:
        return Analysis(**common, **_whole(predictor, clip, attention))
    present = _present(clip, grid, waveform, config.audio.silence)
    predicted = _predict_windows(predictor, clip, grid, present, batch_size, attention, notify)
    predicted[0][~present[:, modalities_needed(predictor)].any(1)] = np.nan
    return Analysis(**common, **_timeline(clip, grid, *predicted), window=window, hop=hop)


def _whole(predictor: Any, clip: Clip, attention: bool) -> Dict[str, Any]:
    """Fields of the analysis of a clip that the network takes at once."""
    values, temporal, spatial = explain(predictor, clip.frames[None], clip.mfcc[None], clip.present[None],
                                        attention=attention)
    return {"intensities": values[0], "values": values, "segments": np.array([[0.0, float(clip.timestamps[-1])]]),
            "temporal": None if temporal is None else temporal[0], "spatial": None if spatial is None else spatial[0]}


def _timeline(clip: Clip, grid: Grid, values: np.ndarray, temporal: Optional[np.ndarray],
              spatial: Optional[np.ndarray]) -> Dict[str, Any]:
    """Fields of the analysis of windows, which overlap: what they say of a segment is merged."""
    times = np.asarray(clip.timestamps, np.float64)[grid.edges]
    merged = grid.merge(values)
    lengths = np.maximum(np.diff(times), 1e-6) * np.isfinite(merged).all(1)
    return {"intensities": lengths @ np.nan_to_num(merged) / lengths.sum(), "values": merged,
            "segments": np.stack([times[:-1], times[1:]], 1),
            "temporal": None if temporal is None else grid.spread(temporal),
            "spatial": None if spatial is None else grid.spread(spatial)}


def explain(predictor: Any, frames: np.ndarray, mfcc: np.ndarray, present: np.ndarray, *,
            attention: bool = True) -> tuple:
    """Intensities (B, E), temporal weights (B, T) or None and spatial weights (B, T, h, w) or None.

    An exported model has no attention to give: only its intensities come back then.
    """
    method = getattr(predictor, "attention", None) if attention else None
    found = method(frames, mfcc, present) if callable(method) else None
    if found is None:
        return np.asarray(predictor.predict_arrays(frames, mfcc, present), np.float64), None, None
    return tuple(None if part is None else np.asarray(part, np.float64) for part in found)


def _present(clip: Clip, grid: Grid, waveform: Optional[np.ndarray], silence: float) -> np.ndarray:
    """Which windows show a face and which hold sound, (W, 2) bool."""
    index = grid.starts[:, None] + np.arange(grid.frames)  # (W, T)
    seen = (clip.detected[index] > 0).any(1) & bool(clip.present[0])
    heard = [bool(clip.present[1]) and _is_heard(waveform, clip, row, silence) for row in index]
    return np.stack([seen, np.array(heard, bool)], 1)


def _predict_windows(predictor: Any, clip: Clip, grid: Grid, present: np.ndarray, batch_size: int,
                     attention: bool, notify: Callable[[str], None]) -> tuple:
    """Intensities (W, E), and temporal (W, T) and spatial weights (W, T, h, w) or None."""
    starts, parts = grid.starts, []
    for first in range(0, len(starts), batch_size):
        index = starts[first:first + batch_size, None] + np.arange(grid.frames)  # (B, T)
        here = present[first:first + batch_size].astype(np.float32)
        mfcc = clip.mfcc[index] * here[:, 1, None, None]
        parts.append(explain(predictor, clip.frames[index], mfcc, here, attention=attention))
        notify(f"{min(first + batch_size, len(starts))} of {len(starts)} windows")
    return tuple(None if piece[0] is None else np.concatenate(piece) for piece in zip(*parts))


def _is_heard(waveform: Optional[np.ndarray], clip: Clip, index: np.ndarray, silence: float) -> bool:
    if waveform is None or clip.duration <= 0:
        return False
    first, last = clip.timestamps[index[0]] / clip.duration, clip.timestamps[index[-1]] / clip.duration
    part = waveform[int(first * len(waveform)):int(np.ceil(last * len(waveform)))]
    return bool(len(part) and max(part.max(), -part.min()) >= silence)


def waveform_of(source: os.PathLike, path: os.PathLike, clip: Clip, rate: int, *, separate: bool
                ) -> Optional[np.ndarray]:
    """The sound from the clip's first instant to its end, (round(duration * rate),) float32; silence where it lacks."""
    if not clip.present[1]:
        return None
    audio = load_audio(source, rate)
    begin = audio.start
    if not separate:
        with contextlib.suppress(MediaError):  # without a picture the clip begins with its sound
            begin = next(iter(read_frames(path)))[0]
    shift = 0 if separate else round((begin - audio.start) * rate)  # samples before the first picture
    samples = audio.waveform[max(shift, 0):]
    samples = np.pad(samples, (max(-shift, 0), 0))
    count = max(round(clip.duration * rate), 1)
    return np.pad(samples[:count], (0, max(count - len(samples), 0)))


def worth_showing(analysis: Analysis) -> np.ndarray:
    """(N,) how much a frame is worth showing: first how well its face was seen, then how much it was attended to."""
    worth = analysis.clip.detected.astype(float)
    if analysis.temporal is not None:
        worth = worth + 0.9 * analysis.temporal / max(float(analysis.temporal.max()), 1e-12)
    return worth
