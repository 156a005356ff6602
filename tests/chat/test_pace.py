"""How many requests at a time and when: simulated endpoints, and a clock of their own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chat.pace import (
    BREAK_AFTER,
    CUT,
    DOWN_AFTER,
    DOWN_AFTER_NEVER_UP,
    GIVE_UP_CUTS,
    GIVE_UP_SECONDS,
    JITTER,
    LONGEST_BREAK,
    LONGEST_PAUSE,
    START,
    Limits,
    Meter,
    Pace,
)  # fmt: skip
from tests.chat.clock import now, run


def pace(concurrency: int = 64, **limits: int) -> Pace:
    return Pace(Limits(concurrency, **limits), now)


async def serve(
    one: Pace, count: int, answer: Callable[[float], bool] = lambda _: True, workers: int = 64,
    seconds: float = 1.0,
) -> list[tuple[float, int]]:  # fmt: skip
    """Send ``count`` requests; return when each was sent and how many were then on their way.

    ``answer`` says by the moment of sending whether a request is answered or told "too many".
    """
    left, sends = deque(range(count)), []
    flying = 0

    async def work() -> None:
        nonlocal flying
        while left:
            left.popleft()
            async with one.slot(1):
                flying += 1
                start = now()
                sends.append((start, flying))
                good = answer(start)
                await asyncio.sleep(seconds if good else 0.01)
                flying -= 1
                if good:
                    one.succeeded()
                else:
                    one.throttled(start, None)

    await asyncio.gather(*(work() for _ in range(workers)))
    return sends


def test_the_number_doubles_in_each_round_up_to_the_most() -> None:
    async def most_of_each_round() -> list[int]:
        sends = await serve(pace(), 600)
        rounds = [max(flying for start, flying in sends if int(start) == turn) for turn in range(6)]
        return rounds

    assert START == 16
    assert run(most_of_each_round()) == [16, 32, 64, 64, 64, 64]


@given(st.integers(1, 200))
def test_never_more_are_on_their_way_than_allowed(concurrency: int) -> None:
    async def most() -> int:
        sends = await serve(pace(concurrency), 500, workers=200)
        return max(flying for _, flying in sends)

    assert run(most()) <= concurrency


def test_the_number_does_not_grow_where_it_is_not_what_holds_back() -> None:
    async def limit() -> float:
        one = pace()
        await serve(one, 400, workers=5)
        return one.limit

    assert run(limit()) == START


def test_a_round_that_is_told_too_many_is_cut_once() -> None:
    async def limits() -> list[float]:
        one = pace()
        await serve(one, 300)
        found = [one.limit]
        start = now()
        for _ in range(64):
            one.throttled(start, 1.0)
            found.append(one.limit)
        await one.open()
        one.throttled(now(), 1.0)
        return [*found[:2], found[-1], one.limit]

    before, once, all_of_them, later = run(limits())
    assert (before, once, all_of_them) == (64, 64 * CUT, 64 * CUT)
    assert later == pytest.approx(64 * CUT * CUT)


def test_after_a_cut_it_grows_by_one_a_round() -> None:
    async def growth() -> float:
        one = pace()
        await serve(one, 300)
        one.throttled(now(), 0.0)
        before = one.limit
        await serve(one, int(5 * before))
        return one.limit - before

    assert 3.5 <= run(growth()) <= 5


def test_it_settles_near_what_the_endpoint_takes() -> None:
    """An endpoint takes 20 at a time and refuses more."""

    async def flow() -> tuple[float, int]:
        one, flying, refused = pace(), 0, 0

        async def work() -> None:
            nonlocal flying, refused
            while now() < 300:
                async with one.slot(1):
                    start = now()
                    if flying >= 20:
                        refused += 1
                        one.throttled(start, None)
                        continue
                    flying += 1
                    await asyncio.sleep(1.0)
                    flying -= 1
                    one.succeeded()
                    done.append(start)

        done: list[float] = []
        await asyncio.gather(*(work() for _ in range(64)))
        return len(done) / 300 / 20, refused

    share, refused = run(flow())
    assert share > 0.8
    assert refused < 120


@pytest.mark.parametrize("wait", [0.02, 1.0, 90.0, 3_600.0])
def test_nothing_is_sent_before_the_wait_is_over_and_soon_after_it(wait: float) -> None:
    async def sent() -> list[float]:
        one = pace()
        await serve(one, 300)
        asked = now()
        one.throttled(asked, wait)
        return [start - asked for start, _ in await serve(one, 200)]

    moments = run(sent())
    assert min(moments) >= wait
    assert min(moments) <= wait * (1 + JITTER) + 0.01


def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    async def opened() -> float:
        one = pace()
        one.hold(60.0)
        one.hold(1.0)
        await one.open()
        return now()

    assert run(opened()) >= 60


def test_a_wait_that_is_asked_for_while_waiting_counts() -> None:
    async def opened() -> float:
        one = pace()
        one.hold(5.0)
        asyncio.get_running_loop().call_later(4.0, one.hold, 10.0)
        async with one.slot(1):
            return now()

    assert run(opened()) >= 14


def test_an_endpoint_that_only_says_too_many_is_asked_ever_less_often_and_then_given_up() -> None:
    async def moments() -> list[float]:
        one = pace()
        sends = []
        while True:
            async with one.slot(1):
                sends.append(now())
                if one.throttled(now(), None):
                    return sends

    sends = run(moments())
    pauses = [later - before for before, later in pairwise(sends)]
    assert all(later >= before * 0.9 for before, later in pairwise(pauses))
    assert max(pauses) <= LONGEST_PAUSE * (1 + JITTER)
    assert GIVE_UP_SECONDS <= sends[-1] - sends[0] <= GIVE_UP_SECONDS + 2 * LONGEST_PAUSE
    assert len(sends) < 40


def test_long_waits_are_waited_for_several_times_before_an_endpoint_is_given_up() -> None:
    async def count() -> int:
        one, sends = pace(), 1
        while not one.throttled(now(), 3_600.0):
            await one.open()
            sends += 1
        return sends

    assert run(count()) == GIVE_UP_CUTS


def test_one_answer_begins_the_count_anew() -> None:
    async def given_up() -> bool:
        one = pace()
        for turn in range(200):
            if one.throttled(now(), 30.0):
                return True
            await one.open()
            if turn % 5 == 4:
                one.succeeded()
        return False

    assert run(given_up()) is False


def test_failures_in_a_row_open_the_circuit_and_one_request_tries_it() -> None:
    async def flow() -> tuple[list[float], list[int]]:
        one = pace()
        one.succeeded()
        for _ in range(BREAK_AFTER):
            assert one.failed(now()) is False
        sends = []
        while True:
            async with one.slot(1):
                sends.append(now())
                flying.append(one.in_flight)
                if one.failed(now()):
                    return sends, flying

    flying: list[int] = []
    sends, flying = run(flow())
    assert set(flying) == {1}
    assert len(sends) == DOWN_AFTER
    assert sends[0] >= 1.0
    assert sends[-1] <= 2 * (1 + 2 + 4 + 8 + 16 + LONGEST_BREAK)


def test_one_that_never_answered_is_down_sooner() -> None:
    async def breaks() -> int:
        one = pace()
        count = 0
        while not one.failed(now()):
            count += 1
            await one.open()
        return count

    assert run(breaks()) == BREAK_AFTER + DOWN_AFTER_NEVER_UP - 1


def test_an_answer_closes_the_circuit() -> None:
    async def flow() -> tuple[float, bool]:
        one = pace()
        for _ in range(BREAK_AFTER):
            one.failed(now())
        async with one.slot(1):
            one.succeeded()
        sends = await serve(one, 300)
        return one.limit, any(one.failed(start) for start, _ in sends[: BREAK_AFTER - 1])

    assert run(flow()) == (64.0, False)


def test_failures_of_requests_from_before_the_break_do_not_lengthen_it() -> None:
    async def held() -> float:
        one = pace()
        one.succeeded()
        early = now()
        await asyncio.sleep(0.1)
        for _ in range(60):
            one.failed(early if one.limit == 1.0 else now())
        return one.not_before - now()

    assert run(held()) <= 1.0 * (1 + JITTER)


@pytest.mark.parametrize("kind", ["requests_per_minute", "tokens_per_minute"])
@pytest.mark.parametrize("limit", [1, 7, 60, 600])
def test_no_minute_has_more_than_its_limit(kind: str, limit: int) -> None:
    async def sends() -> list[float]:
        one = pace(**{kind: limit})
        return [start for start, _ in await serve(one, limit * 4, workers=8, seconds=0.001)]

    moments = run(sends())
    for start in moments:
        assert sum(start <= moment < start + 60 for moment in moments) <= limit
    assert moments[-1] <= 4 * 61 + 1  # and not much less


def test_lateness_is_caught_up_with_and_idleness_is_not() -> None:
    time = 0.0
    meter = Meter(61, lambda: time)
    assert [meter.take(1) for _ in range(3)] == [0, 1, 2]
    time = 3.5  # half a second late
    assert [meter.take(1) for _ in range(2)] == [3, 4]
    time = 100.0
    assert [meter.take(1) for _ in range(2)] == [99, 100]


def test_tokens_that_were_not_used_can_be_used_by_others() -> None:
    async def done() -> list[float]:
        found = []
        for spare in (0, 900):
            one = pace(1, tokens_per_minute=6_100)
            start = now()
            for _ in range(10):
                async with one.slot(1_000):
                    one.unused(spare)
            found.append(now() - start)
        return found

    slow, fast = run(done())
    assert slow == pytest.approx(90, abs=1)
    assert fast == pytest.approx(9, abs=1)


def test_without_limits_nothing_waits() -> None:
    async def done() -> float:
        await serve(pace(8), 80, workers=8, seconds=0.0)
        return now()

    assert run(done()) == 0


def test_stopping_ends_every_wait() -> None:
    async def done() -> float:
        one = pace(requests_per_minute=1)
        one.hold(3_600.0)
        asyncio.get_running_loop().call_later(2.0, one.stop)
        await asyncio.gather(*(serve(one, 30), one.pause(600.0), one.until(700.0)))
        return now()

    assert run(done()) < 10


def test_a_worker_that_is_cancelled_while_it_waits_takes_no_slot_with_it() -> None:
    async def done() -> int:
        one = pace(1)

        async def hold() -> None:
            async with one.slot(1):
                await asyncio.sleep(1.0)

        tasks = [asyncio.create_task(hold()) for _ in range(5)]
        await asyncio.sleep(0.5)
        for task in tasks[1:4]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return one.in_flight

    assert run(done()) == 0


def test_a_slot_goes_on_only_where_nothing_speaks_against_it() -> None:
    async def found() -> list[bool]:
        one, metered, cut = pace(1), pace(1, requests_per_minute=600), pace(8)
        async with one.slot(1), metered.slot(1):
            free = one.goes_on
            waiting = asyncio.create_task(serve(one, 1))
            await asyncio.sleep(0.1)
            found = [free, one.goes_on, metered.goes_on]
        await waiting
        one.hold(1.0)
        async with cut.slot(1), cut.slot(1):
            before = cut.goes_on
            cut.limit = 1.0
            return [*found, one.goes_on, before, cut.goes_on]

    assert run(found()) == [True, False, False, False, True, False]
