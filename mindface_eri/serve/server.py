# SPDX-License-Identifier: Apache-2.0
"""Runs the application in uvicorn until it is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from typing import Any, Callable, Iterator, List, Optional

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mindface_eri.errors import ConfigError, ERIError
from mindface_eri.serve.app import PATIENCE, create_app
from mindface_eri.serve.engine import Engine
from mindface_eri.serve.settings import Settings

_HEADER_SECONDS = 10.0  # for a request's first lines to come
_LONGEST_MESSAGE = 400_000  # bytes of one from a camera
_CONNECTIONS = 200


class _Impatient(H11Protocol):
    """A connection on which no request begins is closed: uvicorn's own clock runs only after the first answer."""

    _clock: Optional[asyncio.TimerHandle] = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._clock = self.loop.call_later(_HEADER_SECONDS, self._look)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._clock = self.loop.call_later(_HEADER_SECONDS, self._look)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        if self._clock is not None:
            self._clock.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        if self.transport.get_protocol() is not self:  # a websocket took it over
            return
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """Waits for what was accepted while it waits for its connections, so that those are told what became of it."""

    def __init__(self, config: uvicorn.Config, engine: Engine) -> None:
        super().__init__(config)
        self._engine = engine

    async def shutdown(self, sockets: Optional[List[socket.socket]] = None) -> None:
        finishing = asyncio.ensure_future(self._engine.finish(PATIENCE))
        await super().shutdown(sockets)
        await finishing


def open_socket(settings: Settings) -> socket.socket:
    """Where the server listens; port 0 takes any that is free.

    Raises:
        ConfigError: it cannot listen there.
    """
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--host {settings.host} --port {settings.port}: cannot listen there ({reason})") from None


def run_server(engine: Engine, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until SIGINT or SIGTERM; then accepted clips are answered first, within `PATIENCE` seconds.

    Args:
        ready: is called once clips are taken.

    Raises:
        ERIError: a worker process or the network cannot be made ready.
    """
    troubles = []

    def told(trouble: str) -> None:
        if trouble:
            troubles.append(trouble)
            server.should_exit = True
        else:
            ready()

    config = uvicorn.Config(
        create_app(engine, ready=told), http=_Impatient, ws="auto",
        ws_max_size=_LONGEST_MESSAGE, log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        timeout_keep_alive=5, timeout_graceful_shutdown=round(PATIENCE) + 5, limit_concurrency=_CONNECTIONS,
        lifespan="on")
    server = _Server(config, engine)
    with _slow_end(), contextlib.suppress(KeyboardInterrupt):
        server.run([listener])
    if troubles:
        raise ERIError(f"the server cannot be made ready: {troubles[0]}")


@contextlib.contextmanager
def _slow_end() -> Iterator[None]:
    """Within it the process is not ended by the watcher of `signals`, which gives work a second and a half."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
