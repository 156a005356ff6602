"""Several pairs in one request, at the fault-injecting endpoint."""

from __future__ import annotations

import math
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.annotation.chat import ChatAnnotator
from pipeline.annotation.opinions import Opinions, Terms, TextPair
from pipeline.chat import pace, trips
from pipeline.errors import ConfigError
from pipeline.journal.database import connect
from pipeline.journal.entries import Budget
from tests.annotation.test_chat import drawn, settings, soft
from tests.endpoint.fixtures import Endpoint, endpoint, endpoint_process

__all__ = ["endpoint", "endpoint_process"]

PAIRS = drawn(23)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trips, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(pace, "FIRST_BREAK", 0.05)


class Asker:
    """Asks about several pairs at a time, one order, with one journal."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint, self.journal = endpoint, str(folder / "requests.sqlite")

    def __call__(self, pairs: list[TextPair], **more: Any) -> Opinions:
        terms = Terms(self.journal, "job", more.pop("budget", Budget()), more.pop("resend", False))
        values = {"prompt": "similarity-several.v1", "pairs_per_request": 5, "orders": 1} | more
        chosen = settings(self.endpoint.url, **values)
        return ChatAnnotator("gpt", chosen, terms).annotate(pairs)

    @property
    def posts(self) -> int:
        return int(self.endpoint.summary()["asked"])

    def states(self) -> Counter[str]:
        database = connect(self.journal)
        rows = database.execute("select state from question")
        database.close()
        return Counter(str(row[0]) for row in rows)


def said_is(ask: Asker, text: str) -> None:
    ask.endpoint.script({"rules": [{"fault": "scripted", "content": text}]})


@pytest.fixture
def ask(endpoint: Endpoint, tmp_path: Path) -> Asker:
    return Asker(endpoint, tmp_path)


def test_each_pair_has_the_score_it_has_alone_for_a_fifth_of_the_requests(ask: Asker) -> None:
    said = ask(PAIRS)
    assert said.scores == pytest.approx([soft(pair, 0) for pair in PAIRS], abs=1e-6)
    assert ask.posts == 5
    assert (said.partial, said.reused, set(said.reasons)) == ("", 0, {""})


def test_the_orders_of_a_pair_are_asked_apart(ask: Asker) -> None:
    said = ask(PAIRS, orders=2)
    witness = [(soft(pair, 0) + soft(pair, 1)) / 2 for pair in PAIRS]
    assert said.scores == pytest.approx(witness, abs=1e-6)
    assert ask.posts == 10


def test_what_was_asked_is_known_whatever_it_is_asked_with_next_time(ask: Asker) -> None:
    first = ask(PAIRS)
    again = ask(list(reversed(PAIRS)))
    assert again.scores == list(reversed(first.scores))
    assert (ask.posts, again.reused) == (5, len(PAIRS))
    other = drawn(4, seed=9)
    mixed = ask([PAIRS[7], *other, PAIRS[0]])
    assert mixed.scores[0] == first.scores[7]
    assert mixed.scores[-1] == first.scores[0]
    assert ask.posts == 6


def test_what_a_budget_left_unasked_is_asked_in_new_company(ask: Asker) -> None:
    part = ask(PAIRS, budget=Budget(requests=2))
    assert [math.isnan(score) for score in part.scores] == [False] * 10 + [True] * 13
    assert part.partial == "13 budget_ended"
    rest = ask([*PAIRS[12:], *drawn(2, seed=5)])
    assert not any(math.isnan(score) for score in rest.scores)
    assert ask.states()["dissolved"] == 1
    whole = ask(PAIRS)
    assert whole.scores == pytest.approx([soft(pair, 0) for pair in PAIRS], abs=1e-6)


def test_a_pair_that_the_answer_leaves_out_has_a_reason_and_the_others_have_grades(
    ask: Asker,
) -> None:
    said_is(ask, '{"1": 5, "3": 9}')
    said = ask(PAIRS[:5], logprobs="no", structured="no")
    assert said.scores[0] == 1.0
    assert list(said.reasons[1:]) == ["wrong_shape", "out_of_scale", "left_out", "left_out"]
    assert ask(PAIRS[:5], logprobs="no", structured="no").reasons == said.reasons
    assert ask.posts == 1


def test_an_unreadable_answer_is_asked_about_once_more(ask: Asker) -> None:
    said_is(ask, "No idea.")
    said = ask(PAIRS[:5], logprobs="no", structured="no")
    assert set(said.reasons) == {"broken_json"}
    assert ask.posts == 2


def test_a_cut_connection_holds_all_pairs_of_the_request_and_no_other(ask: Asker) -> None:
    ask.endpoint.script({"rules": [{"fault": "cut_body", "requests": [2]}]})
    said = ask(PAIRS, concurrency=1)
    assert Counter(bool(reason) for reason in said.reasons) == {False: 18, True: 5}
    assert ask(PAIRS, concurrency=1).reasons == said.reasons
    again = ask(PAIRS, concurrency=1, resend=True)
    assert set(again.reasons) == {""}
    assert ask.posts == 6


def test_two_runs_at_once_never_ask_the_same_pair_twice(ask: Asker) -> None:
    said: dict[int, Opinions] = {}

    def run(number: int, pairs: list[TextPair]) -> None:
        said[number] = ask(pairs)

    pairs = drawn(60, seed=3)
    runs = [threading.Thread(target=run, args=(0, pairs)),
            threading.Thread(target=run, args=(1, list(pairs)))]  # fmt: skip
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert ask.posts == 12
    assert said[0].scores == said[1].scores


def test_a_prompt_for_one_pair_is_not_sent_several(ask: Asker) -> None:
    with pytest.raises(ConfigError, match=r"pairs_per_request.*similarity-several"):
        ask(PAIRS, prompt="similarity.v1")
