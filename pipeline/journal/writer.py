"""The one thread that writes a journal of requests, and commits what has gathered in one go.

A commit waits for the disk. While one is under way, what other requests want written gathers; the
next transaction takes all of it, so the wait is shared and nobody's answer counts before it is on
disk. The event loop never waits for the disk itself.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from pipeline.journal.database import connect
from pipeline.journal.requests import RequestJournal

T = TypeVar("T")
Operation = Callable[[RequestJournal], T]
LARGEST_GROUP: Final = 512


class _Wanted(NamedTuple):
    """An operation, and where its result goes."""

    operation: Operation[Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class JournalWriter:
    """Runs operations on the journal at ``url`` in a thread of its own; a context manager.

    Raises:
        AngleAdaptError: from `__enter__`, when the journal cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._wanted: queue.SimpleQueue[_Wanted | None] = queue.SimpleQueue()
        self._carried: deque[_Wanted] = deque()
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._opened.wait()
        if self._failure:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._wanted.put(None)
        self._thread.join()

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue ``operation``; the future holds its result once it is committed.

        Call from a coroutine. The future fails with what stopped the transaction.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._wanted.put(_Wanted(operation, loop, future))
        return future

    def carry(self, operation: Operation[Any]) -> None:
        """Have ``operation`` done before whatever is submitted next, in the same transaction.

        For what can be done again should it be lost: nothing waits for it, nor does the disk.
        """
        loop = asyncio.get_running_loop()
        self._carried.append(_Wanted(operation, loop, loop.create_future()))

    def _run(self) -> None:
        try:
            database = connect(self._url)
            journal = RequestJournal(database)
            with database.transaction():
                journal.prepare()
        except BaseException as error:  # noqa: BLE001 - handed to whoever opens the journal
            self._failure = error
            return
        finally:
            self._opened.set()
        try:
            while group := self._next_group():
                try:
                    with database.transaction():
                        results = [wanted.operation(journal) for wanted in group]
                except BaseException as error:  # noqa: BLE001 - handed to whoever asked
                    _tell(group, [None] * len(group), error)
                else:
                    _tell(group, results, None)
        finally:
            database.close()

    def _next_group(self) -> list[_Wanted]:
        """Return what has gathered, after waiting for the first; empty when it is the end."""
        wanted = self._wanted.get()
        group = [self._carried.popleft() for _ in range(len(self._carried))]
        while wanted is not None:
            group.append(wanted)
            if len(group) >= LARGEST_GROUP:
                return group
            try:
                wanted = self._wanted.get_nowait()
            except queue.Empty:
                return group
        if group:
            self._wanted.put(None)  # seen again once this group is done
        return group


def _tell(group: list[_Wanted], results: list[Any], error: BaseException | None) -> None:
    """Hand the results over, with one call for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for wanted, result in zip(group, results, strict=True):
        by_loop.setdefault(wanted.loop, []).append((wanted.future, result))
    for loop, pairs in by_loop.items():
        with suppress(RuntimeError):  # the loop has ended, and with it whoever asked
            loop.call_soon_threadsafe(_resolve, pairs, error)


def _resolve(pairs: list[tuple[asyncio.Future[Any], Any]], error: BaseException | None) -> None:
    for future, result in pairs:
        if future.done():  # whoever asked has been cancelled
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
