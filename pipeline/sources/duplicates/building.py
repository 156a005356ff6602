"""A gold set made of what a source calls duplicates: same or not, split by repository.

Positives are the links of the source itself. Negatives are pairs of the same repository or site
that no chain of links connects: half of them neighbours by BM25, which look alike and are not the
same, half drawn at random. The AnglE paper's set of GitHub issues was built of duplicate links too,
with negatives at random and pairs of one repository on both sides of the split (Li & Li, AnglE,
https://arxiv.org/abs/2309.12871); here whole repositories go to dev or test. A single repository
cannot be split so, and its clusters of duplicates are split instead.

Every choice follows from a hash of the seed and the names concerned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from pipeline.errors import NotEnoughText
from pipeline.gold import GoldPair
from pipeline.records import Document, Dropped, count_reasons, normalised, pair_id
from pipeline.sources.duplicates.choices import Choices, Corpus, Link, Side, compared
from pipeline.sources.duplicates.negatives import negatives, pools
from pipeline.sources.duplicates.splitting import split

STAGE: Final = "gold"


class GoldSet(NamedTuple):
    """The pairs, what became of the links that gave none, and what was split."""

    pairs: list[GoldPair]
    dropped: list[Dropped]
    split_by: Literal["repository", "duplicates"]
    groups: Mapping[Side, Sequence[str]]


def gold_set(documents: Sequence[Document], choices: Choices) -> GoldSet:
    """Return the gold pairs that the duplicates among ``documents`` give.

    Raises:
        NotEnoughText: when no two of the documents are called duplicates.
    """
    documents = sorted(documents, key=lambda document: document.name)
    links, dropped = _links(documents, choices)
    if not links:
        reasons = ", ".join(f"{reason} {count}" for reason, count in count_reasons(dropped).items())
        message = f"no two of the {len(documents):,} documents are called duplicates"
        raise NotEnoughText(f"{message} ({reasons or 'the source names none'})")
    corpus = _corpus(documents)
    side, split_by = split(corpus, links, choices)
    positives = [_pair(corpus, link, 1.0, side[link[0]], "duplicate") for link in links]
    drawn_from = pools(corpus, links, side)
    pairs = {pair.id: pair for pair in positives}
    for pool in drawn_from:
        for link, category in negatives(corpus, pool, choices):
            pair = _pair(corpus, link, 0.0, pool.side, category)
            pairs.setdefault(pair.id, pair)
    groups: dict[Side, list[str]] = {"dev": [], "test": []}
    for pool in drawn_from:
        groups[pool.side].append(pool.group)
    return GoldSet(list(pairs.values()), dropped, split_by, groups)


def _links(documents: Sequence[Document], choices: Choices) -> tuple[list[Link], list[Dropped]]:
    """Return the links that can be used, each once, and why the others cannot."""
    known = {document.name: document for document in documents}
    texts = {name: compared(document) for name, document in known.items()}
    seen: dict[str, Link] = {}
    dropped: list[Dropped] = []
    for name, document in known.items():
        for other in filter(None, document.duplicates.split("\n")):
            reason = _unusable(texts, name, other, choices)
            key = "" if reason else pair_id(texts[name], texts[other])
            reason = reason or ("twice" if key in seen else "")
            if reason:
                dropped.append(
                    Dropped(record_id=name, stage=STAGE, reason=reason, detail=f"of {other}")
                )
            else:
                seen[key] = (name, other)
    return list(seen.values()), dropped


def _unusable(texts: Mapping[str, str], name: str, other: str, choices: Choices) -> str:
    if name == other:
        return "of_itself"
    if other not in texts:
        return "other_is_not_here"
    if min(len(texts[name].split()), len(texts[other].split())) < choices.min_words:
        return "too_short"
    return "same_text" if normalised(texts[name]) == normalised(texts[other]) else ""


def _corpus(documents: Sequence[Document]) -> Corpus:
    """Return the documents with their clusters, by every link of the source, usable or not."""
    known = {document.name: document for document in documents}
    parent = {name: name for name in known}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for name, document in known.items():
        for other in filter(None, document.duplicates.split("\n")):
            # One that is not here still joins two of its duplicates.
            parent.setdefault(other, other)
            parent[root(name)] = root(other)
    clusters = {name: root(name) for name in known}
    return Corpus(known, {name: compared(one) for name, one in known.items()}, clusters)


def _pair(corpus: Corpus, link: Link, score: float, side: Side, category: str) -> GoldPair:
    first, second = corpus.texts[link[0]], corpus.texts[link[1]]
    return GoldPair(
        id=pair_id(first, second), sentence1=first, sentence2=second, score=score, split=side,
        name1=link[0], name2=link[1], category=category,
    )  # fmt: skip
