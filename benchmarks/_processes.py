"""Wall time and peak memory of commands, seen from outside.

The memory of a group of processes is the sum of their proportional shares (PSS) where the system
tells them, so that nothing shared counts twice; else of their unique (USS) or resident sizes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

import psutil

from pipeline.errors import ResourceError

INTERVAL: Final = 0.2
PATIENCE: Final = 20.0


class Cost(NamedTuple):
    """What one command took; memory in bytes, that of processes in other sessions apart."""

    seconds: float
    memory: int
    detached_memory: int


class Peak:
    """The highest memory of a group of processes.

    Exact sizes cost the kernel a walk through all pages, so they are read only when the resident
    size, which is cheap, is higher than ever before.
    """

    def __init__(self) -> None:
        self.size = 0
        self._resident = 0

    def sample(self, processes: Sequence[psutil.Process]) -> None:
        """Take the group's present size into account."""
        resident = sum(_resident(process) for process in processes)
        if resident > self._resident:
            self._resident = resident
            self.size = max(self.size, sum(_size(process) for process in processes))


class Watch:
    """Runs commands one after another; ends, at its own end, what they left running."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.detached: set[psutil.Process] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self.detached)

    def run(self, command: Sequence[str]) -> Cost:
        """Run ``command``, its output on stderr, and return what it took.

        Raises:
            ResourceError: when it fails.
        """
        own, detached = Peak(), Peak()
        start = time.perf_counter()
        with subprocess.Popen(  # noqa: S603 - our own program, no shell
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        ) as process:  # fmt: skip
            root = psutil.Process(process.pid)
            try:
                self._sample(root, own, detached)
                while not _ended(process):
                    self._sample(root, own, detached)
            except BaseException:
                end([root])
                raise
            seconds = time.perf_counter() - start
        _check(command, process.returncode)
        return Cost(seconds, own.size, detached.size)

    def median_seconds(self, command: Sequence[str], times: int) -> float:
        """Return the median time of ``command``, which nobody watches meanwhile.

        Raises:
            ResourceError: when it fails.
        """
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            done = subprocess.run(  # noqa: S603 - our own program, no shell
                command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, check=False,
            )  # fmt: skip
            taken.append(time.perf_counter() - start)
            _check(command, done.returncode)
        return statistics.median(taken)

    def _sample(self, root: psutil.Process, own: Peak, detached: Peak) -> None:
        with suppress(psutil.NoSuchProcess):
            tree = [root, *root.children(recursive=True)]
            away = [process for process in tree if _is_detached(process)]
            self.detached.update(away)
            own.sample([process for process in tree if process not in away])
            detached.sample(away)


def end(processes: Collection[psutil.Process]) -> None:
    """End ``processes`` and their children: asked first, killed when they do not listen."""
    everyone = set(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            everyone.update(process.children(recursive=True))
    for process in everyone:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(everyone, timeout=PATIENCE)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=PATIENCE)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(INTERVAL)
    except subprocess.TimeoutExpired:
        return False
    return True


def _check(command: Sequence[str], code: int) -> None:
    if code:
        message = f"`{' '.join(command)}` ended with exit code {code}; it says why above"
        raise ResourceError(message)


def _is_detached(process: psutil.Process) -> bool:
    try:
        return os.getsid(process.pid) != os.getsid(0)
    except (ProcessLookupError, PermissionError):
        return False


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _size(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:
        return _resident(process)
    except psutil.NoSuchProcess:
        return 0
    return int(getattr(full, "pss", full.uss))
