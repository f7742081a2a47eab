# SPDX-License-Identifier: Apache-2.0
"""Damaged, odd and hostile media files, each made from a number: the same number gives the same file."""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import base_clips
import numpy as np

NAMES = ("plain", "two words", "ünï-ço∂é", "<img src=x onerror=alert(1)>", "=SUM(A1)", "-rf", "+1", "@home",
         "a,b;c\"d'e", "new\nline", "tab\there", "dots..", "名前", "x" * 200, "é" * 100, "%s%n", "{0}", "$(id)",
         "[7]", "\udce9t\udce9", "nul ", "CON", "a\\b", "a:b")


@dataclass(frozen=True)
class Case:
    """A file to try; `whole` where nothing was done to it and it must come through."""

    path: Path
    number: int
    kind: str
    whole: bool = False


class MediaCases:
    """Writes case after case, out of small clips that it makes first."""

    def __init__(self, folder, seed):
        self.seed = seed
        folder.mkdir(parents=True)
        self.bases = base_clips.write_base(folder)
        self.frames, self.voice = base_clips.performance(4)

    def write(self, number, folder):
        """The case of this number, as a file in `folder`."""
        rng = random.Random(f"{self.seed}/{number}")
        if number % 20 == 0:
            base = self.bases[number // 20 % len(self.bases)]
            return Case(Path(shutil.copy(base, folder / f"whole_{number:05d}{base.suffix}")), number, "whole", True)
        make = rng.choices((self._damaged, self._odd, self._spliced, self._no_media), (60, 25, 10, 5))[0]
        suffix, data, kind = make(rng)
        if rng.random() < 0.08:
            suffix, kind = rng.choice((".mp4", ".wav", ".MKV", ".flac", ".ogv", ".3gp")), f"{kind}, other ending"
        name = rng.choice(NAMES) if rng.random() < 0.2 else kind.split(",")[0].replace(" ", "-")
        path = folder / f"{name}_{number:05d}{suffix}"
        path.write_bytes(data)
        return Case(path, number, kind)

    def _damaged(self, rng):
        base = rng.choice(self.bases)
        data, kinds = bytearray(base.read_bytes()), []
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            damage = rng.choice(DAMAGES)
            data = damage(data, rng)
            kinds.append(damage.__name__)
        return base.suffix, bytes(data), f"{'+'.join(dict.fromkeys(kinds))}, {base.name}"

    def _spliced(self, rng):
        one, other = rng.choice(self.bases), rng.choice(self.bases)
        head, tail = one.read_bytes(), other.read_bytes()
        data = head[:rng.randrange(len(head))] + tail[rng.randrange(len(tail)):]
        return one.suffix, data, f"spliced, {one.name} {other.name}"

    def _no_media(self, rng):
        kind, data = rng.choice((
            ("empty", b""), ("text", b"not a video\n" * 9), ("html", b"<html><video src=x></html>"),
            ("zeros", bytes(20000)), ("noise", rng.randbytes(20000)), ("one byte", b"\0"),
            ("playlist", b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n"),
            ("concat", b"ffconcat version 1.0\nfile /etc/passwd\n"),
            ("sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"), ("zip", b"PK\3\4" + bytes(200)),
            ("gif", b"GIF89a\1\0\1\0\0\0\0;"), ("subtitles", b"1\n00:00:00,000 --> 00:00:02,000\nhello\n"),
            ("elf", b"\x7fELF" + rng.randbytes(500))))
        return rng.choice((".mp4", ".avi", ".wav", ".mkv", ".ts")), data, kind

    def _odd(self, rng):
        make = rng.choice((self._odd_wav, self._odd_wav, self._odd_picture, self._odd_lengths))
        return make(rng)

    def _odd_wav(self, rng):
        rate = rng.choice((1, 7, 100, 8000, 16000, 44100, 192000, 768000, 2**31 - 1, 0))
        samples = np.float32(self.voice[:rng.choice((0, 1, 10, 8000))])
        kind = rng.choice(("nan", "inf", "huge", "silent", "plain", "long header", "short header", "channels", "bits"))
        options = {}
        if len(samples) and kind in ("nan", "inf", "huge"):
            samples = samples.copy()
            samples[rng.randrange(len(samples))::rng.choice((1, 3, 999))] = {"nan": np.nan, "inf": -np.inf,
                                                                            "huge": 3e38}[kind]
        elif kind == "silent":
            samples = samples * 0
        elif kind in ("long header", "short header"):
            options["declared"] = 0xFFFFFFF0 if kind == "long header" else 4
        elif kind == "channels":
            options["channels"] = rng.choice((0, 2, 7, 64, 65535))
        elif kind == "bits":
            options.update(bits=rng.choice((0, 1, 24, 33, 65535)), form=rng.choice((1, 3, 7, 85, 65534)))
        return ".wav", base_clips.wav_bytes(samples, rate, **options), f"wav {kind} {rate} Hz"

    def _odd_picture(self, rng):
        height, width = rng.choice(((2, 2), (16, 16), (18, 300), (300, 18), (144, 176), (144, 176)))
        frames = [np.resize(frame, (height, width, 3)) for frame in self.frames][:rng.choice((1, 2, 4))]
        rate = rng.choice((0.2, 1, 10, 240, 1000))
        stamps = rng.choice((None, [0, 50, 51, 900], [0, 1, 10**5, 10**5 + 1], [7, 8, 9, 10]))
        return self._muxed(frames, self.voice[:4000] if rng.random() < 0.5 else None, rng, rate=rate, stamps=stamps,
                           kind=f"{len(frames)} frames of {width}x{height} at {rate}")

    def _odd_lengths(self, rng):
        frames = rng.choice(([], self.frames[:1], self.frames))
        seconds = rng.choice((0.01, 0.3, 3.0))
        voice = np.tile(self.voice, 1 + int(seconds * base_clips.RATE) // len(self.voice))
        return self._muxed(frames, voice[:int(seconds * base_clips.RATE)], rng, channels=rng.choice((1, 2, 6)),
                           kind=f"{len(frames)} frames and {seconds} s of sound")

    def _muxed(self, frames, voice, rng, kind, **options):
        import io
        import tempfile

        suffix, sound = rng.choice((("mp4", "aac"), ("mkv", "flac"), ("avi", "pcm_s16le"), ("mov", "pcm_s16le")))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"odd.{suffix}")
            try:
                base_clips.write(path, frames, voice, rng.choice(("mpeg4", "libx264")), "yuv420p", sound, **options)
                data = path.read_bytes()
            except Exception as error:  # FFmpeg will not write everything that a damaged camera may
                data = path.read_bytes() if path.exists() else io.BytesIO(str(error).encode()).getvalue()
        return f".{suffix}", data, kind


def flip_bits(data, rng):
    for _ in range(rng.choice((1, 1, 20, 500)) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def damage_head(data, rng):
    for _ in range(rng.choice((1, 4, 20)) if data else 0):
        data[rng.randrange(min(1500, len(data)))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return data


def damage_tail(data, rng):
    for _ in range(rng.choice((1, 4, 20)) if data else 0):
        data[-1 - rng.randrange(min(2500, len(data)))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return data


def truncate(data, rng):
    return data[:rng.randrange(len(data) + 1)]


def cut_piece(data, rng):
    at = rng.randrange(len(data) + 1)
    del data[at:at + rng.randrange(1, 5000)]
    return data


def blank_piece(data, rng):
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.randrange(1, 5000))
    data[at:end] = bytes(end - at)
    return data


def repeat_piece(data, rng):
    at = rng.randrange(len(data) + 1)
    piece = data[at:at + rng.randrange(1, 3000)]
    return data[:at] + piece * rng.choice((2, 3, 20)) + data[at:]


def add_garbage(data, rng):
    return data + rng.randbytes(rng.randrange(1, 3000))


def swap_boxes(data, rng):
    """The top-level boxes of an MP4 in another order; halves of anything else."""
    boxes, at = [], 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        if size < 8 or at + size > len(data):
            break
        boxes.append(data[at:at + size])
        at += size
    if len(boxes) < 2:
        return data[len(data) // 2:] + data[:len(data) // 2]
    rng.shuffle(boxes)
    return bytearray(b"").join(boxes) + data[at:]


def lie_about_sizes(data, rng):
    """A number in the file, as sizes and counts are written, becomes huge, nothing or negative."""
    names = [name for name in (b"stsz", b"stco", b"stts", b"stsd", b"tkhd", b"mvhd", b"avcC", b"elst", b"moov", b"mdat",
                               b"avih", b"strh", b"strf", b"idx1", b"fmt ", b"data", b"trak", b"ctts") if name in data]
    for _ in range(rng.choice((1, 2))):
        at = rng.randrange(len(data) + 1)
        if names:
            at = data.find(rng.choice(names)) + rng.choice((-4, 4, 8, 12, 16, 20, 24))
        value = rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x00FFFFFF, 65535))
        if 0 <= at <= len(data) - 4:
            data[at:at + 4] = value.to_bytes(4, rng.choice(("big", "little")))
    return data


DAMAGES = (flip_bits, damage_head, damage_tail, truncate, cut_piece, blank_piece, repeat_piece, add_garbage, swap_boxes,
           lie_about_sizes, lie_about_sizes)
