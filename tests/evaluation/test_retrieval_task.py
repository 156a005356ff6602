"""The search task made of held-out documents."""

from __future__ import annotations

import logging

import pytest

from pipeline.errors import NotEnoughText
from pipeline.evaluation import retrieval
from pipeline.records import Document, text_id
from pipeline.sections import EvaluateSettings


def document(text: str) -> Document:
    return Document(id=text_id(text), text=text, name=text[:9], source="here", split="test")


def usable(number: int) -> Document:
    return document(
        f"This is function number {number}. It returns the value called {number} again."
    )


def settings(**values: int) -> EvaluateSettings:
    return EvaluateSettings.model_validate(
        {"retrieval_texts": 50, "retrieval_queries": 20} | values
    )


def test_the_rest_of_a_text_answers_its_first_sentence() -> None:
    task = retrieval.build([usable(n) for n in range(30)], settings())

    assert len(task.search.corpus) == 30
    assert len(task.search.queries) == 20
    for query, relevant in zip(task.search.queries, task.search.relevant, strict=True):
        number = query.removeprefix("This is function number ").rstrip(".")
        answers = [task.search.corpus[row] for row in relevant]
        assert answers == [f"It returns the value called {number} again."]


def test_short_sentences_make_neither_query_nor_answer() -> None:
    short = [document("Too short. But this rest here would be long enough."),
             document("This first sentence is fine. Rest too short.")]  # fmt: skip
    task = retrieval.build([*short, *(usable(n) for n in range(12))], settings())

    assert len(task.search.queries) == 12
    assert not any("Too short" in query for query in task.search.queries)


def test_leads_of_other_documents_fill_the_corpus() -> None:
    others = [document(f"A lone sentence about the topic {n}.") for n in range(5)]
    task = retrieval.build([*others, *(usable(n) for n in range(12))], settings())

    assert task.distractors == 5
    assert set(task.search.corpus[12:]) == {other.text for other in others}
    assert all(max(relevant) < 12 for relevant in task.search.relevant)


def test_a_lead_that_repeats_a_query_is_no_distractor() -> None:
    task = retrieval.build(
        [document("This is function number 3."), *(usable(n) for n in range(12))], settings()
    )

    assert task.distractors == 0


def test_equal_first_sentences_are_one_query_with_two_answers() -> None:
    twins = [document(f"Return the name of it. Here it is the name number {n}.") for n in (1, 2)]
    task = retrieval.build([*twins, *(usable(n) for n in range(12))], settings())
    row = task.search.queries.index("Return the name of it.")

    assert len(task.search.queries) == 13
    assert {task.search.corpus[place] for place in task.search.relevant[row]} == {
        "Here it is the name number 1.", "Here it is the name number 2."
    }  # fmt: skip


def test_a_query_is_grouped_by_repository_or_site_and_else_by_source() -> None:
    documents = [usable(n) for n in range(12)]
    documents[3] = documents[3].model_copy(update={"group": "owner/name"})
    search = retrieval.build(documents, settings()).search
    groups = dict(zip(search.queries, search.groups, strict=True))

    assert groups.pop("This is function number 3.") == "owner/name"
    assert set(groups.values()) == {"here"}


def test_equal_answers_are_one_text_of_the_corpus() -> None:
    same = [document(f"This is reader number {n}. It reads the same file again.") for n in (1, 2)]
    task = retrieval.build([*same, *(usable(n) for n in range(12))], settings())

    assert len(task.search.corpus) == 13
    assert len(set(task.search.corpus)) == 13


def test_the_corpus_is_no_larger_than_asked() -> None:
    task = retrieval.build([usable(n) for n in range(80)], settings())

    assert len(task.search.corpus) == 50
    assert all(max(relevant) < 50 for relevant in task.search.relevant)


def test_the_seed_decides_the_choice_and_the_order_of_documents_does_not() -> None:
    documents = [usable(n) for n in range(80)]

    assert retrieval.build(documents, settings()) == retrieval.build(documents[::-1], settings())
    assert retrieval.build(documents, settings()) != retrieval.build(documents, settings(seed=14))


def test_a_small_corpus_is_said_to_be_small(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        task = retrieval.build([usable(n) for n in range(12)], settings())

    (note,) = task.notes
    assert note == "Retrieval searches 12 texts only, fewer than 1,000: its figures run high."
    assert note in caplog.text


def test_too_little_text_is_an_error_that_says_how_much_there_was() -> None:
    with pytest.raises(NotEnoughText, match="9 test documents give 9 queries, 10 are needed"):
        retrieval.build([usable(n) for n in range(9)], settings())
