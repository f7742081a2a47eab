# SPDX-License-Identifier: Apache-2.0
"""Which sound track of a file is taken: the one that a player would take, unless it is silent and another is not.

In order: the track that the file marks as its default, then tracks as they lie in the file, by which containers order
their languages; then those for a few (a commentary, a description of the picture, music without voices).
"""

from __future__ import annotations

import os
from typing import Dict, Iterable, List, Optional

import numpy as np

from mindface_eri.errors import MediaError
from mindface_eri.preprocess.downmix import Mix
from mindface_eri.preprocess.sound_track import SoundTrack

_DEFAULT = 0x1  # FFmpeg's AV_DISPOSITION_DEFAULT
_FOR_FEW = 0x8 | 0x20 | 0x100 | 0x200 | 0x20000  # comment, karaoke, visual impaired, clean effects, descriptions


def sound_tracks(container) -> list:
    """The sound streams of an open file that FFmpeg can decode, in the order in which a player prefers them."""
    def rank(stream):
        # `value`, as PyAV up to 15 has flags here that are no integers.
        flags = getattr(getattr(stream, "disposition", None), "value", 0)
        return bool(flags & _FOR_FEW), not flags & _DEFAULT, stream.index

    return sorted((s for s in container.streams.audio if getattr(s.codec_context, "sample_rate", 0)), key=rank)


class Heard:
    """One track while it is read: measured as a whole, and kept as long as it is short."""

    def __init__(self, stream, sample_rate: int, keep: int) -> None:
        self.index, self.language = stream.index, stream.language
        self.track, self.samples, self.peak = SoundTrack(sample_rate), 0, 0.0
        self.kept: Optional[List[np.ndarray]] = []
        self._keep = keep

    def collect(self) -> None:
        """Takes over what the track has made final."""
        for piece in self.track.take():
            self.samples += len(piece)
            self.peak = max(self.peak, float(piece.max()), -float(piece.min()))
            if self.kept is not None and self.samples <= self._keep:
                self.kept.append(piece)
            else:
                self.kept = None

    def drain(self) -> None:
        """Ends the track; its peak is then that of the channels where their mean is not what will be heard."""
        self.track.drain()
        self.collect()
        if self.mix.weights:
            self.kept, self.peak = None, self.track.levels.peak

    @property
    def mix(self) -> Mix:
        """How to take this track."""
        return self.track.levels.mix(self.index)


class Listener:
    """Hears the sound tracks of a file in one pass, and chooses. Those that cannot be taken any more are let go."""

    def __init__(self, sample_rate: int, silence: float, keep: float) -> None:
        """
        Args:
            silence: a peak below it is no sound.
            keep: seconds up to which a track's waveform stays in memory.
        """
        self._rate, self._silence, self._keep = sample_rate, silence, round(keep * sample_rate)
        self._heard: Dict[int, Heard] = {}  # by the number of the stream, in order of preference
        self._tracks: List[int] = []  # numbers of all sound streams, as the file has them

    def streams(self, container) -> list:
        """Those that must be decoded."""
        found = sound_tracks(container)
        self._heard = {stream.index: Heard(stream, self._rate, self._keep) for stream in found}
        self._tracks = sorted(self._heard)
        return found

    @property
    def deaf(self) -> bool:
        """Whether the file has no sound track that can be decoded."""
        return not self._tracks

    def wants(self, stream) -> bool:
        """Whether this stream's frames may still matter."""
        return stream.index in self._heard

    def take(self, stream, frames: Iterable) -> None:
        """Takes decoded frames of a stream, in order."""
        heard = self._heard.get(stream.index)
        if heard is None:
            return
        for frame in frames:
            heard.track.add(frame)
        heard.collect()
        if heard.track.levels.mean_peak >= self._silence:
            self._let_go_after(stream.index)

    def chosen(self, path: os.PathLike) -> Heard:
        """The track to take, when all was read; `path` is named where no track has a sample (a `MediaError`)."""
        for heard in self._heard.values():
            heard.drain()
        full = [heard for heard in self._heard.values() if heard.samples]
        if not full:
            raise MediaError(f"{path}: the sound track holds no sample that can be decoded" if self._tracks
                             else f"{path}: there is no sound track")
        return next((heard for heard in full if heard.peak >= self._silence), full[0])

    def note(self, heard: Heard) -> str:
        """A word for people about the choice, where there was one."""
        if len(self._tracks) < 2:
            return ""
        number = {index: k + 1 for k, index in enumerate(self._tracks)}
        silent = []  # those that a player would have taken before
        for index in self._heard:
            if index == heard.index:
                break
            silent.append(str(number[index]))
        language = f" ({heard.language})" if heard.language else ""
        word = f"sound track {number[heard.index]} of {len(number)}{language} is used"
        return f"{word}, as {' and '.join(silent)} {'is' if len(silent) == 1 else 'are'} silent" if silent else word

    def _let_go_after(self, index: int) -> None:
        """Keeps the tracks up to this one, which is heard."""
        order = list(self._heard)
        if order[-1] != index:
            self._heard = {k: self._heard[k] for k in order[:order.index(index) + 1]}
