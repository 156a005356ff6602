"""Clean: normalise, mask, drop what is not worth pairing, merge duplicates, split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from pipeline import gold
from pipeline.artifacts import Reference, Store
from pipeline.cleaning.duplicates import Cluster, clusters
from pipeline.cleaning.normalise import normalise
from pipeline.cleaning.personal_data import mask
from pipeline.cleaning.rules import RULES
from pipeline.cleaning.splits import gold_links, split_of
from pipeline.config import DomainConfig
from pipeline.errors import NotEnoughText
from pipeline.gold import GoldPair
from pipeline.progress import Progress
from pipeline.records import Document, Dropped, count_reasons, text_id
from pipeline.sections import CleanSettings

STAGE: Final = "clean"


class Corpus(NamedTuple):
    """What cleaning came to: every document that came in is kept or dropped."""

    kept: list[Document]
    dropped: list[Dropped]
    masked: Counter[str]
    duplicate_clusters: int


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write the usable documents, each with its cluster and split, and what was dropped.

    Raises:
        NotEnoughText: when no document is usable.
    """
    documents = store.rows(inputs["collect"], Document)
    corpus = clean(documents, config.clean, gold.load(config))
    reasons = count_reasons(corpus.dropped)
    if not corpus.kept:
        listed = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
        message = f"no usable text: all {len(documents)} documents were dropped ({listed})"
        raise NotEnoughText(message)
    splits = Counter(document.split for document in corpus.kept)
    with store.create("corpus") as draft:
        draft.write_rows(corpus.kept, Document)
        draft.write_dropped(corpus.dropped)
        draft.write_json(
            {
                "in": len(documents),
                "kept": len(corpus.kept),
                "dropped": reasons,
                "masked": dict(corpus.masked),
                "clusters": corpus.duplicate_clusters,
                "splits": {split: splits[split] for split in ("train", "dev", "test")},
            }
        )
    return draft.reference


def clean(
    documents: Iterable[Document], settings: CleanSettings, pairs: Iterable[GoldPair] = ()
) -> Corpus:
    """Return the usable documents in order of their names, and the others with the reason."""
    incoming = list(documents)
    usable: list[Document] = []
    dropped: list[Dropped] = []
    masked: Counter[str] = Counter()
    with Progress("clean", len(incoming), "document") as progress:
        for document in incoming:
            tidy, found = _tidied(document, settings)
            masked += found
            refusal = _refusal(tidy, settings)
            if refusal:
                dropped.append(refusal)
            else:
                usable.append(tidy)
            progress.advance()
    groups = clusters(usable, settings.near_duplicate)
    links = gold_links(pairs)
    kept = [
        group.survivor.model_copy(
            update={"cluster": group.id, "split": split_of(group, links, settings)}
        )
        for group in groups
    ]
    dropped += [drop for group in groups for drop in _duplicates(group)]
    _check_counts(incoming, kept, dropped)
    return Corpus(kept, dropped, masked, sum(len(group.members) > 1 for group in groups))


def _tidied(document: Document, settings: CleanSettings) -> tuple[Document, Counter[str]]:
    text, found = normalise(document.text), Counter[str]()
    if settings.mask_personal_data:
        text, found = mask(text)
    return document.model_copy(update={"id": text_id(text), "text": text}), found


def _refusal(document: Document, settings: CleanSettings) -> Dropped | None:
    for reason, rule in RULES.items():
        if detail := rule(document.text, settings):
            return _drop(document, reason, f"{document.name}: {detail}")
    return None


def _duplicates(cluster: Cluster) -> list[Dropped]:
    kept = cluster.survivor
    return [
        _drop(
            document,
            "exact_duplicate" if document.id == kept.id else "near_duplicate",
            f"{document.name}: as {kept.name}",
        )
        for document in cluster.members[1:]
    ]


def _drop(document: Document, reason: str, detail: str) -> Dropped:
    return Dropped(record_id=document.id, stage=STAGE, reason=reason, detail=detail)


def _check_counts(came: list[Document], kept: list[Document], dropped: list[Dropped]) -> None:
    if len(came) != len(kept) + len(dropped):
        message = f"{len(came)} documents came in, {len(kept)} + {len(dropped)} went out"
        raise AssertionError(message)
