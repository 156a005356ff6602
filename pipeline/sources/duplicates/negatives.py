"""Pairs of one repository that are no duplicates: neighbours by BM25, and drawn at random."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from pipeline.records import digest_of, normalised
from pipeline.sources.duplicates.choices import Choices, Corpus, Link, Side, draw

# Which BM25 neighbour a hard negative is: the nearest may be a duplicate that nobody noted.
RANKS: Final = (1, 2, 3, 5, 8)
_RANDOM_DRAWS: Final = 20


class Pool(NamedTuple):
    """The documents of a repository on one side, and its positive pairs there."""

    group: str
    side: Side
    names: list[str]
    links: list[Link]


def pools(corpus: Corpus, links: Sequence[Link], side: Mapping[str, Side]) -> list[Pool]:
    """Return what negatives are drawn from: a pool for each repository and side with positives."""
    names: dict[tuple[str, Side], list[str]] = defaultdict(list)
    for name, document in corpus.documents.items():
        names[document.group, side[name]].append(name)
    linked: dict[tuple[str, Side], list[Link]] = defaultdict(list)
    for link in links:
        linked[corpus.documents[link[0]].group, side[link[0]]].append(link)
    return [Pool(*key, names[key], linked[key]) for key in sorted(linked)]


def negatives(corpus: Corpus, pool: Pool, choices: Choices) -> Iterator[tuple[Link, str]]:
    """Yield links of a pool that are no duplicates, the hard ones first, each with its category.

    There are ``choices.negatives`` for each positive pair, or as many as can be found.
    """
    wanted = round(choices.negatives * len(pool.links))
    long_enough = [
        name for name in pool.names if len(corpus.texts[name].split()) >= choices.min_words
    ]
    anchors = sorted(
        {
            name
            for link in pool.links
            for name in link
            if corpus.documents[name].group == pool.group
        },
        key=lambda name: digest_of(str(choices.seed), "anchor", name),
    )
    used: set[frozenset[str]] = set()
    hard = _drawn(corpus, _hard(corpus, long_enough, anchors, choices), used, choices)
    found = 0
    for link in islice(hard, round(choices.hard * wanted)):
        found += 1
        yield link, "hard"
    easy = _drawn(corpus, _random(long_enough, anchors, choices), used, choices)
    for link in islice(easy, wanted - found):
        yield link, "random"


def _drawn(
    corpus: Corpus, proposals: Iterator[Sequence[Link]], used: set[frozenset[str]], choices: Choices
) -> Iterator[Link]:
    """Yield of each anchor's proposals the first that is really a negative, and new."""
    for links in proposals:
        for link in links:
            if frozenset(link) not in used and _differ(corpus, *link, choices):
                used.add(frozenset(link))
                yield link
                break


def _differ(corpus: Corpus, first: str, second: str, choices: Choices) -> bool:
    """Return whether two documents are no duplicates, as far as links and words tell."""
    if corpus.cluster[first] == corpus.cluster[second]:
        return False
    one, two = (set(normalised(corpus.texts[name]).split()) for name in (first, second))
    return len(one & two) < choices.alike * len(one | two)


def _hard(
    corpus: Corpus, names: Sequence[str], anchors: Sequence[str], choices: Choices
) -> Iterator[list[Link]]:
    """Yield for each anchor its BM25 neighbours, one of a drawn rank first."""
    import bm25s  # noqa: PLC0415 - heavy, and needed by one command alone

    depth = min(max(RANKS) + 12, len(names))
    tokens = bm25s.tokenize(
        [corpus.texts[name] for name in names],
        stopwords="en",
        show_progress=False,
        return_ids=False,
    )
    if depth < 2 or not any(tokens):
        return
    index = bm25s.BM25()
    index.index(tokens, show_progress=False)
    words = dict(zip(names, tokens, strict=True))
    for anchor in anchors:
        if not words.get(anchor):
            continue
        ranked, _ = index.retrieve([words[anchor]], k=depth, show_progress=False)
        nearest = [names[int(at)] for at in ranked[0] if names[int(at)] != anchor]
        rank = RANKS[draw(choices, "rank", anchor) % len(RANKS)]
        yield [(anchor, name) for name in nearest[rank:] + nearest[:rank][::-1]]


def _random(
    names: Sequence[str], anchors: Sequence[str], choices: Choices
) -> Iterator[list[Link]]:  # fmt: skip
    """Yield for each anchor a few documents drawn by hash, round after round."""
    for turn in range(_RANDOM_DRAWS):
        for anchor in anchors:
            draws = [draw(choices, f"random {turn} {n}", anchor) for n in range(3)]
            yield [(anchor, names[draw % len(names)]) for draw in draws]
