"""The few questions that are not worth a batch: asked one by one, while batches wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from pipeline.chat.engine import Engine
from pipeline.chat.pace import Pace
from pipeline.chat.trips import Ask, Judge, Result


class Direct:
    """Runs a plain engine as a task; one portion of questions at a time.

    ``make`` returns an engine; it is called again when one has stopped and another may go on.
    """

    def __init__(self, make: Callable[[Pace | None], Engine], pace: Pace) -> None:
        self._make = make
        self.engine = make(pace)
        self.keys: Sequence[str] = ()
        self.task: asyncio.Task[dict[str, Result]] | None = None

    def begin(self, keys: Sequence[str], asks: Iterable[Ask], judge: Judge) -> None:
        """Ask questions; `task` ends when they have."""
        self.keys = keys
        self.task = asyncio.create_task(self.engine.ask(asks, judge))

    def take(self) -> dict[str, Result]:
        """Return how the questions of the task that is done ended."""
        results = self.task.result() if self.task else {}
        self.task, self.keys = None, ()
        return results

    def renew(self) -> None:
        """Begin anew after a stop that is over."""
        self.engine = self._make(None)
