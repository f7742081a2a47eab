"""Errors a user can act on. Each message states what is wrong, where, and what to do about it."""


class ERIError(Exception):
    """Base of every error that this package raises on purpose."""


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
