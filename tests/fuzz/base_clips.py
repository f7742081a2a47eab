# SPDX-License-Identifier: Apache-2.0
"""Small sound clips, and odd but whole ones, in many containers and codecs; the material of the media fuzzer."""

from fractions import Fraction

import av
import numpy as np

from mindface_eri.synthetic.corpus import Settings, render_clip

RATE = 16000
# suffix, picture codec, pixel format, sound codec; those that this FFmpeg cannot write are passed over
KINDS = (
    ("mp4", "libx264", "yuv420p", "aac"), ("mov", "libx264", "yuv444p", "aac"),
    ("mkv", "libx264", "yuv420p10le", "flac"), ("mp4", "libx265", "yuv420p", "aac"),
    ("avi", "mpeg4", "yuv420p", "libmp3lame"), ("avi", "mjpeg", "yuvj420p", "pcm_s16le"),
    ("avi", "rawvideo", "bgr24", "pcm_s16le"), ("mkv", "ffv1", "gray", "flac"),
    ("mkv", "ffv1", "bgra", None), ("avi", "huffyuv", "rgb24", None), ("mov", "prores", "yuv422p10le", "pcm_s16le"),
    ("webm", "libvpx", "yuv420p", "libopus"), ("webm", "libvpx-vp9", "yuva420p", "libopus"),
    ("mpg", "mpeg2video", "yuv420p", "mp2"), ("ts", "mpeg2video", "yuv420p", "mp2"), ("flv", "flv", "yuv420p", None),
    ("wmv", "wmv2", "yuv420p", None), ("3gp", "h263", "yuv420p", "aac"),
    ("wav", None, None, "pcm_s16le"), ("wav", None, None, "pcm_f32le"), ("flac", None, None, "flac"),
    ("mp3", None, None, "libmp3lame"), ("ogg", None, None, "libopus"), ("m4a", None, None, "aac"),
    ("wav", None, None, "adpcm_ima_wav"), ("mp4", "libx264", "yuv420p", None))


def performance(frames=8, size=(176, 144)):
    """Frames (H, W, 3) uint8 of a drawn person at 10 a second, and the voice, (samples,) float32."""
    settings = Settings(3, 7, (frames / 10, frames / 10), (10, 10), size, ("Joy",))
    pictures, voice, _ = render_clip(settings, 0)
    return list(pictures), voice


def write(path, frames, voice, codec="libx264", pixels="yuv420p", sound="aac", rate=10, sample_rate=RATE, channels=1,
          stamps=None):
    """Muxes frames and voice; `stamps` are the frames' time stamps in frames."""
    with av.open(str(path), "w") as container:
        video = audio = None
        if codec and frames:
            video = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
            if codec == "h263":
                frames = [frame[:144, :176] for frame in frames]
            video.width, video.height, video.pix_fmt = frames[0].shape[1], frames[0].shape[0], pixels
            video.codec_context.thread_count = 1
            if codec == "libx265":
                video.options = {"x265-params": "log-level=none"}
        if sound and voice is not None:
            audio = container.add_stream(sound, rate=sample_rate)
            audio.layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
        for number, picture in enumerate(frames if video else ()):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format=pixels)
            frame.pts = number if stamps is None else stamps[number]
            frame.time_base = 1 / Fraction(rate).limit_denominator(1001)
            container.mux(video.encode(frame))
        if audio:
            frame = av.AudioFrame.from_ndarray(np.tile(np.float32(voice), (channels, 1)), format="fltp",
                                               layout=audio.layout.name)
            frame.sample_rate, frame.pts = sample_rate, 0
            frame.time_base = Fraction(1, sample_rate)
            fitted = av.AudioResampler(format=audio.format, layout=audio.layout, rate=sample_rate,
                                       frame_size=audio.codec_context.frame_size or None).resample(frame)
            for piece in fitted:
                container.mux(audio.encode(piece))
        for stream in filter(None, (video, audio)):
            container.mux(stream.encode())


def write_base(folder):
    """One whole clip of each kind; returns their paths."""
    frames, voice = performance()
    paths = []
    for number, (suffix, codec, pixels, sound) in enumerate(KINDS):
        path = folder / f"base{number:02d}.{suffix}"
        try:
            write(path, frames, voice, codec, pixels, sound)
        except (av.error.FFmpegError, ValueError):
            path.unlink(missing_ok=True)
        else:
            paths.append(path)
    return paths


def wav_bytes(samples, rate, channels=1, form=3, bits=32, declared=None):
    """A WAV file by hand, so that its header can lie."""
    data = np.ascontiguousarray(samples).tobytes()
    declared = len(data) if declared is None else declared
    block = max(1, channels * bits // 8)
    head = (b"WAVEfmt " + (16).to_bytes(4, "little") + form.to_bytes(2, "little") + channels.to_bytes(2, "little")
            + (rate & 0xFFFFFFFF).to_bytes(4, "little") + (rate * block & 0xFFFFFFFF).to_bytes(4, "little")
            + (block & 0xFFFF).to_bytes(2, "little") + bits.to_bytes(2, "little")
            + b"data" + (declared & 0xFFFFFFFF).to_bytes(4, "little"))
    return b"RIFF" + ((len(head) + declared) & 0xFFFFFFFF).to_bytes(4, "little") + head + data
