"""The texts that strategies choose from, with what several strategies ask of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pipeline.encoder import Encoder, Vectors
from pipeline.mining import neighbours
from pipeline.mining.neighbours import Neighbours
from pipeline.records import Document, digest_of
from pipeline.sections import MineSettings
from pipeline.sentences import first_and_rest, lead

# Which neighbour a text is paired with where it is paired with one: near ones often.
RANKS: Final = (0, 0, 1, 2, 4, 8, 16)
# Ways to line all texts up; neighbours in a line have nothing to do with one another.
ORDERS: Final = 16
# By sampler, where the settings name no shares.
SHARES: Final[dict[str, dict[str, float]]] = {
    "shares": {"same_document": 0.3, "dense": 0.25, "lexical": 0.25, "random": 0.2},
    "even": {
        "source_duplicates": 0.25, "title_body": 0.25, "same_document": 0.3, "same_section": 0.25,
        "adjacent_sentences": 0.25, "dense": 0.5, "lexical": 0.5, "random": 0.5,
    },
}  # fmt: skip


Unwanted = Callable[[Sequence[str]], frozenset[str]]  # the ids of texts that no pair may have


def nothing(_: Sequence[str]) -> frozenset[str]:
    """Return that any text is wanted."""
    return frozenset()


@dataclass(frozen=True)
class Texts:
    """The chosen documents and their openings; index i of every list is one document."""

    documents: Sequence[Document]
    leads: list[str]  # the opening of each document
    firsts: list[str]  # its first sentence
    rests: list[str]  # the opening of what follows, "" when there is nothing
    encoder: Encoder
    settings: MineSettings
    unwanted: Unwanted = nothing

    @property
    def thorough(self) -> bool:
        """Whether a text is proposed with all its neighbours, not one: a sampler will choose."""
        return self.settings.sampler == "even"

    @cached_property
    def vectors(self) -> Vectors:
        """Vectors of the openings, shape (documents, dimensions)."""
        return self.encoder.encode(self.leads, "encode texts")

    @cached_property
    def dense(self) -> Neighbours:
        """Nearest openings by the encoder's cosine."""
        if len(self.leads) > self.settings.exact_texts:
            return neighbours.approximately(self.vectors, max(RANKS) + 1)
        return neighbours.by_cosine(self.vectors, max(RANKS) + 1)

    @cached_property
    def lexical(self) -> Neighbours:
        """Nearest openings by BM25."""
        return neighbours.by_bm25(self.leads, max(RANKS) + 1)

    def draw(self, what: str, *texts: str) -> int:
        """Return a number that depends on the seed and ``texts`` alone."""
        return int(digest_of(str(self.settings.seed), what, *texts), 16)

    def ranks(self, what: str, text: str) -> Sequence[int]:
        """Return which of its neighbours ``text`` is paired with, 0 for the nearest."""
        if self.thorough:
            return range(max(RANKS) + 1)
        return (RANKS[self.draw(what, text) % len(RANKS)],)

    @cached_property
    def lines(self) -> list[list[int]]:
        """The documents in orders that have nothing to do with what they say."""
        numbers = range(ORDERS if self.thorough else 1)
        return [self._line(f"random {number}" if number else "random") for number in numbers]

    def _line(self, what: str) -> list[int]:
        lots = [self.draw(what, text) for text in self.leads]
        return sorted(range(len(lots)), key=lots.__getitem__)

    def together(self, key: Callable[[Document], Hashable]) -> Iterator[tuple[int, int]]:
        """Yield pairs of documents with the same ``key``; falsy keys have nothing in common.

        Within a group, in the order of their hashes, each is paired with the next.
        """
        groups: dict[Hashable, list[int]] = {}
        for index, document in enumerate(self.documents):
            if shared := key(document):
                groups.setdefault(shared, []).append(index)
        for members in groups.values():
            members.sort(key=lambda i: self.draw("together", self.leads[i]))
            yield from itertools.pairwise(members)


def of(
    documents: Sequence[Document],
    settings: MineSettings,
    encoder: Encoder,
    unwanted: Unwanted = nothing,
) -> Texts:
    """Return what the strategies see of ``documents``."""
    shares = settings.shares or SHARES[settings.sampler]
    halves = [first_and_rest(document.text, settings.max_words) for document in documents]
    return Texts(
        documents=documents,
        leads=[lead(document.text, settings.max_words) for document in documents],
        firsts=[lead(first, settings.max_words) for first, _ in halves],
        rests=[rest for _, rest in halves],
        encoder=encoder,
        settings=settings.model_copy(update={"shares": shares}),
        unwanted=unwanted,
    )
