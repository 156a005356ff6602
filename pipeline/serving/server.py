"""The server's life: it listens, loads the model, answers, and ends once everyone has theirs."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from pipeline.encoder.transformer import TransformerEncoder
from pipeline.errors import InputError
from pipeline.serving.app import Desk, Service, application
from pipeline.serving.engine import Engine

KEEP_ALIVE: Final = 75  # seconds; longer than clients keep an idle connection
BACKLOG: Final = 2_048


class Server(uvicorn.Server):
    """Ends on a signal as after any other work: with what it has finished, and no error."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals while it serves; a second Ctrl-C does not wait for anyone."""
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {one: signal.signal(one, self.handle_exit) for one in signals}
        try:
            yield
        finally:
            for one, action in before.items():
                signal.signal(one, action)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises:
        InputError: when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"cannot listen on {host} port {port}: {reason}; choose --host and --port"
        raise InputError(message) from error


def serve(
    place: socket.socket,
    service: Service,
    load: Callable[[], TransformerEncoder],
    ready: Callable[[], None],
) -> None:
    """Answer requests on ``place`` until a signal comes; ``ready`` is called with the model loaded.

    Raises:
        AngleAdaptError: whatever ``load`` raises; then nothing is served.
    """
    desk = Desk(service)
    failure: list[BaseException] = []

    async def begin() -> None:
        try:
            encoder = await asyncio.to_thread(load)
            if server.should_exit:
                return
            engine = await asyncio.to_thread(Engine, encoder, service.limits, desk.metrics.batch)
            desk.open(engine)
            ready()
        except Exception as error:  # noqa: BLE001 - raised again below, in the main thread
            failure.append(error)
            server.should_exit = True

    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(begin())
        yield
        await loading
        if desk.engine is not None:
            await asyncio.to_thread(desk.engine.close)

    config = uvicorn.Config(
        application(desk, lifespan),
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=service.limits.drain_seconds,
    )
    server = Server(config)
    server.run(sockets=[place])
    if failure:
        raise failure[0]
