"""One document a line of the domain's file."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline import sources
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.records import Document
from tiny import note


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:  # noqa: ARG001
    """Return the documents."""
    note("collect")
    name = config.collect.source
    found = sources.source(name).read(config.collect, sources.shelf(name))
    documents = [one for one in found if isinstance(one, Document)]
    with store.create("documents") as draft:
        draft.write_rows(documents, Document)
    return draft.reference
