"""A search task from documents alone: a text's first sentence is the query, the rest is sought."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from pipeline.errors import NotEnoughText
from pipeline.evaluation.sets import SearchSet
from pipeline.records import Document, digest_of, text_id
from pipeline.sections import EvaluateSettings
from pipeline.sentences import first_and_rest, lead

log = logging.getLogger(__name__)

NAME: Final = "held-out text"
MAX_WORDS: Final = 30
QUERY_WORDS: Final = 4
ANSWER_WORDS: Final = 6
FEWEST: Final = 10
ENOUGH: Final = 1_000


class Task(NamedTuple):
    """A search whose answers all have grade 1, and how many of its texts answer nothing."""

    search: SearchSet
    distractors: int
    notes: tuple[str, ...]


class _Corpus:
    """Texts to search in, no two of them alike."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.texts: list[str] = []
        self._rows: dict[str, int] = {}

    def row(self, text: str) -> int | None:
        """Return the row of ``text``, added if there is room for it; None if there is not."""
        key = text_id(text)
        if key not in self._rows:
            if len(self.texts) >= self.limit:
                return None
            self._rows[key] = len(self.texts)
            self.texts.append(text)
        return self._rows[key]


def build(documents: Sequence[Document], settings: EvaluateSettings) -> Task:
    """Return the search task of held-out ``documents``, taken in an order that the seed decides.

    Two documents with the same first sentence are one query with two answers. When the answers do
    not fill the corpus, leads of further documents do. The group of a query is where its first
    document comes from: the repository or site where that is known, else the source.

    Raises:
        NotEnoughText: when fewer than ten queries can be made.
    """
    ordered = sorted(documents, key=lambda document: digest_of(str(settings.seed), document.id))
    corpus = _Corpus(settings.retrieval_texts)
    answers: dict[str, set[int]] = {}
    asked: dict[str, _View] = {}
    for view in _views(ordered):
        row = corpus.row(view.answer)
        if row is not None:
            answers.setdefault(text_id(view.query), set()).add(row)
            asked.setdefault(text_id(view.query), view)
    _require(len(answers), len(documents))
    answering = len(corpus.texts)
    _fill(corpus, ordered, answers)
    chosen = list(answers)[: settings.retrieval_queries]
    search = SearchSet(
        NAME,
        "domain",
        tuple(asked[key].query for key in chosen),
        tuple(corpus.texts),
        tuple(dict.fromkeys(sorted(answers[key]), 1) for key in chosen),
        groups=tuple(asked[key].source for key in chosen),
    )
    return Task(search, len(corpus.texts) - answering, _notes(len(corpus.texts)))


class _View(NamedTuple):
    query: str
    answer: str
    source: str


def _views(documents: Iterable[Document]) -> Iterator[_View]:
    for document in documents:
        query, answer = first_and_rest(document.text, MAX_WORDS)
        query = lead(query, MAX_WORDS)
        if len(query.split()) >= QUERY_WORDS and len(answer.split()) >= ANSWER_WORDS:
            yield _View(query, answer, document.group or document.source)


def _fill(corpus: _Corpus, documents: Iterable[Document], answers: dict[str, set[int]]) -> None:
    for document in documents:
        query, answer = first_and_rest(document.text, MAX_WORDS)
        usable = len(query.split()) >= QUERY_WORDS and len(answer.split()) >= ANSWER_WORDS
        text = lead(document.text, MAX_WORDS)
        if not usable and text and text_id(text) not in answers:
            corpus.row(text)


def _require(queries: int, documents: int) -> None:
    if queries < FEWEST:
        message = (
            f"retrieval: {documents} test documents give {queries} queries, {FEWEST} are needed "
            f"(a first sentence of {QUERY_WORDS} words or more, then {ANSWER_WORDS} more): "
            "collect more text, or raise clean.test_fraction"
        )
        raise NotEnoughText(message)


def _notes(texts: int) -> tuple[str, ...]:
    if texts >= ENOUGH:
        return ()
    note = f"Retrieval searches {texts} texts only, fewer than {ENOUGH:,}: its figures run high."
    log.warning("%s", note)
    return (note,)
