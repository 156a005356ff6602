"""Documents that say the same in the same words, gathered in clusters.

Exact duplicates share their id. Near-duplicates share most of their word 3-grams: MinHash proposes
them (it never compares all with all), and the true Jaccard similarity decides. Short texts use
3-grams too, on purpose: in a text of ten words one other word is another meaning ("is a digit", "is
a letter"), and it changes three of the eight 3-grams, so such texts stay apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from datasketch import MinHash, MinHashLSH

from pipeline.records import Document

PERMUTATIONS: Final = 96
SEED: Final = 7  # of the permutations; they only propose, so it is no setting
_PUNCTUATION: Final = ".,;:!?\"'()"

Shingles = frozenset[str]


class Cluster(NamedTuple):
    """Documents with (nearly) the same text; the first by name stands for them all."""

    id: str
    members: tuple[Document, ...]

    @property
    def survivor(self) -> Document:
        """The document that is kept."""
        return self.members[0]


def clusters(documents: Sequence[Document], threshold: float) -> list[Cluster]:
    """Return ``documents`` in clusters, both in order of names; most clusters have one member.

    The id of a cluster is the smallest id of its members. Similarity is followed from document to
    document, so two ends of a chain share a cluster.
    """
    ordered = sorted(documents, key=lambda document: (document.name, document.id))
    by_id: dict[str, list[Document]] = defaultdict(list)
    for document in ordered:
        by_id[document.id].append(document)
    parents = {document_id: document_id for document_id in by_id}
    texts = {document_id: shingles(same[0].text) for document_id, same in by_id.items()}
    for one, other in similar(texts, threshold):
        low, high = sorted((_root(parents, one), _root(parents, other)))
        parents[high] = low
    members: dict[str, list[Document]] = defaultdict(list)
    for document in ordered:
        members[_root(parents, document.id)].append(document)
    return [Cluster(root, tuple(same)) for root, same in members.items()]


def similar(texts: dict[str, Shingles], threshold: float) -> Iterator[tuple[str, str]]:
    """Yield the pairs of ids whose shingles overlap by at least ``threshold`` (Jaccard)."""
    # Bands that miss next to nothing: a pair proposed in vain only costs a comparison of sets.
    index = MinHashLSH(
        threshold=min(max(threshold, 0.1), 0.8), num_perm=PERMUTATIONS, weights=(0.1, 0.9)
    )
    for name, parts in texts.items():
        sketch = MinHash(num_perm=PERMUTATIONS, seed=SEED)
        sketch.update_batch([part.encode() for part in parts])
        for candidate in sorted(index.query(sketch)):
            if jaccard(parts, texts[candidate]) >= threshold:
                yield candidate, name
        index.insert(name, sketch)


def shingles(text: str, size: int = 3) -> Shingles:
    """Return the word 3-grams of ``text``; case and punctuation around words do not count.

    A text of fewer words is one shingle. Signs that stand alone are words: "a < b" is not "a > b".
    """
    words = [word.strip(_PUNCTUATION) or word for word in text.casefold().split()]
    if len(words) <= size:
        return frozenset({" ".join(words)})
    return frozenset(
        " ".join(words[start : start + size]) for start in range(len(words) - size + 1)
    )


def jaccard(one: Shingles, other: Shingles) -> float:
    """Return the share of shingles that both have among all that either has."""
    return len(one & other) / len(one | other)


def _root(parents: dict[str, str], name: str) -> str:
    while parents[name] != name:
        parents[name] = parents[parents[name]]
        name = parents[name]
    return name
