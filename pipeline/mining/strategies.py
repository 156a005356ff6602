"""Ways to propose pairs. Adding one is a function and a line in ``STRATEGIES``.

A strategy sees the texts of the train documents and proposes pairs of their indices. Every choice
is made by a hash of the texts concerned, not by a running random generator, so changing one
document moves only the pairs near it, and labels that are already paid for stay in use.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Final

from pipeline.mining.neighbours import Neighbours
from pipeline.mining.texts import Texts
from pipeline.records import Document
from pipeline.sentences import lead, sentences

Proposal = tuple[str, str, int, int]  # sentence1, sentence2, document index of each

MIN_WORDS: Final = 4  # of a sentence that says something by itself


def same_document(texts: Texts) -> Iterator[Proposal]:
    """Pair the first sentence of a document with what follows it, and chunks of one text."""
    for index, (first, rest) in enumerate(zip(texts.firsts, texts.rests, strict=True)):
        if len(first.split()) >= MIN_WORDS and len(rest.split()) >= MIN_WORDS + 1:
            yield first, rest, index, index
    yield from _leads(texts, texts.together(_parent))


def same_section(texts: Texts) -> Iterator[Proposal]:
    """Pair texts that stand under the same heading."""
    yield from _leads(texts, texts.together(_section))


def adjacent_sentences(texts: Texts) -> Iterator[Proposal]:
    """Pair two sentences in a row of a document, which two by a hash."""
    for index, document in enumerate(texts.documents):
        said = [lead(one, texts.settings.max_words) for one in sentences(document.text)]
        pairs = [
            pair
            for pair in itertools.pairwise(said)
            if all(len(sentence.split()) >= MIN_WORDS for sentence in pair)
        ]
        if pairs:
            one, other = min(pairs, key=lambda pair: texts.draw("adjacent", *pair))
            yield one, other, index, index


def title_body(texts: Texts) -> Iterator[Proposal]:
    """Pair the title of a document with the opening of its text."""
    for index, document in enumerate(texts.documents):
        title = lead(document.title, texts.settings.max_words)
        if len(title.split()) > 1:
            yield title, texts.leads[index], index, index


def source_duplicates(texts: Texts) -> Iterator[Proposal]:
    """Pair documents that their source calls duplicates."""
    places = {document.name: index for index, document in enumerate(texts.documents)}
    for index, document in enumerate(texts.documents):
        for name in document.duplicates.splitlines():
            other = places.get(name, index)
            if other != index:
                yield texts.leads[index], texts.leads[other], index, other


def dense(texts: Texts) -> Iterator[Proposal]:
    """Pair a text with its neighbours by the current encoder."""
    yield from _neighbours(texts, texts.dense, "dense")


def lexical(texts: Texts) -> Iterator[Proposal]:
    """Pair a text with its neighbours by BM25."""
    yield from _neighbours(texts, texts.lexical, "lexical")


def random(texts: Texts) -> Iterator[Proposal]:
    """Pair texts that have nothing to do with each other, by the order of their hashes."""
    for line in texts.lines:
        yield from _leads(texts, itertools.pairwise(line))


def _parent(document: Document) -> str:
    return document.parent


def _section(document: Document) -> tuple[str, ...]:
    held = (document.source, document.group, document.parent, document.section)
    return held if document.section else ()


def _leads(texts: Texts, pairs: Iterator[tuple[int, int]]) -> Iterator[Proposal]:
    for first, second in pairs:
        yield texts.leads[first], texts.leads[second], first, second


def _neighbours(texts: Texts, nearest: Neighbours, what: str) -> Iterator[Proposal]:
    for index, (text, row) in enumerate(zip(texts.leads, nearest.near.tolist(), strict=True)):
        for rank in texts.ranks(what, text):
            other = row[rank] if rank < len(row) else -1
            if other >= 0:
                yield text, texts.leads[other], index, other


# In this order: a pair that two strategies propose counts as the first one's.
STRATEGIES: Final[dict[str, Callable[[Texts], Iterator[Proposal]]]] = {
    "source_duplicates": source_duplicates,
    "title_body": title_body,
    "same_document": same_document,
    "same_section": same_section,
    "adjacent_sentences": adjacent_sentences,
    "dense": dense,
    "lexical": lexical,
    "random": random,
}
