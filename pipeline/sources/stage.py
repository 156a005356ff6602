"""Collect: read every document of the domain's source."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pipeline.artifacts import Draft, Reference, Store
from pipeline.config import DomainConfig
from pipeline.errors import NotEnoughText
from pipeline.progress import Progress
from pipeline.records import Document, Dropped, by_frequency
from pipeline.sources import shelf, source

log = logging.getLogger(__name__)


class Collected(NamedTuple):
    """What a source came to: documents by licence, what else by its reason, and an example."""

    licences: Counter[str]
    reasons: Counter[str]
    first: Dropped | None


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:  # noqa: ARG001 - the first stage
    """Write the documents of ``config.collect`` as one artefact, as they come.

    Raises:
        NotEnoughText: when the source holds no document.
    """
    name = config.collect.source
    with store.create("documents") as draft:
        found = write(draft, source(name).read(config.collect, shelf(name)))
        if not found.licences:
            raise NotEnoughText(_nothing(config, found))
        if found.reasons:
            log.info("left out: %s", _listed(found))
        draft.write_json(
            {
                "source": name,
                "documents": found.licences.total(),
                "dropped": by_frequency(found.reasons),
                "licences": dict(found.licences),
            }
        )
    return draft.reference


def write(draft: Draft, things: Iterable[Document | Dropped]) -> Collected:
    """Write documents and what is dropped, and return what there was."""
    licences, reasons, first = Counter[str](), Counter[str](), None
    with (
        Progress("collect", 0, "document") as progress,  # a source does not know its size
        draft.writer(Document) as documents,
        draft.writer(Dropped, "dropped") as dropped,
    ):
        for found in things:
            if isinstance(found, Document):
                documents.write([found])
                licences[found.licence or "not stated"] += 1
            else:
                dropped.write([found])
                reasons[found.reason] += 1
                first = first or found
            progress.advance()
    return Collected(licences, reasons, first)


def _nothing(config: DomainConfig, found: Collected) -> str:
    where = f" at {config.collect.path}" if config.collect.path else ""
    first = found.first
    why = f" ({_listed(found)}; first: {first.record_id}: {first.detail})" if first else ""
    return f"the source {config.collect.source}{where} holds no documents{why}"


def _listed(found: Collected) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in by_frequency(found.reasons).items())
