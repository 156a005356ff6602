"""Rules, rates, limits and the waits that a reply asks for."""

from __future__ import annotations

import json
import socket
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.endpoint.fixtures import Endpoint
from tests.endpoint.limits import Gate
from tests.endpoint.script import Limits
from tests.endpoint.talking import (
    answers,
    numbered,
    question,
    request,
    status,
    statuses,
    talk,
    until_under_way,
)


def test_rules_say_which_request_meets_a_fault(endpoint: Endpoint) -> None:
    one, two = numbered(1), numbered(2)
    endpoint.script({"rules": [{"fault": "server_error", "requests": [2, 4]}]})
    assert statuses(endpoint.port, one, one, one, one, one) == [200, 500, 200, 500, 200]
    endpoint.script({"rules": [{"fault": "server_error", "times": 2}]})
    assert statuses(endpoint.port, one, two, one) == [500, 500, 200]
    endpoint.script({"rules": [{"fault": "server_error", "each": 1}]})
    assert statuses(endpoint.port, one, two, one, two) == [500, 500, 200, 200]
    endpoint.script({"rules": [{"fault": "server_error", "start": 3}]})
    assert statuses(endpoint.port, one, one, one, one) == [200, 200, 500, 500]
    endpoint.script({"rules": [{"fault": "server_error", "contains": "text 2"}]})
    assert statuses(endpoint.port, one, two, one, two) == [200, 500, 200, 500]


def test_the_first_rule_that_holds_decides(endpoint: Endpoint) -> None:
    rules = [{"fault": "forbidden", "each": 1}, {"fault": "server_error", "each": 1}]
    endpoint.script({"rules": rules, "rates": {"bad_gateway": 1.0}})
    assert statuses(endpoint.port, question(), question(), question()) == [403, 500, 502]


def test_a_rule_finds_text_however_the_client_writes_it(endpoint: Endpoint) -> None:
    endpoint.script({"rules": [{"fault": "forbidden", "contains": "Größe"}]})
    escaped = json.dumps(question("Größe")).encode()
    plain = json.dumps(question("Größe"), ensure_ascii=False).encode()
    assert escaped != plain
    assert statuses(endpoint.port, escaped, plain, question("Grosse")) == [403, 403, 200]


def test_a_fault_happens_only_to_requests_that_it_is_about(endpoint: Endpoint) -> None:
    endpoint.script({"rules": [{"fault": "no_logprobs_support"}]})
    assert statuses(endpoint.port, question(logprobs=True), question()) == [400, 200]


def test_rates_are_kept_and_do_not_depend_on_the_order(endpoint: Endpoint) -> None:
    script = {"rates": {"server_error": 0.2, "forbidden": 0.1}, "seed": 5}
    endpoint.script(script)
    found = [(n, status(endpoint.port, numbered(n))) for n in range(200)]
    endpoint.script(script)
    again = [(n, status(endpoint.port, numbered(n))) for n in reversed(range(200))]
    assert sorted(again) == found
    met = [code for _, code in found]
    assert 20 <= met.count(500) <= 60
    assert 5 <= met.count(403) <= 35
    endpoint.script(script | {"seed": 6})
    assert [(n, status(endpoint.port, numbered(n))) for n in range(200)] != found


def test_a_question_asked_again_draws_again(endpoint: Endpoint) -> None:
    endpoint.script({"rates": {"server_error": 0.5}})
    found = [status(endpoint.port, question()) for _ in range(40)]
    assert 8 <= found.count(500) <= 32


@pytest.mark.parametrize(("script", "told"), [
    ({"rule": []}, "unknown rule"),
    ({"rules": [{"fault": "explode"}]}, "no fault 'explode'"),
    ({"rules": [{"fault": "hang", "time": 1}]}, "unknown time"),
    ({"rules": [{"fault": "hang", "retry_after": 1}]}, "unknown retry_after"),
    ({"rules": [{"fault": "hang", "route": "batch_line"}]}, "cannot happen"),
    ({"rules": [{"fault": "refusal", "route": "models"}]}, "cannot happen"),
    ({"rates": {"hang": 0.7, "reset": 0.4}}, "more than 1"),
    ({"model": {"grade": []}}, "unknown grade"),
    ([], "not a JSON object"),
])  # fmt: skip
def test_a_script_that_cannot_be_followed_is_refused_and_the_old_one_stays(
    script: Any, told: str, endpoint: Endpoint
) -> None:
    endpoint.script({"rules": [{"fault": "forbidden"}]})
    with pytest.raises(ValueError, match=told):
        endpoint.script(script)
    assert status(endpoint.port, question()) == 403


def test_a_limit_on_requests_is_enforced_and_told(endpoint: Endpoint) -> None:
    endpoint.script({"limits": {"requests": 3, "window": 1.5}})
    said = request(question(), headers="connection: close\r\n")
    heard = [talk(endpoint.port, said, 10) for _ in range(4)]
    assert [one.status for one in heard] == [200, 200, 200, 429]
    for left, one in zip((2, 1, 0), heard, strict=False):
        assert f"x-ratelimit-remaining-requests: {left}\r\n" in one.head
    row = next(row for row in heard[3].head.split("\r\n") if row.startswith("retry-after: "))
    time.sleep(float(row.split()[1]))
    assert status(endpoint.port, question()) == 200
    counts = endpoint.summary()
    assert counts["answered"] == {"good": 4, "over_limit": 1}
    assert counts["early_sends"] == 0


def test_a_limit_on_tokens_counts_what_may_be_answered(endpoint: Endpoint) -> None:
    endpoint.script({"limits": {"tokens": 1000, "window": 60}})
    bodies = [question(max_tokens=400), question(max_tokens=400), question(max_tokens=400)]
    assert statuses(endpoint.port, *bodies) == [200, 200, 429]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=12),
    st.integers(1, 5),
    st.integers(9, 20),
)
def test_the_wait_that_a_limit_tells_is_the_shortest(
    asked: list[tuple[int, int]], requests: int, tokens: int
) -> None:
    def gate() -> Gate:
        made = Gate(Limits(requests=requests, tokens=tokens, window=64))
        for moment, size in sorted(asked):
            made.refusal(moment, size, 1)
        return made

    now, size = 31, 9
    late = gate().refusal(now, size, 1)
    if late is not None:
        assert gate().refusal(now + late.wait - 1, size, 1) is not None
        assert gate().refusal(now + late.wait, size, 1) is None


def test_a_date_is_never_before_the_time_asked_for(endpoint: Endpoint) -> None:
    endpoint.script({"rules": [{"fault": "rate_limited_date"}]})
    for _ in range(4):
        began = time.time()
        row = next(
            row for row in talk(endpoint.port, request(question())).head.split("\r\n")
            if row.startswith("retry-after: ")
        )  # fmt: skip
        assert parsedate_to_datetime(row.partition(": ")[2]).timestamp() >= began + 1
        time.sleep(0.2)


def test_a_limit_on_concurrency_is_enforced(endpoint: Endpoint) -> None:
    endpoint.script({"limits": {"concurrency": 1}, "latency": 0.5})
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as plug:
        plug.sendall(request(question()))
        until_under_way(endpoint, 1)
        assert status(endpoint.port, question()) == 429
        answers(plug, 1)
    assert status(endpoint.port, question()) == 200


WAITS = {  # what a fault makes of half a second
    "rate_limited": 1.0,
    "rate_limited_float": 0.5,
    "rate_limited_ms": 0.5,
    "rate_limited_date": 2.0,
    "rate_limited_reset": 0.5,
    "unavailable_retry": 1.0,
}


@pytest.mark.parametrize("fault", WAITS)
def test_requests_that_come_too_early_are_counted(fault: str, endpoint: Endpoint) -> None:
    endpoint.script({"rules": [{"fault": fault, "times": 1, "retry_after": 0.5}], "grace": 0.0})
    assert status(endpoint.port, question()) in (429, 503)
    assert status(endpoint.port, question()) == 200
    time.sleep(WAITS[fault] + 0.05)
    assert status(endpoint.port, question()) == 200
    assert [entry["early"] for entry in endpoint.ledger()] == [False, True, False]
    assert endpoint.summary()["early_sends"] == 1


def test_requests_that_cross_the_reply_are_not_early(endpoint: Endpoint) -> None:
    endpoint.script({"rules": [{"fault": "rate_limited_long", "times": 1}], "grace": 30})
    statuses(endpoint.port, question(), question())
    assert endpoint.summary()["early_sends"] == 0
