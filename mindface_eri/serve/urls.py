# SPDX-License-Identifier: Apache-2.0
"""Fetches clips from hosts that the server was told of, and from nowhere else.

A name is looked up once, and what is connected to is the address that was looked at: a name that points elsewhere a
moment later leads nowhere. Redirects are not followed, and proxies of the environment not used.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
from typing import BinaryIO, List, Optional, Sequence, Set, Tuple, Union
from urllib.parse import SplitResult, urlsplit

from mindface_eri.errors import ConfigError, ERIError, readable

_PORTS = {"http": 80, "https": 443}
_SILENCE = 10.0  # seconds without a byte
_PIECE = 1 << 16  # bytes
# Addresses of version 6 that stand for any of version 4, private ones among them.
_DISGUISES = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
_SHOWN = 200  # letters of a URL in a message

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
_Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Refused(ERIError):
    """Why a URL is not fetched.

    Attributes:
        code: a key of `problems.STATUSES`.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Allowed:
    """What `--allow-url` lists.

    Args:
        entries: hosts, with a port where it is not the usual one, and addresses or networks, which a host's address has
            to be in where it is not a public one.

    Raises:
        ConfigError: an entry is none of these.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        self._hosts: Set[Tuple[str, Optional[int]]] = set()
        self._networks: List[Tuple[_Network, Optional[int]]] = []  # with the only port, of an address listed with one
        for entry in entries:
            with contextlib.suppress(ValueError):
                self._networks.append((ipaddress.ip_network(entry), None))
                continue
            host, port = "", None
            with contextlib.suppress(ValueError):  # no port, or no address in brackets
                host, port = _place(f"//{entry}")
            if not re.fullmatch(r"[a-z0-9.:-]+", host) or urlsplit(f"//{entry}").netloc != entry or "@" in entry:
                raise ConfigError(f"--allow-url {entry}: must be a host such as media.example.org or "
                                  "media.example.org:8443, or an address or network such as 10.0.0.0/24")
            self._hosts.add((host, port))
            with contextlib.suppress(ValueError):
                self._networks.append((ipaddress.ip_network(host), port))

    def parts(self, url: str) -> Tuple[SplitResult, str, int]:
        """A URL, its host and port; a `Refused` where it is not to be fetched."""
        try:
            parts = urlsplit(url)
            host, port = _place(url)
        except ValueError:
            raise Refused("bad-request", f"{_short(url)} is no URL") from None
        usual = _PORTS.get(parts.scheme)
        if usual is None or not host or "@" in parts.netloc or re.search(r"[\x00-\x20\x7f-\U0010ffff]", url):
            raise Refused("bad-request", f"{_short(url)}: must be a URL of http or https, without a name and password "
                          "in it")
        if not self._lists(host, port or usual, usual):
            raise Refused("url-refused", f"{_short(host)} is no host that clips are fetched from here (--allow-url); "
                          "send the file itself")
        return parts, host, port or usual

    def _lists(self, host: str, port: int, usual: int) -> bool:
        if (host, port) in self._hosts or (port == usual and (host, None) in self._hosts):
            return True
        with contextlib.suppress(ValueError):
            return port == usual and self._within(ipaddress.ip_address(host), port)
        return False

    def _within(self, address: _Address, port: int) -> bool:
        return any(address in network and only in (None, port) for network, only in self._networks)

    def address(self, host: str, port: int) -> tuple:
        """Family and address to connect to; a `Refused` where the host's is neither public nor listed."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Refused("url-failed", f"{_short(host)} is not found ({error})") from None
        for family, _, _, _, place in found:
            address = ipaddress.ip_address(place[0].partition("%")[0])
            address = getattr(address, "ipv4_mapped", None) or address
            if self._within(address, port) or _public(address):
                return family, place
        raise Refused("url-refused", f"{_short(host)} is a machine of this network ({found[0][4][0]}); its address has "
                      "to be listed (--allow-url), too")


def fetch(url: str, allowed: Allowed, target: BinaryIO, most: int, limit: float) -> None:
    """Writes what is at a URL into a file, at most `most` bytes within `limit` seconds.

    Raises:
        Refused: it may not be fetched, cannot be, is too large or comes too slowly.
        OSError: it cannot be written.
    """
    parts, host, port = allowed.parts(url)
    late = threading.Event()
    try:
        with _open(allowed, parts.scheme, host, port) as line, _clock(line, late, limit):
            made = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = made(host, port)
            connection.sock = line
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                               headers={"User-Agent": "mindface_eri", "Accept-Encoding": "identity"})
            response = connection.getresponse()
            if response.status != 200:
                moved = "a redirect, which is not followed: send the last URL" if 300 <= response.status < 400 else ""
                raise Refused("url-failed", f"{_short(url)}: the answer is {moved or response.status}")
            _read(response, target, most, _short(url))
            if late.is_set():  # an answer without a length ends with its line: what came is a part of it
                raise OSError
    except _Unwritten as error:
        raise error.cause from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = f"it took longer than {limit:g} s" if late.is_set() else readable(str(error) or type(error).__name__)
        raise Refused("url-failed", f"{_short(url)} cannot be fetched: {why}") from None


def _read(response: http.client.HTTPResponse, target: BinaryIO, most: int, shown: str) -> None:
    """Writes the answer's body to `target` as it comes, up to `most` bytes."""
    taken, length = 0, response.length or 0
    piece = b" "
    while piece:
        piece = response.read1(_PIECE)
        taken += len(piece)
        if max(taken, length) > most:
            raise Refused("too-large", f"{shown} is larger than {most / 1e6:g} MB; take a shorter or smaller clip")
        _write(target, piece)
    if taken < length:
        raise http.client.IncompleteRead(b"", length - taken)


class _Unwritten(Exception):
    """The file's error, which is not the line's."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _write(target: BinaryIO, piece: bytes) -> None:
    try:
        target.write(piece)
    except OSError as error:
        raise _Unwritten(error) from None


@contextlib.contextmanager
def _open(allowed: Allowed, scheme: str, host: str, port: int):
    """A line to a host that was looked at."""
    family, place = allowed.address(host, port)
    line = socket.socket(family, socket.SOCK_STREAM)
    try:
        line.settimeout(_SILENCE)
        line.connect(place)
        if scheme == "https":
            line = ssl.create_default_context().wrap_socket(line, server_hostname=host)
        yield line
    finally:
        line.close()


@contextlib.contextmanager
def _clock(line: socket.socket, late: threading.Event, limit: float):
    """Cuts the line after so many seconds: its other end may send a byte now and then."""
    def cut() -> None:
        late.set()
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _public(address: _Address) -> bool:
    disguised = any(address in network for network in _DISGUISES)
    return address.is_global and not address.is_multicast and not disguised


def _place(url: str) -> Tuple[str, Optional[int]]:
    parts = urlsplit(url)
    return (parts.hostname or "").rstrip("."), parts.port


def _short(text: str) -> str:
    return readable(text)[:_SHOWN]
