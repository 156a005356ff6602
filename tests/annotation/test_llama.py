"""A real model behind a real endpoint: llama.cpp's server with the default backbone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.annotation.chat import ChatAnnotator
from pipeline.annotation.opinions import Terms
from pipeline.chat.replies import Reply, read
from pipeline.journal import database
from pipeline.sections import ChatSettings
from tests import llama_server

PAIRS = [
    ("Open a file.", "Open the file."),
    ("Open a file.", "Sort a list of numbers."),
    ("Return the size of a file.", "Return how large a file is."),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with llama_server.start() as running:
        yield running


def settings(url: str, prompt: str, **more: object) -> ChatSettings:
    values = {"base_url": url, "model": "smollm2", "key": "", "prompt": prompt, "concurrency": 2}
    return ChatSettings.model_validate(values | more)


def replies(journal: Path) -> list[Reply]:
    with closing(database.connect(str(journal))) as opened:
        rows = opened.execute("select reply from attempt where reply is not null")
    found = [read(bytes(row[0])) for row in rows]
    assert all(isinstance(reply, Reply) for reply in found)
    return [reply for reply in found if isinstance(reply, Reply)]


def test_it_answers_in_the_schema_with_probabilities_and_everything_is_kept(
    url: str, tmp_path: Path
) -> None:
    journal = tmp_path / "requests.sqlite"
    annotator = ChatAnnotator("llama", settings(url, "similarity.v1"), Terms(str(journal), "job"))
    said = annotator.annotate(PAIRS)
    assert all(0 <= score <= 1 for score in said.scores)
    assert all(value is not None and 0 <= value <= 1 for value in said.confidences)
    assert len(set(said.scores)) == len(PAIRS)  # expected grades, not whole ones
    assert said.summary["order"]["pairs"] == len(PAIRS)
    kept = replies(journal)
    assert len(kept) == 2 * len(PAIRS)
    for reply in kept:
        assert json.loads(reply.text)["score"] in range(6)
        assert reply.tokens
        assert reply.usage is not None
    again = annotator.annotate(PAIRS)
    assert (again.scores, again.reused) == (said.scores, len(PAIRS))


def test_without_probabilities_scores_are_grades(url: str, tmp_path: Path) -> None:
    plain = settings(url, "similarity.v1", logprobs="no", orders=1)
    said = ChatAnnotator("llama", plain, Terms(str(tmp_path / "r.sqlite"), "job")).annotate(PAIRS)
    assert all(score * 5 == pytest.approx(round(score * 5)) for score in said.scores)
    assert said.measured["usd"] == 0
    assert said.measured["prompt_tokens"] > 300 * len(PAIRS)


def test_an_answer_cut_off_twice_is_a_reason(url: str, tmp_path: Path) -> None:
    short = settings(url, "similarity.v1", structured="no", max_tokens=1, orders=1)
    said = ChatAnnotator("llama", short, Terms(str(tmp_path / "r.sqlite"), "job")).annotate(PAIRS)
    assert all(math.isnan(score) for score in said.scores)
    assert set(said.reasons) == {"cut_off"}
    assert said.partial == ""  # asking again would not help
    assert said.measured["questions"] == {"rejected": 2 * len(PAIRS)}
