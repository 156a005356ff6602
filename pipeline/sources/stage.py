"""Collect: read every document of the domain's source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.errors import NotEnoughText
from pipeline.progress import Progress
from pipeline.records import Document, Dropped, count_reasons
from pipeline.sources import shelf, source


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:  # noqa: ARG001 - the first stage
    """Write the documents of ``config.collect`` as one artefact.

    Raises:
        NotEnoughText: when the source holds no document.
    """
    documents: list[Document] = []
    dropped: list[Dropped] = []
    name = config.collect.source
    with Progress("collect", 0, "document") as progress:  # a source does not know its size
        for found in source(name).read(config.collect, shelf(name)):
            if isinstance(found, Document):
                documents.append(found)
            else:
                dropped.append(found)
            progress.advance()
    reasons = count_reasons(dropped)
    if not documents:
        where = f" at {config.collect.path}" if config.collect.path else ""
        listed = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
        why = f" ({listed}; first: {dropped[0].record_id}: {dropped[0].detail})" if dropped else ""
        message = f"the source {name}{where} holds no documents{why}"
        raise NotEnoughText(message)
    licences = Counter(document.licence or "not stated" for document in documents)
    with store.create("documents") as draft:
        draft.write_rows(documents, Document)
        draft.write_dropped(dropped)
        draft.write_json(
            {
                "source": name,
                "documents": len(documents),
                "dropped": reasons,
                "licences": dict(licences),
            }
        )
    return draft.reference
