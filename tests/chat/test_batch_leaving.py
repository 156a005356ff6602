"""Batches outlive who made them: leaving, coming back, and several processes at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import Any

import openai
import pytest

from pipeline.annotation.chat import ChatAnnotator
from pipeline.annotation.opinions import Terms
from pipeline.chat.batches.engine import BatchEngine
from pipeline.chat.batches.keeper import Keeper
from pipeline.chat.batches.provider import Provider
from pipeline.chat.engine import Engine
from pipeline.chat.faults import Fault
from pipeline.journal.entries import Budget
from pipeline.sections import ChatSettings
from tests.chat.batch_asking import (
    Asked,
    aged,
    asking,
    begun,
    billed,
    rows,
    run,
    settings,
    spent,
)  # fmt: skip
from tests.chat.batch_fixtures import client, hasty, journal
from tests.endpoint.fixtures import Endpoint

__all__ = ["client", "hasty", "journal"]

OLD = 3 * 86_400.0  # seconds: three days


def test_who_leaves_while_a_batch_waits_leaves_at_once_and_finds_it_days_later(
    endpoint: Endpoint, journal: str, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.script({"batch": {"validating": 0, "in_progress": 10_000}})
    left = []

    async def leave(engine: Engine) -> None:
        await asyncio.sleep(0.5)
        left.append(time.monotonic())
        engine.stop(Fault("final", "interrupted"))

    tasks = []
    asked = asyncio.run(asking(
        journal, settings(endpoint.url, batch_poll_seconds=30), range(6),
        lambda engine: tasks.append(asyncio.create_task(leave(engine))),
    ))  # fmt: skip
    assert time.monotonic() - left[0] < 0.3
    assert asked.count("unasked interrupted") == 6
    assert "6 questions stay at the provider, which goes on with them (batches: 1)" in caplog.text
    aged(journal, OLD)
    endpoint.script({})
    found = run(journal, settings(endpoint.url), range(8))
    assert found.count("accepted") == 8
    assert begun(endpoint) == 2  # the old one, and one with what is new
    assert endpoint.summary()["keys_billed_twice"] == []
    assert spent(journal) == billed(endpoint)


def test_an_upload_under_way_does_not_keep_who_leaves(endpoint: Endpoint, journal: str) -> None:
    endpoint.script({"rules": [{"fault": "hang", "route": "files"}]})

    async def leave(engine: Engine) -> None:
        await asyncio.sleep(0.3)
        engine.stop(Fault("final", "interrupted"))

    tasks = []
    start = time.monotonic()
    chosen = settings(endpoint.url, timeout=60)
    asyncio.run(asking(
        journal, chosen, range(6), lambda engine: tasks.append(asyncio.create_task(leave(engine)))
    ))  # fmt: skip
    assert time.monotonic() - start < 2
    endpoint.script({})
    asked = run(journal, settings(endpoint.url), range(6))
    assert asked.count("accepted") == 6
    assert spent(journal) == billed(endpoint)


def test_two_at_a_time_ask_everything_once(endpoint: Endpoint, journal: str) -> None:
    async def both() -> list[Asked]:
        chosen = settings(endpoint.url, batch_size=8)
        return await asyncio.gather(
            asking(journal, chosen, range(30)), asking(journal, chosen, range(29, -1, -1))
        )

    first, second = asyncio.run(both())
    assert first.count("accepted") == second.count("accepted") == 30
    assert endpoint.summary()["keys_billed_twice"] == []
    assert endpoint.summary()["billed"] == 30
    assert spent(journal) == billed(endpoint)


def test_whoever_asks_no_longer_in_batches_still_waits_for_those_there_are(
    endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"rules": [{"fault": "wrong_key", "route": "batches", "start": 2}]})
    run(journal, settings(endpoint.url), range(6))
    endpoint.script({})
    chosen = settings(endpoint.url, batch=False)
    asked = run(journal, chosen, range(10))
    assert asked.count("accepted") == 10
    assert endpoint.summary()["routes"]["chat"] == 4
    assert endpoint.summary()["billed"] == 10
    assert not isinstance(run(journal, chosen, range(10)).engine, BatchEngine)


def asleep(
    patch: pytest.MonkeyPatch, owner: type, method: str, chosen: ChatSettings, journal: str
) -> tuple[Asked, Asked]:
    """Let a process sleep before a call while another one asks the same; return both."""
    call = getattr(owner, method)

    async def scene() -> tuple[Asked, Asked]:
        fell_asleep, awake = asyncio.Event(), asyncio.Event()

        async def sleeping(*given: Any) -> Any:
            patch.setattr(owner, method, call)
            fell_asleep.set()
            await awake.wait()
            return await call(*given)

        patch.setattr(owner, method, sleeping)
        sleeper = asyncio.create_task(asking(journal, chosen, range(5)))
        await fell_asleep.wait()
        rows(journal, "update runner set expires = 0 where name like '%-keeper'")
        other = await asking(journal, chosen, range(5))
        awake.set()
        return await sleeper, other

    return asyncio.run(scene())


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("owner", "method"), [(Provider, "upload"), (Keeper, "_begin")])
def test_a_process_that_slept_before_a_batch_began_leaves_it_to_who_has_taken_over(
    owner: type, method: str, endpoint: Endpoint, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper, other = asleep(monkeypatch, owner, method, settings(endpoint.url), journal)
    assert sleeper.results == other.results
    assert sleeper.count("accepted") == 5
    assert begun(endpoint) == 1
    assert spent(journal) == billed(endpoint)


@pytest.mark.usefixtures("hasty")
def test_a_batch_that_begins_after_its_questions_were_set_free_is_cancelled(
    endpoint: Endpoint, journal: str, monkeypatch: pytest.MonkeyPatch, client: openai.OpenAI
) -> None:
    sleeper, other = asleep(monkeypatch, Provider, "begin", settings(endpoint.url), journal)
    assert sleeper.results == other.results
    assert sleeper.count("accepted") == 5
    assert [batch.status for batch in client.batches.list()] == ["cancelling", "completed"]
    assert endpoint.summary()["billed"] == 5
    assert spent(journal) == billed(endpoint)


@pytest.mark.usefixtures("hasty")
def test_who_has_another_key_does_not_set_free_what_perhaps_began_under_the_first(
    endpoint: Endpoint, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_KEY", "sk-first")
    monkeypatch.setenv("SECOND_KEY", "sk-second")
    rules = [{"fault": "reset", "route": "batches", "requests": [1]},
             {"fault": "wrong_key", "route": "batches", "requests": [2]}]  # fmt: skip
    endpoint.script({"rules": rules})
    run(journal, settings(endpoint.url, key="FIRST_KEY"), range(3))
    asked = run(journal, settings(endpoint.url, key="SECOND_KEY"), range(3))
    assert set(asked.states.values()) == {"uncertain perhaps_sent"}
    assert begun(endpoint) == 0
    again = run(journal, settings(endpoint.url, key="SECOND_KEY"), range(3), resend=True)
    assert again.count("accepted") == 3


def pairs(count: int) -> list[tuple[str, str]]:
    return [(f"open the file {number}", f"close the file {number}") for number in range(count)]


def annotator(url: str, journal: str, **more: Any) -> ChatAnnotator:
    chosen = settings(url, orders=1, price_input=1.0, price_output=3.0, **more)
    return ChatAnnotator("gpt", chosen, Terms(journal, "job", Budget(), resend=False))


def test_an_annotator_is_interrupted_and_the_same_command_takes_the_answers(
    endpoint: Endpoint, journal: str, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.script({"batch": {"in_progress": 10_000}})
    chosen = annotator(endpoint.url, journal, batch_least=5)

    def interrupt() -> None:
        while not begun(endpoint):
            time.sleep(0.05)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        chosen.annotate(pairs(20))
    thread.join()
    assert "19 questions stay at the provider" in caplog.text
    aged(journal, OLD)
    endpoint.script({})
    opinions = chosen.annotate(pairs(20))
    assert not opinions.partial
    assert (len(opinions.scores), opinions.reused) == (20, 1)
    assert all(0 <= score <= 5 for score in opinions.scores)
    assert endpoint.summary()["routes"]["chat"] == 1  # with which they agreed on a form
    assert begun(endpoint) == 1
    assert endpoint.summary()["pairs_billed_twice"] == []
    again = annotator(endpoint.url, journal, batch=False).annotate(pairs(20))
    assert (again.scores, again.reused) == (opinions.scores, 20)
