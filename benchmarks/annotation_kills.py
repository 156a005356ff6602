"""Processes that ask a chat model are killed, doubled, put to sleep and kept short of money."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any, Final, NamedTuple

from benchmarks._record import Figure, Measurement
from pipeline.config import CHECKOUT
from pipeline.errors import ResourceError
from tests.journal.cluster import binaries

log = logging.getLogger(__name__)

CLAIM: Final = (
    "Killed 200 times at random moments and at every step of the protocol, a run loses no answer "
    "that it had received, and no pair is billed twice where uncertain requests are held; where "
    "they are sent again, each was listed, and a kill has no more of them than the concurrency. "
    "Two runs share a journal without a pair billed twice. No budget is exceeded in 1,000 runs."
)
SEED: Final = 11
CONCURRENCY: Final = 16
FAILPOINTS: Final = 8


class Sizes(NamedTuple):
    """How often each trial is made; ``spending`` in one process and with real ones."""

    kills: int
    points: int
    pairs: int
    sleeps: int
    spending: tuple[int, int]
    postgresql: bool


FULL: Final = Sizes(200, 5, 50, 20, (950, 50), postgresql=True)
QUICK: Final = Sizes(12, 1, 3, 2, (46, 4), postgresql=False)


def measure(*, quick: bool) -> Measurement:
    """Run all trials; ``quick`` makes fewer, and none with PostgreSQL."""
    sizes = QUICK if quick else FULL
    figures = [*_killed(sizes), *_shared(sizes), *_spent(sizes)]
    if sizes.postgresql and binaries():
        figures += _with_postgresql(sizes)
    return Measurement(tuple(figures), SEED)


def _killed(sizes: Sizes) -> list[Figure]:
    hold = _found("killing", "hold", sizes.kills)
    resend = _found("killing", "resend", sizes.kills)
    points = _found("killing", "failpoints", FAILPOINTS * sizes.points)
    return [
        Figure.of("hold: kills at random moments", hold["kills"], "", ">=", sizes.kills),
        *_nothing_wrong("hold", hold),
        _none("hold: pairs billed twice", hold["twice"]),
        Figure.of("hold: uncertain after a kill, mean", hold["listed"] / hold["kills"], ""),
        Figure.of("resend: kills at random moments", resend["kills"], "", ">=", sizes.kills),
        *_nothing_wrong("resend", resend),
        _none("resend: pairs without an answer", resend["uncertain"]),
        Figure.of("resend: billed again for a kill, mean", resend["again"] / resend["kills"], "",
                  "<=", CONCURRENCY),
        Figure.of("resend: uncertain after one kill, most", resend["most_listed"], "", "<=",
                  CONCURRENCY),
        _none("resend: billed twice and not listed", resend["twice_unlisted"]),
        Figure.of("ends at a step of the protocol", points["kills"], "", ">=",
                  FAILPOINTS * sizes.points),
        *_nothing_wrong("ends at a step", points),
        _none("ends at a step: pairs billed twice", points["twice"]),
    ]  # fmt: skip


def _shared(sizes: Sizes) -> list[Figure]:
    shared = _found("killing", "shared", sizes.pairs)
    asleep = _found("killing", "stopped", sizes.sleeps)
    return [
        Figure.of("two runs on one journal", shared["trials"], "", ">=", sizes.pairs),
        *_nothing_wrong("two runs", shared),
        _none("two runs: pairs billed twice", shared["twice"]),
        _none("two runs: pairs without an answer", shared["uncertain"]),
        Figure.of("runs asleep for longer than their lease", asleep["kills"], ""),
        *_nothing_wrong("asleep", asleep),
        _none("asleep: pairs billed twice", asleep["twice"]),
    ]


def _spent(sizes: Sizes) -> list[Figure]:
    here, processes = sizes.spending
    found = _found("spending", here, processes)
    return [
        Figure.of("runs with a budget", found["runs"], "", ">=", here + processes),
        _none("budgets exceeded by what was billed", found["exceeded"]),
        _none("budgets exceeded by the journal's sums", found["overbooked"]),
        _none("sums of the journal below what was billed", found["unbooked"]),
        Figure.of("runs that a budget ended", found["short"], "", ">="),
        Figure.of("runs that used nine tenths of a budget", found["full"], "", ">="),
    ]


def _with_postgresql(sizes: Sizes) -> list[Figure]:
    hold = _found("killing", "hold", sizes.kills // 4, "--postgresql")
    points = _found("killing", "failpoints", 2 * FAILPOINTS, "--postgresql")
    shared = _found("killing", "shared", sizes.pairs // 5, "--postgresql")
    asleep = _found("killing", "stopped", sizes.sleeps // 4, "--postgresql")
    parts = {"hold": hold, "ends at a step": points, "two runs": shared, "asleep": asleep}
    return [
        Figure.of("PostgreSQL: kills and ends", hold["kills"] + points["kills"], ""),
        *(figure for name, part in parts.items()
          for figure in (
              _none(f"PostgreSQL, {name}: answers lost", part["lost"]),
              _none(f"PostgreSQL, {name}: pairs billed twice", part["twice"]))),
    ]  # fmt: skip


def _nothing_wrong(name: str, found: dict[str, Any]) -> list[Figure]:
    return [
        _none(f"{name}: received answers lost", found["lost"]),
        _none(f"{name}: billed, no answer, not listed", found["unlisted"] + found["open"]),
    ]


def _none(name: str, value: float) -> Figure:
    return Figure.of(name, value, "", "<=", 0)


def _found(program: str, *arguments: object) -> dict[str, Any]:
    """Return what a program of the tests found; its victims are forked, so it runs on its own."""
    log.info("%s %s", program, " ".join(map(str, arguments)))
    command = [sys.executable, "-m", f"tests.chat.{program}", *map(str, arguments)]
    ended = subprocess.run(  # noqa: S603 - our own program, no shell
        command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode:
        message = f"`{' '.join(command)}` ended with {ended.returncode}; it says why above"
        raise ResourceError(message)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found
