"""Sources of documents: a name, a function that reads, and one that says when to read again.

Adding a source is one file and one line in ``SOURCES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pipeline.config import DomainConfig
from pipeline.errors import ConfigError
from pipeline.records import Document
from pipeline.sections import CollectSettings
from pipeline.sources import files, python_docs


class Source(NamedTuple):
    """How to read documents, and a fingerprint that changes when reading again would differ."""

    read: Callable[[CollectSettings], Iterator[Document]]
    fingerprint: Callable[[CollectSettings], str]


SOURCES: Final[dict[str, Source]] = {
    "files": Source(files.read, files.fingerprint),
    "python_docs": Source(python_docs.read, python_docs.fingerprint),
}


def source(name: str) -> Source:
    """Return the source called ``name``.

    Raises:
        ConfigError: when there is none; names those there are.
    """
    if name not in SOURCES:
        message = f"collect.source: there is no {name!r}; there are {', '.join(sorted(SOURCES))}"
        raise ConfigError(message)
    return SOURCES[name]


def identity(config: DomainConfig) -> str:
    """Return what decides the documents of a domain."""
    return source(config.collect.source).fingerprint(config.collect)
