"""Kills processes that ask in batches, and compares what is left with the endpoint's ledger.

    python -m tests.chat.batch_killing TRIALS

kills one process at every point of ``POINTS`` and, in so many trials, process after process at
random moments; prints what it found as JSON. Everything is imported once and each victim is forked.
Nothing in the library knows of this: a victim wraps the methods of its own copy.
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.chat.batches import claims, keeper
from pipeline.chat.batches import collecting as collecting_module
from pipeline.chat.batches import round as round_module
from pipeline.chat.batches.collecting import Collection
from pipeline.chat.batches.keeper import Keeper
from pipeline.chat.batches.provider import Provider
from pipeline.chat.engine import Engine
from tests.chat.batch_asking import begun, billed, rows, run, settings, spent
from tests.chat.killing import forked
from tests.endpoint.fixtures import Endpoint, start

COUNT: Final = 23  # questions
PORTION: Final = 5  # that are claimed, entered or set free at a time
LONGEST_LIFE: Final = 0.4  # seconds; about what a run of its own takes
FAILED: Final = {"batch": {"end": "failed"}}


class Point(NamedTuple):
    """Where a process is killed: at a call of a method, before it or once it has returned."""

    owner: Any
    method: str
    call: int = 1
    after: bool = False
    script: Mapping[str, Any] = {}  # of the endpoint, until the kill


POINTS: Final = {
    "while claiming": Point(claims, "claimed", 3),
    "claimed": Point(Provider, "upload"),
    "uploaded, not noted": Point(Provider, "upload", after=True),
    "uploaded": Point(Keeper, "_begin"),
    "about to begin": Point(Provider, "begin"),
    "begun, not noted": Point(Provider, "begin", after=True),
    "begun": Point(Keeper, "_begun", after=True),
    "polling": Point(Provider, "look", 2),
    "polled, over": Point(Provider, "look", 3, after=True),
    "downloaded": Point(Provider, "download", after=True),
    "between answers": Point(Collection, "_enter", 3),
    "answers entered, not committed": Point(Collection, "_enter", 3, after=True),
    "between judgements": Point(Engine, "known", 2 * COUNT + 8),
    "all answers entered": Point(Collection, "conclude"),
    "before the end is noted": Point(Keeper, "_end"),
    "ended": Point(Keeper, "_end", after=True),
    "failed, not set free": Point(Keeper, "_set_free", script=FAILED),
    "while setting free": Point(Keeper, "_freed", 3, script=FAILED),
}


class Found(NamedTuple):
    """What is left in the end."""

    accepted: int
    kept: int  # answers that the journal holds as they came
    twice: int  # questions billed more than once
    unpaid: int  # billionths of a dollar by which the job's cost and the ledger's differ
    requests: int  # that the job counts more than were made
    batches: int  # that began at the provider
    open: int  # batches and runners that the journal still believes in
    kills: int


def hurried() -> None:
    """Have this process work in small portions, and wait little for a list that is late."""
    for owner, name, value in (
        (round_module, "LOOKED_UP", PORTION), (collecting_module, "GROUP", PORTION),
        (keeper, "FREED_AT_ONCE", PORTION),
        (keeper, "GRACE_SECONDS", 0.3), (keeper, "FIRST_PAUSE", 0.01),
    ):  # fmt: skip
        setattr(owner, name, value)


def dies(point: Point) -> None:
    """Have this process killed at a point."""
    method, calls = getattr(point.owner, point.method), Counter[str]()

    def reached() -> None:
        calls["all"] += 1
        if calls["all"] == point.call:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(*given: Any, **more: Any) -> Any:
        reached()
        return method(*given, **more)

    def after(*given: Any, **more: Any) -> Any:
        result = method(*given, **more)
        reached()
        return result

    async def awaited(*given: Any, **more: Any) -> Any:
        result = await method(*given, **more)
        reached()
        return result

    is_async = method.__code__.co_flags & 0x80  # a coroutine's
    setattr(point.owner, point.method, (awaited if is_async else after) if point.after else before)


def label(endpoint: Endpoint, journal: str) -> None:
    """Ask all questions; every one must be accepted."""
    asked = run(journal, settings(endpoint.url), range(COUNT))
    assert asked.count("accepted") == COUNT, asked.states


def finish(process: int) -> None:
    """Wait until a process has ended well."""
    _, status = os.waitpid(process, 0)
    assert os.WIFEXITED(status), f"a process was ended by signal {os.WTERMSIG(status)}"
    assert os.WEXITSTATUS(status) == 0, "a process failed"


def audit(endpoint: Endpoint, journal: str, kills: int) -> Found:
    """Compare the journal with what the endpoint billed."""
    paid, cost = billed(endpoint), spent(journal)
    states = Counter(state for (state,) in rows(journal, "select state from question"))
    kept = rows(journal, "select count(distinct key) from attempt where reply is not null")
    still = rows(journal, "select (select count(*) from batch where state <> 'ended' and runner in "
                 "(select runner from question where state = 'sent')), "
                 "(select count(*) from runner where host = 'provider' and name in "
                 "(select runner from batch where state = 'ended'))")  # fmt: skip
    return Found(
        accepted=states["accepted"],
        kept=kept[0][0],
        twice=len(endpoint.summary()["keys_billed_twice"]),
        unpaid=abs(paid.usd - cost.usd),
        requests=cost.requests - paid.requests,
        batches=begun(endpoint),
        open=sum(still[0]),
        kills=kills,
    )


def killed_at(endpoint: Endpoint, journal: str, point: Point) -> Found:
    """Kill a process at a point, and let another finish."""
    endpoint.script(point.script)
    victim = forked(lambda: (hurried(), dies(point), label(endpoint, journal)))
    _, status = os.waitpid(victim, 0)
    assert os.WIFSIGNALED(status), f"{point} was not reached"
    endpoint.script({})
    finish(forked(lambda: (hurried(), label(endpoint, journal))))
    return audit(endpoint, journal, 1)


def killed_while_downloading(endpoint: Endpoint, journal: str) -> Found:
    """Kill a process that has half a file, and let another finish."""
    endpoint.script({"rules": [{"fault": "hang_in_body", "route": "files", "requests": [2]}]})
    victim = forked(lambda: (hurried(), label(endpoint, journal)))
    while len(endpoint.ledger("files")) < 2:
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    finish(forked(lambda: (hurried(), label(endpoint, journal))))
    return audit(endpoint, journal, 1)


def killed(endpoint: Endpoint, journal: str, dice: random.Random) -> Found:
    """Kill process after process at random moments until one gets through."""
    kills = 0
    while True:
        victim = forked(lambda: (hurried(), label(endpoint, journal)))
        end = time.monotonic() + dice.uniform(0, LONGEST_LIFE)
        while time.monotonic() < end:
            if os.waitpid(victim, os.WNOHANG)[0]:
                return audit(endpoint, journal, kills)
            time.sleep(0.001)
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        kills += 1


def main() -> None:
    """Run the command line."""
    found: dict[str, Found] = {}
    dice = random.Random(7)
    with start() as endpoint, tempfile.TemporaryDirectory() as folder:
        trials: dict[str, Callable[[str], Found]] = {
            name: lambda journal, point=point: killed_at(endpoint, journal, point)  # type: ignore[misc]
            for name, point in POINTS.items()
        }
        trials["downloading"] = lambda journal: killed_while_downloading(endpoint, journal)
        for number in range(int(sys.argv[1])):
            trials[f"trial {number}"] = lambda journal: killed(endpoint, journal, dice)
        for number, (name, trial) in enumerate(trials.items()):
            endpoint.script({})
            endpoint.reset()
            found[name] = trial(str(Path(folder) / f"{number}.sqlite"))
    sys.stdout.write(json.dumps({name: one._asdict() for name, one in found.items()}) + "\n")


if __name__ == "__main__":
    main()
