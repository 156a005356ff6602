"""Kills processes that ask a chat model, and compares what is left with the endpoint's ledger.

    python -m tests.chat.killing MODE TRIALS [--postgresql]

prints what it found as one line of JSON. Everything is imported once and each victim is forked, so
that a life begins within milliseconds. Nothing in the library knows of this: a victim wraps the
methods of its own copy.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
from filelock import FileLock, Timeout

from pipeline.chat import endpoint as endpoint_module
from pipeline.chat import engine as engine_module
from pipeline.journal import postgres as postgres_module
from pipeline.journal import requests as requests_module
from pipeline.journal.database import SQLite, connect
from pipeline.journal.postgres import Postgres
from pipeline.journal.requests import RequestJournal
from tests.chat.auditing import PAIRS, Found, Place, acknowledgement, audit, label
from tests.endpoint.fixtures import start
from tests.journal.cluster import cluster

LATENCY: Final = [0.002, 0.03]  # seconds: the least and the most
LONGEST_LIFE: Final = 0.7  # seconds until a kill; about what all pairs take
LEASE: Final = 1.0  # seconds, in place of half a minute
STEPS: Final = ("claim commit", "send", "receive commit", "judge commit")
FAILPOINTS: Final = tuple(f"{side} {step}" for step in STEPS for side in ("before", "after"))
Fail = Callable[[str], None]


def forked(work: Callable[[], object]) -> int:
    """Start ``work`` in a process of its own and return its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def observed(place: Place, fail: Fail = lambda _: None) -> None:
    """Have this process note what it commits, and tell ``fail`` of every step."""
    noted = os.open(place.acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    happened: list[tuple[Any, ...]] = []  # in the transaction that is open
    for name in ("claim", "receive", "judge"):
        _wrap_operation(name, happened)
    for kind in (SQLite, Postgres):
        _wrap_transactions(kind, happened, noted, fail)
    _wrap_sends(fail)


def _wrap_operation(name: str, happened: list[tuple[Any, ...]]) -> None:
    method = getattr(RequestJournal, name)

    def wrapped(self: RequestJournal, *given: Any) -> Any:
        happened.append((name, *given))
        return method(self, *given)

    setattr(RequestJournal, name, wrapped)


def _wrap_transactions(kind: Any, happened: list[tuple[Any, ...]], noted: int, fail: Fail) -> None:
    begun = kind.transaction

    @contextmanager
    def wrapped(self: Any) -> Iterator[None]:
        happened.clear()
        with begun(self):
            yield
            for name, *_ in happened:
                fail(f"before {name} commit")
        lines = [acknowledgement(*one[1:]) for one in happened if one[0] == "receive"]
        os.write(noted, "".join(lines).encode())
        for name, *_ in happened:
            fail(f"after {name} commit")

    kind.transaction = wrapped


def _wrap_sends(fail: Fail) -> None:
    send = endpoint_module.Endpoint.send

    async def wrapped(self: Any, body: Any) -> Any:
        fail("before send")
        answer = await send(self, body)
        fail("after send")
        return answer

    endpoint_module.Endpoint.send = wrapped  # type: ignore[method-assign]


def uncertain(place: Place) -> set[tuple[str, int]]:
    """Return key and attempt of what is uncertain now that its process is gone."""
    with closing(connect(place.journal)) as database, database.transaction():
        journal = RequestJournal(database)
        journal.prepare()
        journal.recover()
        query = "select key, tries from question where state = 'uncertain'"
        return {(key, tries) for key, tries in database.execute(query)}


def killed(place: Place, dice: random.Random) -> tuple[Found, list[int]]:
    """Let process after process label, each killed at a random moment, until one gets through.

    Returns:
        What was left, and how many requests each kill made uncertain.
    """
    listed: set[tuple[str, int]] = set()
    by_kill: list[int] = []
    while True:
        victim = forked(lambda: (observed(place), label(place)))
        end = time.monotonic() + dice.uniform(0, LONGEST_LIFE)
        while time.monotonic() < end:
            if os.waitpid(victim, os.WNOHANG)[0]:
                return audit(place, listed={key for key, _ in listed}), by_kill
            time.sleep(0.001)
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        fresh = uncertain(place) - listed
        by_kill.append(len(fresh))
        listed |= fresh


def failed(place: Place, dice: random.Random, point: str) -> tuple[Found, list[int]]:
    """Let a process end at a step, then another one label what is left."""
    after = dice.choice([1, 2, dice.randint(3, PAIRS // 2)])
    passed: Counter[str] = Counter()

    def fail(step: str) -> None:
        passed[step] += 1
        if step == point and passed[step] == after:
            os.kill(os.getpid(), signal.SIGKILL)

    victim = forked(lambda: (observed(place, fail), label(place)))
    _, status = os.waitpid(victim, 0)
    assert os.WIFSIGNALED(status), f"{point} was not reached"
    listed = uncertain(place)
    finish(forked(lambda: (observed(place), label(place))))
    return audit(place, listed={key for key, _ in listed}), [len(listed)]


def shared(place: Place, dice: random.Random) -> tuple[Found, list[int]]:
    """Let two processes label the same pairs at the same time; both must get every score."""

    def work() -> None:
        observed(place)
        assert label(place) == PAIRS

    first = forked(work)
    time.sleep(dice.uniform(0, 0.3))
    second = forked(work)
    finish(first)
    finish(second)
    return audit(place), []


def stopped(place: Place, dice: random.Random) -> tuple[Found, list[int]]:
    """Stop a process for longer than its lease while another one labels, then wake it."""
    first = forked(lambda: (hurried(), observed(place), label(place)))
    try:
        time.sleep(dice.uniform(0.05, LONGEST_LIFE / 2))
        asleep = sleeping(place, first)
        time.sleep(1.2 * LEASE if asleep else 0)
        finish(forked(lambda: (hurried(), observed(place), label(place))))
        listed = uncertain(place)
        os.kill(first, signal.SIGCONT)
        finish(first)
    except BaseException:
        os.kill(first, signal.SIGKILL)
        raise
    return audit(place, listed={key for key, _ in listed}), [len(listed)] if asleep else []


def sleeping(place: Place, process: int) -> bool:
    """Stop ``process`` where it does not hold the journal's lock; False when it ends before."""
    while True:
        os.kill(process, signal.SIGSTOP)
        state = os.waitid(os.P_PID, process, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        if state is None or state.si_code != os.CLD_STOPPED:
            return False
        if is_free(place.journal):
            return True
        os.kill(process, signal.SIGCONT)
        time.sleep(0.003)


def is_free(url: str) -> bool:
    """Return whether nobody is opening a journal or writing to it."""
    if "://" in url:
        with closing(connect(url)) as database:
            lock = f"select pg_try_advisory_xact_lock({postgres_module._LOCK})"
            return bool(database.execute(lock)[0][0])
    try:
        with FileLock(f"{url}.lock", timeout=0), closing(apsw.Connection(url)) as connection:
            connection.execute("begin immediate")
            return True
    except (Timeout, apsw.BusyError):
        return False


def hurried() -> None:
    """Give this process a short lease, and have it renewed in time."""
    requests_module.LEASE_SECONDS = LEASE  # type: ignore[misc]
    engine_module.HEARTBEAT = LEASE / 4  # type: ignore[misc]


def finish(process: int) -> None:
    """Wait until ``process`` has ended well."""
    _, status = os.waitpid(process, 0)
    assert status == 0, f"a process ended with {status}"


MODES: Final[dict[str, Callable[[Place, random.Random, int], tuple[Found, list[int]]]]] = {
    "hold": lambda place, dice, _: killed(place, dice),
    "resend": lambda place, dice, _: killed(place._replace(resend=True), dice),
    "failpoints": lambda place, dice, trial: failed(
        place, dice, FAILPOINTS[trial % len(FAILPOINTS)]
    ),
    "shared": lambda place, dice, _: shared(place, dice),
    "stopped": lambda place, dice, _: stopped(place, dice),
}


def trials(mode: str, least: int, *, postgresql: bool = False) -> dict[str, Any]:
    """Run trials until there were ``least`` kills (of random kills), or so many trials."""
    dice, found, by_kill, done = random.Random(11), Found(), [], 0
    with ExitStack() as stack:
        endpoint = stack.enter_context(start(latency=LATENCY))
        server = stack.enter_context(cluster()) if postgresql else None
        while (len(by_kill) if mode in ("hold", "resend") else done) < least:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = server.create() if server else str(folder / "requests.sqlite")
            endpoint.reset()
            trial, kills = MODES[mode](Place(url, folder, endpoint), dice, done)
            by_kill += kills
            found, done = Found(*map(sum, zip(found, trial, strict=True))), done + 1
    return found._asdict() | {
        "trials": done, "kills": len(by_kill), "listed": sum(by_kill),
        "most_listed": max(by_kill, default=0),
    }  # fmt: skip


if __name__ == "__main__":
    outcome = trials(sys.argv[1], int(sys.argv[2]), postgresql="--postgresql" in sys.argv)
    sys.stdout.write(json.dumps(outcome) + "\n")
