"""Which documents may be trained on, and which only measure.

A split is decided for a whole cluster, so that no near-duplicate of a test text is trained on. A
document that the gold set speaks of goes to the gold pair's split; the others are drawn by a hash
of the cluster's id, so that adding documents never moves one that was there before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from pipeline.cleaning.duplicates import Cluster
from pipeline.gold import GoldPair
from pipeline.records import Document, Split, digest_of, text_id
from pipeline.sections import CleanSettings
from pipeline.sentences import lead

GOLD_WORDS: Final = 40  # gold texts are the leads of documents, cut here

Links = Mapping[str, set[Split]]


def gold_links(pairs: Iterable[GoldPair]) -> Links:
    """Return the gold splits by what leads a document there: its name or the id of its text."""
    links: dict[str, set[Split]] = defaultdict(set)
    for pair in pairs:
        for name, text in ((pair.name1, pair.sentence1), (pair.name2, pair.sentence2)):
            links[f"text {text_id(text)}"].add(pair.split)
            if name:
                links[f"name {name}"].add(pair.split)
    return links


def split_of(cluster: Cluster, links: Links, settings: CleanSettings) -> Split:
    """Return the split of a cluster; one that gold dev and gold test both speak of is test."""
    linked: set[Split] = set()
    for document in cluster.members:
        for key in _keys(document):
            linked |= links.get(key, set())
    if linked:
        return "test" if "test" in linked else "dev"
    share = int(digest_of(str(settings.seed), cluster.id), 16) / 16**16
    return "test" if share < settings.test_fraction else "train"


def _keys(document: Document) -> tuple[str, ...]:
    cut = text_id(lead(document.text, GOLD_WORDS))
    return f"name {document.name}", f"text {text_id(document.text)}", f"text {cut}"
