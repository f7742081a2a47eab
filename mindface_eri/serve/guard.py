# SPDX-License-Identifier: Apache-2.0
"""Who may ask: the host's name, the page's origin and the token are looked at before anything else is."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from typing import Any, Callable, Optional
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from mindface_eri.serve.problems import Problem
from mindface_eri.serve.settings import LOOPBACK, Settings

COOKIE = "mindface_eri"
_OPEN = ("/", "/healthz", "/readyz", "/openapi.json", "/v1/login")  # and the page's own files: they hold no secret
_LONGEST_LOGIN = 2000  # bytes
_GUESSING = 1.0  # seconds that a wrong token costs
_POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
           "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
# A page of an answer carries its own policy within; as it is shown within ours, it may do no more than its own script.
_POLICY_OF_ANSWERS = "sandbox allow-scripts; frame-ancestors 'self'"
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
            "Permissions-Policy": "camera=(self), microphone=(self)"}


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: Callable, settings: Settings) -> None:
        self._app, self._settings, self._secret = app, settings, settings.secret
        # What a browser keeps instead of the token; worth nothing after a restart.
        self._cookie = hmac.new(secrets.token_bytes(32), (self._secret or "").encode(), hashlib.sha256).hexdigest()

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._refused(HTTPConnection(scope))
        if scope["type"] == "websocket":
            if problem is None:
                await self._app(scope, receive, send)
            else:  # before it is accepted: the handshake is answered with 403
                await send({"type": "websocket.close", "code": 1008, "reason": str(problem)[:100]})
            return
        sending = _with_headers(scope["path"], send)
        if problem is not None:
            await problem.response()(scope, receive, sending)
        elif scope["path"] == "/v1/login" and scope["method"] == "POST":
            await (await self._login(Request(scope, receive)))(scope, receive, sending)
        else:
            await self._app(scope, receive, sending)

    def _refused(self, connection: HTTPConnection) -> Optional[Problem]:
        """Why this may not be asked, if so."""
        headers, path = connection.headers, connection.scope["path"]
        # A name that somebody else made point to this machine would let their page read the answers.
        host = _hostname(headers.get("host", ""))
        if self._secret is None and host not in (*LOOPBACK, self._settings.host):
            return Problem("unknown-host", f"this server answers to {', '.join(LOOPBACK)} only, not to {host!r}")
        origin, asks = headers.get("origin"), connection.scope.get("method", "POST") not in ("GET", "HEAD")
        if asks and origin is not None and _parts(origin).netloc != headers.get("host"):
            return Problem("foreign-origin", f"a page of {origin} may not use this server")
        if self._secret is None or path in _OPEN or path.startswith("/static/") or self._knows(connection, headers):
            return None
        return Problem("token-needed", "send the server's token: Authorization: Bearer TOKEN",
                       {"WWW-Authenticate": "Bearer"})

    def _knows(self, connection: HTTPConnection, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return any([scheme.lower() == "bearer" and _same(given.strip(), self._secret or ""),
                    _same(connection.cookies.get(COOKIE, ""), self._cookie)])

    async def _login(self, request: Request) -> Response:
        """The page's: a token for a cookie that scripts cannot read and other sites cannot use."""
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _LONGEST_LOGIN:
                return Problem("too-large", "no token is that long").response()
        if self._secret is None or not _same(body.decode("utf-8", "replace").strip(), self._secret):
            await asyncio.sleep(_GUESSING)
            return Problem("token-needed", "this is not the server's token").response()
        response = JSONResponse({"ok": True})
        # The page knows whether it came by https; this server does not, behind a proxy that does that part.
        secure = "https" in (request.url.scheme, _parts(request.headers.get("origin", "")).scheme)
        response.set_cookie(COOKIE, self._cookie, httponly=True, samesite="strict", secure=secure)
        return response


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), known.encode("utf-8", "replace"))


def _parts(origin: str) -> SplitResult:
    """Of an Origin header; empty ones where it is no URL."""
    try:
        return urlsplit(origin)
    except ValueError:
        return urlsplit("")


def _hostname(host: str) -> str:
    """Of a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _with_headers(path: str, send: Callable) -> Callable:
    """`send`, which adds to every answer what a browser may do with it."""
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers["Content-Security-Policy"] = _POLICY_OF_ANSWERS if path.endswith("/page.html") else _POLICY
            if path.startswith("/v1/"):
                headers["Cache-Control"] = "no-store"
        await send(message)

    return sending
