# SPDX-License-Identifier: Apache-2.0
"""Brings a clip, out of a form or from a URL, into its entry's folder, within the limits. Names that people give are
never paths."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import re
import shutil
from pathlib import Path
from typing import Any, Dict, Optional, Set, Tuple
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from mindface_eri.datasets.media import one_name
from mindface_eri.errors import ConfigError, readable
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.windows import Windows
from mindface_eri.preprocess.identity import CHOICES
from mindface_eri.serve.entries import Upload
from mindface_eri.serve.problems import Problem
from mindface_eri.serve.settings import Settings
from mindface_eri.serve.urls import Refused, fetch

_FORM, _JSON = "multipart/form-data", "application/json"
_LONGEST_JSON = 10_000  # bytes
_MOST_NAME = 200  # letters
_FIELDS = ("window", "hop", "whole", "person", "page")
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_PATIENCE = 10.0  # seconds for the rest of an upload that is refused


async def receive(request: Request, body: Body, settings: Settings, folder: Path) -> Upload:
    """A clip of a form: the file in the field `file`, perhaps its sound in `sound`, and what is asked for; or JSON with
    the clip's `url`, where the server fetches clips.

    Raises:
        Problem: it is neither, too large, too slow, or there is no place for it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (_FORM, _JSON):
        raise Problem("no-form", f"send a form ({_FORM}) with the clip in its field `file`")
    if kind == _JSON and not settings.allow_url:
        raise Problem("no-form", f"this server fetches no clips (--allow-url lists hosts that it may ask); send a form "
                      f"({_FORM}) with the clip in its field `file`")
    try:
        return await (_of_form if kind == _FORM else _of_url)(Request(request.scope, body), settings, folder)
    except asyncio.TimeoutError:
        raise Problem("slow-upload", f"the upload took longer than "
                      f"{settings.upload_limit:g} s; send a smaller file") from None
    except (HTTPException, FormParserError) as error:
        raise Problem("bad-request", getattr(error, "detail", error)) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise Problem("disk-full", "the server's disk is full; send it again later") from None


async def _of_form(request: Request, settings: Settings, folder: Path) -> Upload:
    form = await asyncio.wait_for(request.form(max_files=2, max_fields=8, max_part_size=1000), settings.upload_limit)
    try:
        return await _upload(form, folder)
    finally:
        await form.close()


async def _of_url(request: Request, settings: Settings, folder: Path) -> Upload:
    """What is asked for first, so that nothing is fetched for a request that is wrong."""
    try:
        given = json.loads(await asyncio.wait_for(_short(request), settings.upload_limit))
    except (ValueError, RecursionError) as error:
        raise Problem("bad-request", f"the body is no JSON ({error})") from None
    if not isinstance(given, dict) or not isinstance(given.get("url"), str):
        raise Problem("bad-request", f'send a JSON object with the clip\'s `url`, and perhaps {", ".join(_FIELDS)}')
    url = given.pop("url")
    wrong = sorted(name for name, value in given.items() if not isinstance(value, (str, int, float)))
    if wrong:
        raise Problem("bad-request", f"the field `{readable(wrong[0])[:100]}` must be text, a number, true or false")
    asked = _asked({name: str(value) for name, value in given.items()}, set(), "url")
    shown = shown_name(unquote(url.partition("?")[0].partition("#")[0]))
    path = _target(folder / "file", shown)

    def get() -> None:
        with open(path, "wb") as target:
            fetch(url, settings.allowed, target, settings.max_bytes, settings.upload_limit)

    try:
        await run_in_threadpool(get)
    except Refused as error:
        raise Problem(error.code, error) from None
    return Upload(Job(one_name(Path(shown).stem), path), shown, *asked)


async def _short(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_JSON:
            raise Problem("too-large", f"the JSON is longer than {_LONGEST_JSON} bytes; a clip itself goes into a form")
    return body


def check_length(request: Request, settings: Settings) -> None:
    """Refuses what says itself that it is too large, before it comes."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_bytes:
        raise _too_large(settings.max_bytes)


def _too_large(most: int) -> Problem:
    return Problem("too-large", f"the upload is larger than {most / 1e6:g} MB; send a shorter or smaller clip",
                   {"Connection": "close"})


class Body:
    """A request's body: its ASGI `receive`, which counts."""

    def __init__(self, request: Request, most: int) -> None:
        self._receive, self._most, self._taken, self._ended = request.receive, most, 0, False

    async def __call__(self) -> Any:
        """The next piece; a `Problem` once there are too many of them."""
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._taken > self._most:
            raise _too_large(self._most)
        return message

    async def drain(self) -> None:
        """Takes the rest of an upload that is refused: a client that is still sending would not read why."""
        async def rest() -> None:
            while not self._ended:
                await self()

        with contextlib.suppress(asyncio.TimeoutError, Problem):
            await asyncio.wait_for(rest(), _PATIENCE)


async def _upload(form: FormData, folder: Path) -> Upload:
    """What a form asks for; its files are written into the folder."""
    names = [name for name, _ in form.multi_items()]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise Problem("bad-request", f"the field `{readable(twice[0])[:100]}` comes twice; send one clip a request")
    files = {name: value for name, value in form.multi_items() if isinstance(value, UploadFile)}
    fields: Dict[str, str] = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    odd = {*files} - {"file", "sound"}
    asked = _asked(fields, odd, "file")
    if "file" not in files:
        raise Problem("bad-request", f"the clip is missing: {_how('file')}")
    shown = shown_name(files["file"].filename)
    paths = [await _save(files.get(name), folder / name) for name in ("file", "sound")]
    return Upload(Job(one_name(Path(shown).stem), *paths), shown, *asked)


def _asked(fields: Dict[str, str], odd: Set[str], clip: str) -> Tuple[Windows, Optional[str], bool]:
    """Windows, whom to follow, and whether a page is wanted.

    Args:
        odd: other fields that nobody knows.
        clip: where the clip belongs.
    """
    unknown = sorted(odd | ({*fields} - {*_FIELDS}))
    if unknown:
        raise Problem("bad-request", f"there is no field `{readable(unknown[0])[:100]}`: {_how(clip)}")
    try:
        windows = Windows(_number(fields, "window"), _number(fields, "hop"), _flag(fields, "whole"))
    except ConfigError as error:
        raise Problem("bad-request", error) from None
    person = fields.get("person")
    if person is not None and person not in CHOICES:
        raise Problem("bad-request", f"person {readable(person)!r}: must be one of {', '.join(CHOICES)}")
    return windows, person, _flag(fields, "page")


def _how(clip: str) -> str:
    said = "send it as the file `file`, a sound file beside it as `sound`" if clip == "file" else "send its `url`"
    return f"{said}, and perhaps {', '.join(_FIELDS)}"


async def _save(file: Optional[UploadFile], target: Path) -> Optional[Path]:
    """Writes it under a name of ours, with its ending, which some formats are told by."""
    if file is None:
        return None
    path = _target(target, shown_name(file.filename))

    def copy() -> None:
        with open(path, "wb") as output:
            shutil.copyfileobj(file.file, output, 1 << 20)

    await run_in_threadpool(copy)
    return path


def _target(target: Path, shown: str) -> Path:
    ending = re.sub(r"[^A-Za-z0-9]", "", Path(shown).suffix)[:8]
    return target.with_suffix(f".{ending}" if ending else "")


def shown_name(given: Optional[str]) -> str:
    """The last part of what a client calls its file, fit to be shown."""
    name = readable(re.split(r"[\\/]", given or "")[-1]).strip()[:_MOST_NAME]
    return name if name.strip(".") else "clip"


def _number(fields: Dict[str, str], name: str) -> float:
    try:
        return float(fields.get(name) or 0)
    except ValueError:
        raise Problem("bad-request", f"{name} {readable(fields[name])!r}: must be seconds") from None


def _flag(fields: Dict[str, str], name: str) -> bool:
    value = fields.get(name, "").lower()
    if value not in _YES + _NO:
        raise Problem("bad-request", f"{name} {readable(value)!r}: must be 1 or 0")
    return value in _YES
