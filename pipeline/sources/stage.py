"""Collect: read every document of the domain's source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.errors import NotEnoughText
from pipeline.progress import Progress
from pipeline.records import Document
from pipeline.sources import source


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:  # noqa: ARG001 - the first stage
    """Write the documents of ``config.collect`` as one artefact.

    Raises:
        NotEnoughText: when the source holds no document.
    """
    documents: list[Document] = []
    with Progress("collect", 0, "document") as progress:  # a source does not know its size
        for document in source(config.collect.source).read(config.collect):
            documents.append(document)
            progress.advance()
    if not documents:
        where = f" at {config.collect.path}" if config.collect.path else ""
        message = f"the source {config.collect.source}{where} holds no documents"
        raise NotEnoughText(message)
    licences = Counter(document.licence or "not stated" for document in documents)
    with store.create("documents") as draft:
        draft.write_rows(documents, Document)
        draft.write_json(
            {
                "source": config.collect.source,
                "documents": len(documents),
                "licences": dict(licences),
            }
        )
    return draft.reference
