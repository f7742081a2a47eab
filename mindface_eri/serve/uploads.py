# SPDX-License-Identifier: Apache-2.0
"""Reads a form with a clip into its entry's folder, within the limits. Names that people give are never paths."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import shutil
from pathlib import Path
from typing import Any, Dict, Optional

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

_FORM = "multipart/form-data"
_MOST_NAME = 200  # letters
_FIELDS = ("window", "hop", "whole", "person", "page")
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_PATIENCE = 10.0  # seconds for the rest of an upload that is refused


async def receive(request: Request, body: Body, settings: Settings, folder: Path) -> Upload:
    """A clip of a form: the file in the field `file`, perhaps its sound in `sound`, and what is asked for.

    Raises:
        Problem: it is no such form, too large, too slow, or there is no place for it.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Problem("no-form", f"send a form ({_FORM}) with the clip in its field `file`")
    try:
        form = await asyncio.wait_for(Request(request.scope, body).form(max_files=2, max_fields=8, max_part_size=1000),
                                      settings.upload_limit)
        try:
            return await _upload(form, folder)
        finally:
            await form.close()
    except asyncio.TimeoutError:
        raise Problem("slow-upload", f"the upload took longer than "
                      f"{settings.upload_limit:g} s; send a smaller file") from None
    except (HTTPException, FormParserError) as error:
        raise Problem("bad-request", getattr(error, "detail", error)) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Problem("disk-full", "the server's disk is full; send it again later") from None


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
    unknown = sorted({*files} - {"file", "sound"}) + sorted({*fields} - {*_FIELDS})
    if unknown or "file" not in files:
        wrong = f"there is no field `{readable(unknown[0])[:100]}`" if unknown else "the clip is missing"
        raise Problem("bad-request", f"{wrong}: send it as the file `file`, a sound file beside it as `sound`, and "
                      f"perhaps {', '.join(_FIELDS)}")
    try:
        windows = Windows(_number(fields, "window"), _number(fields, "hop"), _flag(fields, "whole"))
    except ConfigError as error:
        raise Problem("bad-request", error) from None
    person = fields.get("person")
    if person is not None and person not in CHOICES:
        raise Problem("bad-request", f"person {readable(person)!r}: must be one of {', '.join(CHOICES)}")
    shown = shown_name(files["file"].filename)
    paths = [await _save(files.get(name), folder / name) for name in ("file", "sound")]
    return Upload(Job(one_name(Path(shown).stem), *paths), shown, windows, person, _flag(fields, "page"))


async def _save(file: Optional[UploadFile], target: Path) -> Optional[Path]:
    """Writes it under a name of ours, with its ending, which some formats are told by."""
    if file is None:
        return None
    ending = re.sub(r"[^A-Za-z0-9]", "", Path(shown_name(file.filename)).suffix)[:8]
    path = target.with_suffix(f".{ending}" if ending else "")

    def copy() -> None:
        with open(path, "wb") as output:
            shutil.copyfileobj(file.file, output, 1 << 20)

    await run_in_threadpool(copy)
    return path


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
