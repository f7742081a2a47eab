# SPDX-License-Identifier: Apache-2.0
"""Opening recordings: the one door to FFmpeg's demuxers, which see one regular file and nothing beside it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager

from mindface_eri.errors import MediaError, MissingDependencyError

# What people record, edit and store picture and sound in. Pictures, text, devices and everything that names other
# files (HLS, DASH, concat, SDP, VobSub, ...) are not among them: FFmpeg's own list of demuxers is four times as long.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "flv", "live_flv", "kux", "asf", "asf_o", "rm",
    "nut", "ogg", "mxf", "gxf", "lxf", "dv", "wtv", "ivf", "nsv", "nuv", "mpjpeg", "dhav", "swf", "avs", "gif", "apng",
    "h261", "h263", "h264", "hevc", "vvc", "av1", "obu", "m4v", "mpegvideo", "mjpeg", "mjpeg_2000", "vc1", "dirac",
    "cavsvideo", "yuv4mpegpipe", "smjpeg", "wav", "w64", "aiff", "caf", "au", "voc", "mp3", "aac", "loas", "flac",
    "ac3", "eac3", "dts", "dtshd", "truehd", "mlp", "amr", "amrnb", "amrwb", "ape", "tta", "wv", "mpc", "mpc8", "tak",
    "shn", "spdif", "ircam", "sox", "sbc", "aptx", "aptx_hd", "gsm", "qcp", "oma", "dsf", "iff", "rso", "xwma")
# Stamps that begin anew come as they are: FFmpeg would add a day to those of a second recording joined to a first.
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(_CONTAINERS), "correct_ts_overflow": "0"}
_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe (FIFO)"), (stat.S_ISSOCK, "a socket"),
          (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))


@contextmanager
def open_media(path: os.PathLike):
    """An open PyAV input container.

    Raises:
        MediaError: the file is missing, empty, no regular file, a picture or text, or no container that is known; also
            when reading fails inside the `with` block.
        MissingDependencyError: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise MissingDependencyError("reading clips needs PyAV: pip install av") from None
    _check_kind(path)
    try:
        # FFmpeg takes what stands before a colon for a protocol, unless the path begins at the root. Given as `options`
        # they would be each stream's too: before PyAV 18 the process dies where streams turn up later, as in FLV.
        with av.open(os.path.abspath(os.fspath(path)), container_options=_OPTIONS, metadata_errors="replace"
                     ) as container:
            yield container
    except MediaError:
        raise
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        if getattr(error, "errno", None) == errno.EINVAL:  # FFmpeg's answer to a format that is not on the list
            raise MediaError(f"{path}: not a container of video or sound (a picture, text, a play list, or damaged); "
                             "give the recording itself") from None
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{path}: cannot be read as video or sound ({reason})") from None


def _check_kind(path: os.PathLike) -> None:
    """Refuses what is no regular file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) or not getattr(error, "strerror", None):
            raise MediaError(f"{path}: no such file") from None
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from None
    kind = next((name for test, name in _KINDS if test(found.st_mode)), None)
    if kind:
        raise MediaError(f"{path}: {kind}, not a file; record into a file first")
    if found.st_size == 0:
        raise MediaError(f"{path}: the file is empty (0 bytes); fetch or record it again")
