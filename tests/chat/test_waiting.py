"""How long an endpoint asks to wait: every form, never shorter than asked, and no form is none."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chat.waiting import duration, wait_asked, wait_until_allowed

NOW = datetime(2026, 11, 24, 8, 0, 0, tzinfo=UTC).timestamp()
DATES = {
    "Tue, 24 Nov 2026 08:01:30 GMT": 90.0,  # the form of today
    "Tuesday, 24-Nov-26 08:01:30 GMT": 90.0,  # RFC 850
    "Tue Nov 24 08:01:30 2026": 90.0,  # asctime
    "Tue, 24 Nov 2026 09:01:30 +0100": 90.0,
    "Tue, 24 Nov 2026 07:59:00 GMT": 0.0,  # past
}
DURATIONS = {
    "0": 0.0, "7": 7.0, " 7 ": 7.0, "1.5": 1.5, "250ms": 0.25, "20s": 20.0, "6m0s": 360.0,
    "1h0m0s": 3_600.0, "1m30.5s": 90.5, "2d": 172_800.0, "1H": 3_600.0,
}  # fmt: skip
GARBAGE = [
    "", " ", "soon", "-1", "-0.5", "+3", "1,5", "1e3", "0x10", "nan", "inf", "1 2", "5 s", "s",
    "1s garbage", "1w", "٣", "²", "Tue, 99 Nov 2026 08:00:00 GMT", "Tue", "2026-11-24T08:00:00Z",
    "1s2", "\x00", "true", "None", "1.2.3", ".5",
]  # fmt: skip
seconds = st.floats(0, 100_000, allow_nan=False).map(lambda value: round(value, 3))


@pytest.mark.parametrize(("text", "wait"), DURATIONS.items())
def test_a_number_or_a_span_of_time_is_read(text: str, wait: float) -> None:
    assert duration(text) == pytest.approx(wait)
    assert wait_asked({"retry-after": text}, NOW) == pytest.approx(wait)


@pytest.mark.parametrize(("text", "wait"), DATES.items())
def test_every_form_of_an_http_date_is_read(text: str, wait: float) -> None:
    assert wait_asked({"retry-after": text}, NOW) == wait


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_asks_for_nothing(text: str) -> None:
    assert duration(text) is None
    assert wait_asked({"retry-after": text}, NOW) is None
    assert wait_asked({"retry-after-ms": text}, NOW) is None
    reset = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": text}
    assert wait_until_allowed(reset) is None


def test_no_header_asks_for_nothing() -> None:
    assert wait_asked({}, NOW) is None
    assert wait_until_allowed({}) is None


def test_a_date_is_held_against_the_clock_of_who_sent_it() -> None:
    headers = {"retry-after": formatdate(NOW + 30, usegmt=True)}
    assert wait_asked(headers, NOW - 500) == 530
    fast = headers | {"date": formatdate(NOW, usegmt=True)}
    assert wait_asked(fast, NOW - 500) == 30
    assert wait_asked(headers | {"date": "yesterday"}, NOW) == 30


def test_milliseconds_and_seconds_together_mean_the_longer() -> None:
    assert wait_asked({"retry-after-ms": "1200", "retry-after": "2"}, NOW) == 2
    assert wait_asked({"retry-after-ms": "1200", "retry-after": "1"}, NOW) == 1.2
    assert wait_asked({"retry-after-ms": "soon", "retry-after": "2"}, NOW) == 2
    assert wait_asked({"retry-after-ms": "1200", "retry-after": "soon"}, NOW) == 1.2


@given(seconds, st.sampled_from(["seconds", "decimal", "ms", "date", "span"]))
def test_what_is_asked_for_is_never_made_shorter(wait: float, form: str) -> None:
    rounded = math.ceil(wait)
    headers = {
        "seconds": {"retry-after": str(rounded)},
        "decimal": {"retry-after": f"{wait:.3f}"},
        "ms": {"retry-after-ms": f"{wait * 1000:.0f}"},
        "date": {"retry-after": formatdate(math.ceil(NOW + wait), usegmt=True)},
        "span": {"retry-after": f"{rounded // 60}m{rounded % 60}s"},
    }[form]
    found = wait_asked(headers, NOW)
    assert found is not None
    assert wait - 1e-6 <= found <= wait + 1.001


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda data: data.decode("latin-1")))
def test_any_header_at_all_is_seconds_or_nothing(text: str) -> None:
    headers = {
        "retry-after": text, "retry-after-ms": text, "date": text,
        "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": text,
    }  # fmt: skip
    for found in (wait_asked(headers, NOW), wait_until_allowed(headers)):
        assert found is None or found >= 0


@given(seconds, seconds)
def test_of_two_limits_that_are_used_up_the_later_counts(requests: float, tokens: float) -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": f"{requests}s",
        "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": f"{tokens}s",
    }  # fmt: skip
    assert wait_until_allowed(headers) == max(requests, tokens)
    headers["x-ratelimit-remaining-tokens"] = "17"
    assert wait_until_allowed(headers) == requests
    headers["x-ratelimit-remaining-requests"] = "1"
    assert wait_until_allowed(headers) is None
