# SPDX-License-Identifier: Apache-2.0
"""Errors a user can act on. Each message states what is wrong, where, and what to do about it."""


_LONGEST = 1500  # letters of a message


def readable(text: object) -> str:
    """A message fit for a terminal: what files and tables of others hold is spelt out where it cannot be printed, and
    its middle is cut where it goes on and on."""
    text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(text))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST - 600]} ... {text[-600:]}"


class ERIError(Exception):
    """Base of every error that this package raises on purpose."""

    def __init__(self, message: object = "") -> None:
        super().__init__(readable(message))


class ConfigError(ERIError):
    """A configuration key or value that cannot be used."""


class DataError(ERIError):
    """A label table, manifest or record file that cannot be used."""


class MediaError(ERIError):
    """A video or sound file that cannot be decoded, or that holds nothing to work on."""


class CheckpointError(ERIError):
    """A checkpoint, run folder or weight file that does not fit."""


class ExportError(ERIError):
    """An export that could not be written, reloaded, or that does not give the checkpoint's numbers."""


class BusyError(ERIError):
    """A folder in which another process is at work."""


class MissingDependencyError(ERIError):
    """An optional package that is not installed; the message names the extra that brings it."""
