"""Asynchronous work from plain code, that Ctrl-C ends in good order.

The event loop runs in a thread of its own, so it works wherever it is called from, a running loop
included, and the main thread stays free to be interrupted.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
_LOOK: Final = 0.2  # seconds between looks for an interrupt on systems that do not wake a waiter


def run(work: Callable[[], Coroutine[Any, Any, T]], stop: Callable[[], None]) -> T:
    """Return what the coroutine of ``work`` returns.

    An interrupt calls ``stop`` inside the loop, waits for the coroutine to end, and is then raised
    again; a second interrupt does not wait.
    """
    done: concurrent.futures.Future[T] = concurrent.futures.Future()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop, work, done), name="chat", daemon=True)
    thread.start()
    try:
        return _wait(done)
    except KeyboardInterrupt:
        log.warning("waiting for the answers on their way; interrupt again to give them up")
        with suppress(RuntimeError):  # the loop has just ended by itself
            loop.call_soon_threadsafe(stop)
        concurrent.futures.wait([done])
        raise


def _wait(done: concurrent.futures.Future[T]) -> T:
    while True:
        try:
            return done.result(timeout=_LOOK)
        except concurrent.futures.TimeoutError:
            if done.done():
                raise


def _run(
    loop: asyncio.AbstractEventLoop,
    work: Callable[[], Coroutine[Any, Any, T]],
    done: concurrent.futures.Future[T],
) -> None:
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            done.set_result(runner.run(work()))
    except BaseException as error:  # noqa: BLE001 - raised again where the work was asked for
        done.set_exception(error)
