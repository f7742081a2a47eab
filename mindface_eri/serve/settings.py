# SPDX-License-Identifier: Apache-2.0
"""What a server is told when it starts: where it listens, who may ask, and how much each may ask for."""

from __future__ import annotations

import ipaddress
import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Optional, Sequence, Union

from mindface_eri.errors import ConfigError
from mindface_eri.serve.urls import Allowed
from mindface_eri.threads import cores

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SHORTEST_TOKEN = 16  # characters


@dataclass(frozen=True)
class Settings:
    """Limits are for each clip unless they say otherwise.

    Attributes:
        host, port: where it listens; any other host than this machine needs a token.
        token: what others have to know; `token_file`, whose first line is taken, keeps it out of lists of processes.
        workers: processes that take clips apart; 0 is as many as there are cores.
        uploads: clips received, waiting or in work, all together; one more is told to come again (429).
        max_megabytes: of an upload (413).
        max_seconds: of a clip (422).
        max_megapixels: of its picture (422).
        clip_limit: seconds to take it apart (504).
        upload_limit: seconds to send it (408).
        memory: gigabytes that a worker process may take (422).
        live: cameras at once; 0 leaves the live part out.
        allow_url: hosts that clips may be fetched from, see `urls.Allowed`; without one only what is sent is taken.
        keep: folder that gets the rows and page of each answer; without one nothing is written but for the time that
            a clip is being answered.

    Raises:
        ConfigError: a value cannot be used, or the host is open to others without a token.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: Optional[str] = None
    token_file: Optional[Union[str, os.PathLike]] = None
    workers: int = 0
    uploads: int = 16
    max_megabytes: float = 200.0
    max_seconds: float = 600.0
    max_megapixels: float = 9.0
    clip_limit: float = 120.0
    upload_limit: float = 120.0
    memory: float = 3.0
    live: int = 1
    allow_url: Sequence[str] = ()
    keep: Optional[Union[str, os.PathLike]] = None

    def __post_init__(self) -> None:
        for name in ("uploads", "max_megabytes", "max_seconds", "max_megapixels", "clip_limit", "upload_limit",
                     "memory"):
            if getattr(self, name) <= 0 or math.isnan(getattr(self, name)):
                raise ConfigError(f"{_option(name)} {getattr(self, name)}: must be more than 0")
        for name in ("workers", "live", "port"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{_option(name)} {getattr(self, name)}: must be at least 0")
        if self.token and self.token_file:
            raise ConfigError("--token and --token-file: give one of them")
        secret, _ = self.secret, self.allowed
        if secret is not None and len(secret) < _SHORTEST_TOKEN:
            raise ConfigError(f"a token of {len(secret)} characters can be guessed: take at least {_SHORTEST_TOKEN}, "
                              "such as those of: python -c 'import secrets; print(secrets.token_urlsafe())'")
        if secret is None and not is_loopback(self.host):
            raise ConfigError(f"--host {self.host} lets other machines in: name what they have to know with "
                              "--token-file FILE, or listen on 127.0.0.1")

    @cached_property
    def secret(self) -> Optional[str]:
        """The token, wherever it was given; None where none is needed. Its file is read once: it may be a pipe."""
        if self.token_file is None:
            return self.token
        try:
            return (Path(self.token_file).read_text(encoding="utf-8").splitlines() or [""])[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--token-file {self.token_file}: cannot be read ({error})") from None

    @cached_property
    def allowed(self) -> Allowed:
        """What `allow_url` lists."""
        return Allowed(self.allow_url)

    @property
    def processes(self) -> int:
        """Processes that take clips apart."""
        return self.workers or cores()

    @property
    def max_bytes(self) -> int:
        """Of an upload."""
        return int(self.max_megabytes * 1e6)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
