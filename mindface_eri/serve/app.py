# SPDX-License-Identifier: Apache-2.0
"""The application: the page, the interface, and what holds for all of it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, AsyncIterator, Callable, Dict

import yaml
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from mindface_eri.report.html import TEMPLATES
from mindface_eri.serve.api import routes
from mindface_eri.serve.engine import Engine
from mindface_eri.serve.guard import Guard
from mindface_eri.serve.live import Cameras, live
from mindface_eri.serve.problems import Problem, answer_fault, answer_http_error, answer_problem
from mindface_eri.version import __version__

STATIC = Path(__file__).parent / "static"
PATIENCE = 30.0  # seconds that accepted clips have when the server is stopped


def create_app(engine: Engine, *, patience: float = PATIENCE, ready: Callable[[str], None] = lambda trouble: None
               ) -> Starlette:
    """The ASGI application of an engine, which starts and ends with it; `ready` as for `Engine.start`."""
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.engine, app.state.cameras = engine, Cameras(engine)
        await engine.start(ready)
        warming = asyncio.ensure_future(app.state.cameras.start())
        yield
        warming.cancel()
        app.state.cameras.close()
        await engine.stop(patience)

    return Starlette(
        routes=[Route("/", _page), Route("/openapi.json", _description), *routes(), WebSocketRoute("/v1/live", live),
                   Route("/static/report.css", _style), Mount("/static", StaticFiles(directory=STATIC))],
        middleware=[Middleware(Guard, settings=engine.settings)], lifespan=lifespan,
        exception_handlers={Problem: answer_problem, HTTPException: answer_http_error, Exception: answer_fault})


async def _page(_: Request) -> Response:
    return FileResponse(STATIC / "index.html")


async def _style(_: Request) -> Response:
    """The page looks as the pages of answers do."""
    return FileResponse(TEMPLATES / "style.css")


def description() -> Dict[str, Any]:
    """The interface, in the terms of OpenAPI."""
    found = yaml.safe_load((Path(__file__).parent / "openapi.yaml").read_text(encoding="utf-8"))
    found["info"]["version"] = __version__
    return found


async def _description(_: Request) -> Response:
    return JSONResponse(description())
