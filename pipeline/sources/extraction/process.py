"""The worker process as its owner sees it: started when needed, killed when late, replaced."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipeline.errors import ResourceError
from pipeline.sources.extraction import frames
from pipeline.sources.extraction.outcome import PATIENCE, Extracted, Failed, Kind, Limits

VERSION: Final = 1  # of what comes out; a new one makes kept results old
PAGES_A_WORKER: Final = 500  # parsers leak; a new process costs half a second
_START: Final = 60.0  # seconds a worker may take to import its parsers
_TELLTALE: Final = frozenset({"memory_limit", "worker_died"})  # pages before may be to blame

# Isolated (-I) and with an empty environment: what parses hostile bytes holds no secret.
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pipeline.sources.extraction.worker import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


class Extractor:
    """Owns a worker process; use as a context manager, from one thread.

    The worker is started at the first page, so an extractor that is not used costs nothing. It ends
    with its owner, however that ends.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._worker: _Worker | None = None

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the worker, if there is one."""
        if self._worker:
            self._worker.kill()
            self._worker = None

    def extract(
        self, data: bytes, kind: Kind, url: str = "", charset: str = ""
    ) -> Extracted | Failed:
        """Return the text of ``data``, or why there is none; never raises for what it holds.

        ``url`` is the base of relative links; ``charset`` is what the HTTP header says, if
        anything. Takes at most ``limits.seconds`` times the patience for this kind.

        Raises:
            ResourceError: when no worker process can be started.
        """
        if len(data) > self.limits.size:
            return Failed("too_large", f"{len(data):,} bytes; the limit is {self.limits.size:,}")
        request = frames.Request(kind, url, charset, self._seconds(kind), *self.limits[2:])
        fresh = self._worker is None
        answer = self._ask(request, data)
        if not fresh and isinstance(answer, Failed) and answer.reason in _TELLTALE:
            answer = self._ask(request, data)
        return answer

    def _seconds(self, kind: Kind) -> float:
        return self.limits.seconds * PATIENCE[kind]

    def _ask(self, request: frames.Request, data: bytes) -> Extracted | Failed:
        if self._worker is None:
            self._worker = _Worker(self.limits.memory)
        answer = self._worker.answer(request, data)
        late = isinstance(answer, Failed) and answer.reason in _TELLTALE | {"time_limit"}
        if late or self._worker.pages >= PAGES_A_WORKER:
            self.close()
        return answer


class _Worker:
    """One process and the socket to it."""

    def __init__(self, memory: int) -> None:
        self.pages = 0
        self._channel, theirs = socket.socketpair()
        paths = json.dumps([str(Path(path).absolute()) for path in sys.path])
        command = [sys.executable, "-I", "-c", _BOOT, paths, str(theirs.fileno()), str(memory)]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                env={"LC_ALL": "C.UTF-8"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        try:
            frames.receive(self._channel, _remaining(_START))
        except (OSError, EOFError) as error:
            self.kill()
            message = "the process that extracts text does not start; is the installation whole?"
            raise ResourceError(message) from error

    def answer(self, request: frames.Request, data: bytes) -> Extracted | Failed:
        """Return what the worker says, or that it did not in time; then it must be replaced."""
        self.pages += 1
        remaining = _remaining(request.seconds)
        try:
            frames.send_request(self._channel, request, data, remaining)
            return frames.answer(frames.receive(self._channel, remaining))
        except TimeoutError:
            return Failed("time_limit", f"not done after {request.seconds:g} s")
        except (OSError, EOFError, ValueError) as error:
            return Failed("worker_died", str(error) or type(error).__name__)

    def kill(self) -> None:
        """End the process now."""
        self._channel.close()
        self._process.kill()
        self._process.wait()


def _remaining(seconds: float) -> Callable[[], float]:
    """Return a clock that counts down and never reaches 0, which would mean "do not wait"."""
    end = time.monotonic() + seconds
    return lambda: max(end - time.monotonic(), 1e-3)
