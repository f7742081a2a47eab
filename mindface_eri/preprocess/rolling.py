# SPDX-License-Identifier: Apache-2.0
"""The last seconds of pictures and sound that go on, such as a camera's: each picture is decoded, and the face in it
followed, once, however often a clip is asked for."""

from __future__ import annotations

from collections import deque
from typing import Deque, Iterator, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import PreprocessConfig
from mindface_eri.errors import MediaError, MissingDependencyError
from mindface_eri.preprocess.audio import Audio, audio_of
from mindface_eri.preprocess.clip import Clip, assemble
from mindface_eri.preprocess.faces import Follower
from mindface_eri.preprocess.picture import Picture
from mindface_eri.preprocess.video import MediaInfo
from mindface_eri.preprocess.visual import sample, visual_of

_MOST = 512  # pictures that are kept, 42 a second of a window: a camera that gives more fills no memory


class Sound(NamedTuple):
    """What a microphone heard; seconds count from wherever the sender's clock began."""

    rate: int = 0  # samples a second; 0 without a microphone
    start: float = 0.0  # second of the first sample
    samples: bytes = b""  # 16 bits each, little-endian, mono


class RollingClip:
    """Takes pictures as they come, and gives the clip of the last seconds.

    Its crops and MFCC are those of a file with the same pictures and sound, but where the tracker looked at other
    pictures with its detector: it does at the last ones of each `add`.

    Args:
        config: how clips are taken apart; its detector "auto" is dlib here, as MTCNN, which takes seconds where there
            is no face, is not asked.
        size: width and height of the pictures.
        seconds: how long a clip is at most.
    """

    def __init__(self, config: PreprocessConfig, size: Tuple[int, int], seconds: float) -> None:
        detector = "dlib" if config.face.detector == "auto" else config.face.detector
        self._config, self._size, self._seconds = config, size, seconds
        self._follower, self._decoder = Follower(config.face, detector), _decoder()
        self._pictures: Deque[Tuple[int, float, Picture]] = deque()  # number, second
        self._count = 0  # of all pictures that came

    def add(self, pictures: Sequence[Tuple[float, bytes]]) -> None:
        """Takes the next pictures, (second, JPEG) in order of time; what cannot be decoded is left out.

        Raises:
            MediaError: a picture is not of the size that was said.
        """
        self._follower.run(self._decoded(pictures))
        newest = pictures[-1][0] if pictures else 0.0
        while self._pictures and (newest - self._pictures[0][1] > self._seconds or len(self._pictures) > _MOST):
            self._pictures.popleft()
        self._follower.forget(self._pictures[0][0] if self._pictures else self._count)

    def _decoded(self, pictures: Sequence[Tuple[float, bytes]]) -> Iterator[Tuple[int, Picture]]:
        """Each picture that the decoder makes of them, with its number; they are noted down as they come."""
        import av

        for seconds, data in pictures:
            try:
                frames = self._decoder.decode(av.Packet(data)) if data else []  # nothing would end the decoder
            except (av.FFmpegError, ValueError):
                continue
            for frame in frames:
                if (frame.width, frame.height) != self._size:
                    raise MediaError(f"a picture of {frame.width} x {frame.height} pixels; the camera's were said to "
                                     f"have {self._size[0]} x {self._size[1]}")
                picture = Picture(frame)
                self._pictures.append((self._count, seconds, picture))
                self._count += 1
                yield self._count - 1, picture

    def clip(self, sound: Optional[Sound] = None) -> Clip:
        """Of the pictures that are kept, and of the sound that belongs to them.

        Raises:
            MediaError: there is no picture.
        """
        if not self._pictures:
            raise MediaError("no picture that can be decoded has come")
        first, end = self._pictures[0][0], self._count
        times = np.array([seconds for _, seconds, _ in self._pictures])
        fps = 1.0 / float(np.median(np.diff(times))) if len(times) > 1 else 25.0
        audio, word = self._audio(sound, times[0])
        picks = sample(times, self._config.frames)
        visual = visual_of(self._follower.track(first, end, self._size), times, picks, self._config, self._size, fps,
                           ((number - first, picture) for number, _, picture in self._pictures))
        info = MediaInfo(float(times[-1] - times[0]), True, audio is not None, *self._size, fps)
        return assemble(info, visual, audio, self._config, "; ".join(filter(None, (visual.note, word))))

    def _audio(self, sound: Optional[Sound], begin: float) -> Tuple[Optional[Audio], str]:
        """The sound from the first picture on, and a word where there is none."""
        if sound is None or not sound.rate:
            return None, "no sound track"
        samples = np.frombuffer(sound.samples, "<i2")
        skipped = max(0, -round((sound.start - begin) * sound.rate))
        if skipped >= len(samples):
            return None, "no sound came"
        config = self._config.audio
        audio = audio_of(samples[skipped:], sound.rate, sound.start + skipped / sound.rate, config.sample_rate)
        if audio.peak < config.silence:
            return None, f"the sound is silent (peak {audio.peak:.1e} of full scale)"
        return audio, ""


def _decoder():
    """Of JPEG, one picture after another."""
    try:
        import av
    except ImportError:
        raise MissingDependencyError("reading pictures needs PyAV: pip install av") from None
    return av.CodecContext.create("mjpeg", "r")
