# SPDX-License-Identifier: Apache-2.0
"""What programs ask for under /v1, and what keeps a server running asks for; `openapi.yaml` describes it."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Dict, List

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mindface_eri.prediction.answers import format_answers
from mindface_eri.serve.engine import Engine
from mindface_eri.serve.entries import Entry
from mindface_eri.serve.problems import Problem
from mindface_eri.serve.uploads import Body, check_length, receive

PATIENCE = 60.0  # seconds that a program waits for an answer, unless it says otherwise
_MOST_PATIENCE = 600.0


def routes() -> List[Route]:
    """Of the whole interface."""
    one = "/v1/predictions/{id}"
    return [Route("/v1/predictions", post_prediction, methods=["POST"]), Route(one, get_prediction),
            Route(f"{one}/rows.csv", get_rows), Route(f"{one}/rows.json", get_rows),
            Route(f"{one}/page.html", get_page), Route("/v1/model", get_model), Route("/healthz", get_health),
            Route("/readyz", get_ready), Route("/metrics", get_metrics)]


def engine_of(request: Any) -> Engine:
    """The application's."""
    return request.app.state.engine


async def post_prediction(request: Request) -> Response:
    """Takes a clip; its answer, or, where that takes longer than the client waits, where to ask for it."""
    engine = engine_of(request)
    patience = _patience(request.headers.get("prefer", ""))
    check_length(request, engine.settings)
    body = Body(request, engine.settings.max_bytes)
    try:
        entry = engine.admit()
        try:
            upload = await receive(request, body, engine.settings, entry.folder)
        except BaseException:  # also a client that went away
            engine.drop(entry)
            raise
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    except Problem:
        await body.drain()
        raise
    engine.submit(entry, upload)
    if patience and await _gone(request, entry, patience):
        engine.abandon(entry)
        return Response(status_code=400)
    place = {"Location": f"/v1/predictions/{entry.id}"}
    if not entry.finished.is_set():
        return JSONResponse(entry.document(), 202, {**place, "Retry-After": "1"})
    if entry.problem is not None:
        raise entry.problem
    return JSONResponse(entry.document(engine.predictor.note), 200, place)


async def _gone(request: Request, entry: Entry, patience: float) -> bool:
    """Waits for the answer; whether the client left before it was there."""
    async def leaving() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    left, there = asyncio.ensure_future(leaving()), asyncio.ensure_future(entry.finished.wait())
    try:
        await asyncio.wait({left, there}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        return left.done() and not entry.finished.is_set()
    finally:
        for task in (left, there):
            task.cancel()


def _patience(prefer: str) -> float:
    """Seconds of a header `Prefer: wait=5` or `Prefer: respond-async` (RFC 7240)."""
    if "respond-async" in prefer:
        return 0.0
    found = re.search(r"\bwait=(\d+)", prefer)
    return min(float(found[1]), _MOST_PATIENCE) if found else PATIENCE


async def get_prediction(request: Request) -> Response:
    """How far a clip is, or its answer."""
    engine = engine_of(request)
    entry = engine.find(request.path_params["id"])
    return JSONResponse(entry.document(engine.predictor.note),
                        headers={} if entry.finished.is_set() else {"Retry-After": "1"})


async def get_rows(request: Request) -> Response:
    """The rows as `predict` writes them."""
    entry = _answered(request)
    form = request.url.path.rpartition(".")[2]
    return Response(format_answers(entry.rows, entry.emotions, form) + "\n",
                    media_type="text/csv" if form == "csv" else "application/json",
                    headers={"Content-Disposition": f'attachment; filename="rows.{form}"'})


async def get_page(request: Request) -> Response:
    """The page that `predict --report` writes, where it was asked for."""
    entry = _answered(request)
    if not entry.page:
        raise Problem("not-found", "no page was asked for: send the field page=1 with the clip")
    return Response(entry.page, media_type="text/html")


def _answered(request: Request) -> Entry:
    entry = engine_of(request).find(request.path_params["id"])
    if not entry.finished.is_set():
        raise Problem("not-found", "this clip is not answered yet; ask again in a second", {"Retry-After": "1"})
    if entry.problem is not None:
        raise entry.problem
    return entry


async def get_model(request: Request) -> Response:
    """What answers, and what is taken."""
    engine = engine_of(request)
    settings = engine.settings
    limits: Dict[str, float] = {name: getattr(settings, name) for name in (
        "max_megabytes", "max_seconds", "max_megapixels", "clip_limit", "upload_limit", "uploads", "live")}
    return JSONResponse({"emotions": list(engine.predictor.emotions), "note": engine.predictor.note,
                         "facts": engine.facts, "limits": limits, "keeps": settings.keep is not None})


async def get_health(_: Request) -> Response:
    """Whether the process lives."""
    return PlainTextResponse("ok\n")


async def get_ready(request: Request) -> Response:
    """Whether it takes clips."""
    engine = engine_of(request)
    if engine.closing or engine.trouble:
        raise Problem("not-ready", engine.trouble or "the server is being stopped", {"Retry-After": "5"})
    return PlainTextResponse("ready\n")


async def get_metrics(request: Request) -> Response:
    """For Prometheus."""
    text, kind = engine_of(request).metrics.text()
    return Response(text, headers={"Content-Type": kind})
