"""What a gold set is drawn from, how, and by which hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from pydantic import Field

from pipeline.records import Document, Record, digest_of

LONGEST: Final = 100_000  # characters of a text; a CSV cell of 128 KiB is the most that is read

Side = Literal["dev", "test"]
Link = tuple[str, str]


class Choices(Record):
    """How a gold set is drawn."""

    negatives: float = Field(1.0, ge=0, le=100, description="for each positive pair")
    hard: float = Field(0.5, ge=0, le=1, description="share of the negatives that BM25 finds")
    dev: float = Field(0.33, ge=0, le=1, description="share of the positive pairs in dev")
    min_words: int = Field(4, ge=1, description="of either text")
    alike: float = Field(0.6, ge=0, le=1, description="Jaccard of words: such are no negatives")
    seed: int = 13


class Corpus(NamedTuple):
    """Documents by name, their texts as they are compared, and which belong together."""

    documents: Mapping[str, Document]
    texts: Mapping[str, str]
    cluster: Mapping[str, str]  # name -> name of its cluster of duplicates


def compared(document: Document) -> str:
    """Return the text of a document in a gold pair: its title, where it has one, and its text."""
    whole = f"{document.title}\n\n{document.text}" if document.title else document.text
    return whole[:LONGEST].strip()


def draw(choices: Choices, what: str, name: str) -> int:
    """Return a number that depends on the seed, what it is for, and a name."""
    return int(digest_of(str(choices.seed), what, name), 16)
