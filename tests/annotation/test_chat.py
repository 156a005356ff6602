"""The chat annotator at the fault-injecting endpoint: its scores, and what becomes of failures."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from pipeline import progress
from pipeline.annotation.asking import ADVICE, identity
from pipeline.annotation.chat import ChatAnnotator
from pipeline.annotation.opinions import Opinions, Terms, TextPair
from pipeline.annotation.questions import ordered
from pipeline.chat import health, pace, trips
from pipeline.errors import ConfigError, EndpointError
from pipeline.journal.database import connect
from pipeline.journal.entries import Budget
from pipeline.sections import ChatSettings
from tests.chat.asking import closed_port, deaf_port
from tests.endpoint.fixtures import CHECKOUT, Endpoint, endpoint, endpoint_process, start
from tests.endpoint.model import GRADES, expected

__all__ = ["endpoint", "endpoint_process"]

WORDS = ["open", "close", "read", "file", "socket", "byte", "list", "sort", "number", "size",
         "return", "path", "name", "thread", "lock"]  # fmt: skip


def drawn(count: int, seed: int = 1) -> list[TextPair]:
    """Return pairs of every similarity."""
    draw, pairs = random.Random(seed), []
    for number in range(count):
        words = draw.sample(WORDS, 6)
        other = words[: draw.randint(0, 5)]
        other += draw.sample([word for word in WORDS if word not in words], 6 - len(other))
        pairs.append((" ".join([*words, f"n{number}"]), " ".join([*other, f"n{number}"])))
    return pairs


PAIRS = drawn(12)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trips, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(pace, "FIRST_BREAK", 0.05)


def settings(url: str, **more: Any) -> ChatSettings:
    values = {"base_url": url, "model": "m", "key": "", "timeout": 5.0, "concurrency": 8,
              "price_input": 1.0, "price_output": 2.0}  # fmt: skip
    return ChatSettings.model_validate(values | more)


class Asker:
    """Annotates pairs at one endpoint, with one journal."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint = endpoint
        self.terms = Terms(str(folder / "requests.sqlite"), "job")

    def __call__(self, pairs: Sequence[TextPair] = PAIRS, **more: Any) -> Opinions:
        more.setdefault("base_url", self.endpoint.url)
        return ChatAnnotator("gpt", settings(more.pop("base_url"), **more), self.terms).annotate(
            pairs
        )

    @property
    def posts(self) -> int:
        return int(self.endpoint.summary()["asked"])

    def bodies(self) -> Iterator[str]:
        """Give the raw answers in the journal."""
        opened = connect(self.terms.journal)
        yield from (str(row[0]) for row in opened.execute("select reply from attempt"))
        opened.close()


@pytest.fixture
def ask(endpoint: Endpoint, tmp_path: Path) -> Asker:
    return Asker(endpoint, tmp_path)


def soft(pair: TextPair, order: int, bias: float = 0.0) -> float:
    """Return the score that the endpoint's model amounts to."""
    return expected(ordered(pair, order), GRADES, bias / 2) / 5


# What a score is


def test_a_score_is_the_expected_grade_by_the_probabilities_of_both_orders(ask: Asker) -> None:
    said = ask()
    witness = [fmean(soft(pair, order) for order in (0, 1)) for pair in PAIRS]
    assert said.scores == pytest.approx(witness, abs=1e-6)
    assert all(value is not None and 0 < value < 1 for value in said.confidences)
    assert max(said.scores) - min(said.scores) > 0.5
    assert ask.posts == 2 * len(PAIRS)
    assert set(said.reasons) == {""}
    assert (said.partial, said.reused) == ("", 0)


def test_one_order_asks_half_as_much(ask: Asker) -> None:
    said = ask(orders=1)
    assert said.scores == pytest.approx([soft(pair, 0) for pair in PAIRS], abs=1e-6)
    assert ask.posts == len(PAIRS)
    assert said.summary["order"] == {"pairs": 0}


def test_the_bias_of_the_order_is_reported_and_cancels_out(ask: Asker) -> None:
    pairs = drawn(40)
    ask.endpoint.script({"model": {"order_bias": 1.5}})
    said = ask(pairs)
    differences = [soft(pair, 0, 1.5) - soft(pair, 1, 1.5) for pair in pairs]
    order = said.summary["order"]
    assert order["pairs"] == 40
    assert order["bias"] == pytest.approx(fmean(differences), abs=1e-6)
    assert order["difference"] == pytest.approx(fmean(map(abs, differences)), abs=1e-6)
    assert order["low"] < order["bias"] < order["high"]
    assert abs(order["bias"]) > 0.1
    assert order["low"] > 0 or order["high"] < 0
    plain = [fmean(soft(pair, order) for order in (0, 1)) for pair in pairs]
    assert fmean(map(abs, (a - b for a, b in zip(said.scores, plain, strict=True)))) < 0.03


def test_an_endpoint_without_bias_has_none_by_report(ask: Asker) -> None:
    order = ask(drawn(40)).summary["order"]
    assert (order["bias"], order["difference"]) == (pytest.approx(0), pytest.approx(0))


def test_without_probabilities_samples_are_averaged(ask: Asker) -> None:
    ask.endpoint.script({"model": {"logprobs": False}})
    pairs = drawn(30)
    said = ask(pairs, samples=8, temperature=1.0)
    assert ask.posts == 2 * 8 * len(pairs)
    grades = [score * 5 * 16 for score in said.scores]
    assert all(grade == pytest.approx(round(grade)) for grade in grades)
    assert any(round(grade) % 16 for grade in grades)  # not all samples are the same
    witness = [fmean(soft(pair, order) for order in (0, 1)) for pair in pairs]
    off = [abs(score - other) for score, other in zip(said.scores, witness, strict=True)]
    assert fmean(off) < 0.05
    assert said.confidences == [None] * len(pairs)


@pytest.mark.parametrize(
    ("prompt", "orders"),
    [("similarity-digit.v1", 2), ("similarity-zh.v1", 2), ("similarity-verbalised.v1", 2),
     ("relevance.v1", 1), ("duplicate-question.v1", 2), ("same-issue.v1", 2)],
)  # fmt: skip
def test_every_prompt_for_pairs_gives_scores(ask: Asker, prompt: str, orders: int) -> None:
    if prompt == "similarity-verbalised.v1":
        stated = '{"0": 0.1, "1": 0.1, "2": 0.2, "3": 0.3, "4": 0.2, "5": 0.1}'
        ask.endpoint.script({"rules": [{"fault": "scripted", "content": stated}]})
    said = ask(prompt=prompt)
    assert set(said.reasons) == {""}
    assert all(0 <= score <= 1 for score in said.scores)
    assert ask.posts == orders * len(PAIRS)
    if prompt == "similarity-verbalised.v1":
        assert said.scores == pytest.approx([0.54] * len(PAIRS))


def test_a_pair_and_its_mirror_image_share_their_answers(ask: Asker) -> None:
    first = ask()
    second = ask([(b, a) for a, b in PAIRS])
    assert (second.scores, second.reused) == (first.scores, len(PAIRS))
    assert ask.posts == 2 * len(PAIRS)


def test_where_the_texts_play_different_parts_the_mirror_image_is_another_pair(ask: Asker) -> None:
    ask(prompt="relevance.v1")
    assert ask([(b, a) for a, b in PAIRS], prompt="relevance.v1").reused == 0
    assert ask.posts == 2 * len(PAIRS)


def test_the_same_pair_twice_is_asked_once(ask: Asker) -> None:
    pairs = [PAIRS[0], PAIRS[1], PAIRS[0], (PAIRS[0][1], PAIRS[0][0])]
    witness = [fmean(soft(pair, order) for order in (0, 1)) for pair in pairs]
    assert ask(pairs).scores == pytest.approx(witness, abs=1e-6)
    assert ask.posts == 4


def test_no_pairs_ask_nothing(ask: Asker) -> None:
    assert ask([]).scores == []
    assert ask.posts == 0


# What an endpoint cannot do


@pytest.mark.parametrize(
    ("lacks", "tries", "finer"),
    [(["no_schema_support"], 2, True), (["no_logprobs_support"], 1, False),
     (["no_schema_support", "no_logprobs_support"], 3, False)],
)  # fmt: skip
def test_what_an_endpoint_refuses_is_found_out_with_one_question(
    ask: Asker, lacks: list[str], tries: int, *, finer: bool
) -> None:
    ask.endpoint.script({"rules": [{"fault": one} for one in lacks], "model": {"style": "json"}})
    said = ask()
    assert ask.posts == 2 * len(PAIRS) + tries
    assert set(said.reasons) == {""}
    witness = [fmean(soft(pair, order) for order in (0, 1)) for pair in PAIRS]
    assert (said.scores == pytest.approx(witness, abs=1e-6)) == finer
    assert ask().reused == len(PAIRS)


def test_a_first_question_that_fails_for_itself_says_nothing_of_what_an_endpoint_can(
    ask: Asker,
) -> None:
    first = ordered(PAIRS[0], 0)[0].split()[-1]
    rules = [
        {"fault": "context_too_long", "contains": f" {first}\\n"},
        {"fault": "no_schema_support"},
    ]
    ask.endpoint.script({"rules": rules, "model": {"style": "json"}})
    said = ask()
    assert said.reasons == ["too_long"] + [""] * (len(PAIRS) - 1)
    assert ask.posts == 2 * len(PAIRS) + 2


@pytest.mark.parametrize("name", ["bad_request", "server_error", "content_filter", "cut_body"])
def test_a_first_question_that_cannot_be_answered_does_not_end_the_others(
    ask: Asker, name: str
) -> None:
    first = ordered(PAIRS[0], 0)[0].split()[-1]
    ask.endpoint.script({"rules": [{"fault": name, "contains": f" {first}\\n"}]})
    said = ask()
    assert [bool(reason) for reason in said.reasons] == [True] + [False] * (len(PAIRS) - 1)


def test_a_schema_that_must_be_used_is_an_error_where_it_cannot(ask: Asker) -> None:
    ask.endpoint.script({"rules": [{"fault": "no_schema_support"}]})
    with pytest.raises(EndpointError, match=r"does not accept the request: .*'response_format'"):
        ask(structured="yes")
    assert ask.posts < 10


def test_an_endpoint_that_ignores_the_schema_is_read_all_the_same(ask: Asker) -> None:
    for style in ("bare", "json", "fenced"):
        ask.endpoint.script({"model": {"schemas": False, "style": style}})
        said = ask(extra={"user": style})
        witness = [fmean(soft(pair, order) for order in (0, 1)) for pair in PAIRS]
        assert said.scores == pytest.approx(witness, abs=1e-6)


# Second tries


def test_an_answer_that_cannot_be_read_is_repaired_in_one_round(ask: Asker) -> None:
    count = 2 * len(PAIRS)
    ask.endpoint.script({"rules": [{"fault": "no_schema", "times": count}]})
    said = ask()
    assert set(said.reasons) == {""}
    assert ask.posts == 2 * count
    assert ask().reused == len(PAIRS)
    assert ask.posts == 2 * count


def test_what_cannot_be_repaired_is_a_reason_and_not_asked_again(ask: Asker) -> None:
    ask.endpoint.script({"rules": [{"fault": "no_schema", "contains": "n3\\n"}]})
    said = ask()
    assert said.reasons == [""] * 3 + ["not_alone"] + [""] * (len(PAIRS) - 4)
    assert math.isnan(said.scores[3])
    assert said.summary["missing_by_reason"] == {"not_alone": 1}
    assert said.partial == ""
    assert ask.posts == 2 * len(PAIRS) + 2
    assert ask().reasons == said.reasons
    assert ask.posts == 2 * len(PAIRS) + 2


def test_an_answer_that_was_cut_off_gets_a_second_try_of_twice_the_length(ask: Asker) -> None:
    ask.endpoint.script({"rules": [{"fault": "cut_off", "each": 1}]})
    said = ask()
    assert set(said.reasons) == {""}
    assert ask.posts == 4 * len(PAIRS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("refusal", "refused"), ("content_filter", "content_filter"), ("out_of_scale", "out_of_scale"),
     ("empty_content", "empty"), ("reasoning_only", "cut_off"), ("not_a_number", "no_grade")],
)  # fmt: skip
def test_an_answer_without_a_score_is_a_row_with_a_reason(
    ask: Asker, name: str, reason: str
) -> None:
    ask.endpoint.script({"rules": [{"fault": name, "contains": "n5\\n"}]})
    said = ask()
    assert [why for why in said.reasons if why] == [reason]
    assert math.isnan(said.scores[5])
    assert said.confidences[5] is None
    assert said.partial == ""


def test_of_a_pair_with_one_order_answered_that_one_counts(ask: Asker) -> None:
    first, _ = ordered(PAIRS[2], 1)
    ask.endpoint.script({"rules": [{"fault": "refusal", "contains": f"{first}\\n</text1"}]})
    said = ask()
    assert said.scores[2] == pytest.approx(soft(PAIRS[2], 0), abs=1e-6)
    assert said.reasons[2] == ""


# What fails for good, at once, with one message


def failure(ask: Asker, **more: Any) -> str:
    """Return the message of the error that annotating ends with, within seconds."""
    begin = time.monotonic()
    with pytest.raises(EndpointError) as caught:
        ask(drawn(200), **more)
    assert time.monotonic() - begin < 8
    assert caught.value.__cause__ is None
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("chat.gpt at http")
    return message


FATAL = {
    "wrong_key": "it wants a key: set chat.gpt.key to the name of the variable that holds it",
    "no_quota": "its quota or credit is used up: add to it, then run again",
    "forbidden": "the key may not use this model",
    "model_not_found": "it does not know the model 'm': check chat.gpt.model",
    "html_200": "what answers is no chat endpoint: check chat.gpt.base_url",
    "wrong_shape": "what answers is no chat endpoint",
    "empty_body": "what answers is no chat endpoint",
    "bad_request": "it does not accept the request: check chat.gpt",
    "server_error": "it cannot be used now: check that it runs",
    "rate_limited_long": "it asks to wait for more than an hour",
}


@pytest.mark.parametrize("name", FATAL)
def test_what_no_question_can_be_answered_with_ends_in_seconds_and_says_what_to_do(
    ask: Asker, name: str
) -> None:
    more = {"retry_after": 4_000} if name == "rate_limited_long" else {}
    ask.endpoint.script({"rules": [{"fault": name, **more}]})
    assert FATAL[name] in failure(ask)
    assert ask.posts < 30
    ask.endpoint.script({})
    assert ask(drawn(200)).reasons == [""] * 200  # nothing is held against the questions


def test_a_wrong_key_names_the_variable_and_not_the_key(
    ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_KEY", "sk-wrong-1234567890")
    ask.endpoint.script({"rules": [{"fault": "echoed_key"}]})
    message = failure(ask, key="TEAM_KEY")
    assert "it refuses the key: set TEAM_KEY to a valid one" in message
    assert "sk-wrong-1234567890" not in message


def test_a_path_that_is_wrong_says_which_setting_it_is(ask: Asker) -> None:
    url = ask.endpoint.url.removesuffix("/v1")
    assert "check chat.gpt.base_url, which often ends in /v1" in failure(ask, base_url=url)


def test_no_network_is_one_message(ask: Asker) -> None:
    closed = f"http://127.0.0.1:{closed_port()}/v1"
    for url in (closed, "http://no-such-host.invalid/v1"):
        message = failure(ask, base_url=url)
        assert "check that it runs and that there is a network, then run again" in message
    with deaf_port() as port:
        failure(ask, base_url=f"http://127.0.0.1:{port}/v1", timeout=2.0)


def test_every_reason_to_stop_has_its_advice() -> None:
    reasons = {"wrong_key", "no_credit", "forbidden", "not_found", "no_such_model", "moved",
               "wrong_url", "no_chat_endpoint", "bad_request", "endpoint_down", "keeps_refusing",
               "asks_to_wait_long"}  # fmt: skip
    assert reasons <= ADVICE.keys()
    values = {**settings("http://x").model_dump(), "name": "gpt"}
    assert all(advice.format(**values) for advice in ADVICE.values())


def test_what_was_paid_for_before_is_kept(ask: Asker) -> None:
    ask.endpoint.script({"rules": [{"fault": "no_quota", "start": 41}]})
    assert "add to it, then run again; answers are kept" in failure(ask, orders=1)
    ask.endpoint.script({})
    said = ask(drawn(200), orders=1)
    assert said.reused == 40
    summary = ask.endpoint.summary()
    assert (summary["billed"], summary["pairs_billed_twice"]) == (200, [])


# What is missing and may come


def test_one_pair_that_always_fails_is_a_reason_and_the_rest_is_labelled(ask: Asker) -> None:
    ask.endpoint.script({"rules": [{"fault": "server_error", "contains": "n7\\n"}]})
    said = ask()
    assert [why for why in said.reasons if why] == ["server_error"]
    assert said.partial == "1 server_error"
    assert said.summary["missing_by_reason"] == {"server_error": 1}
    assert ask.endpoint.summary()["answered"]["server_error"] <= 2 * trips.MAX_TRIES
    ask.endpoint.script({})
    again = ask()
    assert (again.partial, again.reused) == ("", len(PAIRS) - 1)


def test_a_pair_with_an_order_missing_is_said_to_be_missing(ask: Asker) -> None:
    first, _ = ordered(PAIRS[2], 1)
    ask.endpoint.script({"rules": [{"fault": "cut_body", "contains": f"{first}\\n</text1"}]})
    said = ask()
    assert set(said.reasons) == {""}
    assert said.partial == "1 answer_broken"


def test_what_may_have_been_billed_is_held_and_listed_until_it_may_be_sent_again(
    ask: Asker,
) -> None:
    ask.endpoint.script({"rules": [{"fault": "cut_body", "contains": "n7\\n"}]})
    said = ask()
    assert said.partial == "1 answer_broken"
    ask.endpoint.script({})
    posts = ask.posts
    assert ask().partial == "1 answer_broken"
    assert ask.posts == posts
    ask.terms = ask.terms._replace(resend=True)
    assert ask().partial == ""
    assert ask.posts == posts + 2


@pytest.mark.parametrize("kind", ["usd", "tokens", "requests"])
def test_a_budget_that_ends_leaves_the_labels_that_it_bought(ask: Asker, kind: str) -> None:
    ask.endpoint.script({"latency": [0.001, 0.02]})
    pairs = drawn(300)
    limit = {"usd": 60_000_000, "tokens": 60_000, "requests": 100}[kind]
    ask.terms = ask.terms._replace(budget=Budget(**{kind: limit}))
    said = ask(pairs, concurrency=64, orders=1)
    scored = [math.isfinite(score) for score in said.scores]
    assert 60 < sum(scored) <= 150
    assert all(scored[:40])  # the first come first
    assert {why for why in said.reasons if why} == {"budget_ended"}
    assert said.partial == f"{300 - sum(scored):,} budget_ended"
    billed = [entry for entry in ask.endpoint.ledger() if entry["billed"]]
    prompt = sum(entry["prompt_tokens"] for entry in billed)
    answer = sum(entry["completion_tokens"] for entry in billed)
    spent = {"usd": 1_000 * prompt + 2_000 * answer, "tokens": prompt + answer,
             "requests": ask.posts}  # fmt: skip
    assert spent[kind] <= limit
    assert said.measured["usd"] == pytest.approx(spent["usd"] / 1e9)
    before = ask.posts
    assert ask(pairs, concurrency=64, orders=1).partial == said.partial
    assert ask.posts == before
    ask.terms = ask.terms._replace(budget=Budget())
    assert ask(pairs, orders=1).reused == sum(scored)


def test_a_budget_in_dollars_needs_a_price() -> None:
    terms = Terms("", "job", Budget(usd=1))
    unknown = ChatSettings.model_validate({"model": "gpt-17", "base_url": "https://x.example/v1"})
    with pytest.raises(ConfigError, match=r"knows the price of 'gpt-17': set chat\.gpt\.price_inp"):
        ChatAnnotator("gpt", unknown, terms)
    ChatAnnotator("gpt", unknown, Terms("", "job"))
    ChatAnnotator("gpt", unknown.model_copy(update={"price_input": 1, "price_output": 1}), terms)


def test_a_prompt_that_asks_for_no_score_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"chat\.gpt\.prompt: query-writer\.v1 does not ask"):
        ChatAnnotator("gpt", settings("http://x", prompt="query-writer.v1"), Terms())


# What is shared, and what is not


def test_a_rerun_asks_nothing_and_says_the_same(ask: Asker) -> None:
    ask.endpoint.script({"rules": [{"fault": "refusal", "contains": "n5\\n"}]})
    first, posts = ask(), ask.posts
    second = ask()
    assert ask.posts == posts
    assert second.reused == len(PAIRS)
    assert json.dumps(second.scores) == json.dumps(first.scores)
    assert (second.reasons, second.confidences) == (first.reasons, first.confidences)
    assert (second.measured["usd"], second.measured["prompt_tokens"]) == (0, 0)


def test_more_pairs_and_another_order_ask_only_for_what_is_new(ask: Asker) -> None:
    pairs = drawn(40)
    ask(pairs[:30], orders=1)
    assert ask.posts == 30
    assert ask(pairs, orders=1).reused == 30
    assert ask.posts == 40
    assert ask(pairs, orders=2, samples=1).summary["order"]["pairs"] == 40
    assert ask.posts == 80


OTHER: dict[str, Any] = {
    "model": "n", "prompt": "similarity-digit.v1", "temperature": 0.5, "logprobs": "no",
    "structured": "no", "max_tokens": 99, "extra": {"seed": 1}, "base_url": "http://elsewhere/v1",
}  # fmt: skip
SAME: dict[str, Any] = {
    "concurrency": 64, "timeout": 9.0, "requests_per_minute": 5, "tokens_per_minute": 5,
    "price_input": 9.0, "price_output": 9.0, "key": "OTHER", "base_url": "http://here:81/v2",
    "orders": 1, "samples": 4,
}  # fmt: skip


def test_an_annotator_is_who_decides_the_answer() -> None:
    one = identity(settings("http://here:80/v1"))
    for field, value in OTHER.items():
        assert identity(settings(**{"url": "http://here:80/v1"} | {})) == one
        assert identity(settings("http://here:80/v1").model_copy(update={field: value})) != one
    for field, value in SAME.items():
        assert identity(settings("http://here:80/v1").model_copy(update={field: value})) == one


# What is seen meanwhile


def test_progress_tells_what_was_answered_what_it_costs_and_how_long_it_takes(
    ask: Asker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LOG_EVERY", 0.05)
    caplog.set_level(logging.INFO, "pipeline")
    rules = [{"fault": "rate_limited_float", "retry_after": 1.2, "requests": [2]},
             {"fault": "refusal", "contains": "n1\\n"},
             {"fault": "server_error", "each": 1, "times": 5}]  # fmt: skip
    ask.endpoint.script({"latency": 0.2, "rules": rules})
    said = ask(drawn(80), orders=1)
    lines = [record.getMessage() for record in caplog.records if "questions" in record.getMessage()]
    assert len(lines) >= 2
    shown = re.fullmatch(
        r"gpt: (\d+) of 79 questions, about \d+ s left, ok (\d+), no answer (\d+), tried again "
        r"(\d+), tokens ([\d,]+), cost \$(0\.\d\d) of about \$(0\.\d\d)",
        lines[-1],
    )
    assert shown
    assert int(shown[1]) == int(shown[2]) + int(shown[3]) - 1  # the first one was asked before
    assert (shown[3], shown[4]) == ("1", "6")
    assert said.measured["tried_again"] == 6
    assert said.measured["questions"] == {"accepted": 79, "rejected": 1}
    summary = ask.endpoint.summary()
    assert said.measured["prompt_tokens"] == summary["prompt_tokens"]
    assert said.measured["completion_tokens"] == summary["completion_tokens"]


# Interruptions


def test_it_works_inside_a_running_loop(ask: Asker) -> None:
    async def inside() -> Opinions:
        return ask()

    assert asyncio.run(inside()).reasons == [""] * len(PAIRS)


def test_an_interrupt_waits_for_the_answers_on_their_way_and_keeps_them(ask: Asker) -> None:
    ask.endpoint.script({"latency": 0.3})
    timer = threading.Timer(0.8, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        ask(drawn(500), orders=1)
    summary = ask.endpoint.summary()
    assert summary["gone"] == 0
    kept = sum(reply is not None for reply in ask.bodies())
    assert kept == summary["asked"] < 60
    ask.endpoint.script({})
    assert ask(drawn(500), orders=1).reused == summary["asked"]
    assert ask.endpoint.summary()["pairs_billed_twice"] == []


CHILD = """
import sys, logging
from pipeline.annotation.chat import ChatAnnotator
from pipeline.annotation.opinions import Terms
from tests.annotation.test_chat import drawn, settings
logging.basicConfig(level=logging.INFO)
url, journal = sys.argv[1:]
annotator = ChatAnnotator("gpt", settings(url, orders=1, timeout=60.0), Terms(journal, "job"))
annotator.annotate(drawn(400))
print("done")
"""


def child(ask: Asker) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, ask.endpoint.url, ask.terms.journal]
    return subprocess.Popen(
        command, cwd=CHECKOUT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def until_asked(ask: Asker, count: int) -> None:
    end = time.monotonic() + 30
    while ask.posts < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_ctrl_c_ends_a_process_in_good_order(ask: Asker) -> None:
    ask.endpoint.script({"latency": 0.4})
    with child(ask) as process:
        until_asked(ask, 30)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT or "KeyboardInterrupt" in said
    assert "waiting for the answers on their way; interrupt again to give them up" in said
    summary = ask.endpoint.summary()
    assert summary["gone"] == 0
    assert sum(reply is not None for reply in ask.bodies()) == summary["asked"] < 100
    ask.endpoint.script({})
    assert ask(drawn(400), orders=1).reused == summary["asked"]


def test_a_second_ctrl_c_ends_it_at_once_and_a_rerun_goes_on(ask: Asker) -> None:
    ask.endpoint.script({"rules": [{"fault": "hang", "start": 20}], "latency": 0.01})
    with child(ask) as process:
        until_asked(ask, 24)
        process.send_signal(signal.SIGINT)
        time.sleep(1.0)
        assert process.poll() is None  # it waits
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert time.monotonic() - begin < 3
    assert process.returncode != 0
    ask.endpoint.script({})
    said = ask(drawn(400), orders=1)
    assert said.reused == 19
    held = sum(why == "runner_ended" for why in said.reasons)
    assert 1 <= held <= 8  # at most those that were on their way
    assert said.partial == f"{held} runner_ended"
    assert ask.endpoint.summary()["pairs_billed_twice"] == []


def test_a_large_mix_of_faults_ends_with_a_label_or_a_reason_for_every_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["server_error", "bad_gateway", "reset", "cut_body", "refusal", "invalid_json",
             "out_of_scale", "close_after", "no_usage", "rate_limited_ms", "html_200",
             "no_schema", "slow", "extra_response", "gzip_garbage"]  # fmt: skip
    monkeypatch.setattr(health, "REFUSED", 100)
    script = {"rates": dict.fromkeys(names, 0.02), "seed": 7, "latency": [0.001, 0.01]}
    with start(script) as served:
        ask = Asker(served, tmp_path)
        said = ask(drawn(400), concurrency=32, timeout=2.0)
        summary = served.summary()
    assert len(said.scores) == 400
    assert all(bool(why) != math.isfinite(score)
               for why, score in zip(said.reasons, said.scores, strict=True))  # fmt: skip
    assert sum(map(math.isfinite, said.scores)) > 380
    assert summary["early_sends"] == 0
    assert summary["keys_billed_twice"] == []
