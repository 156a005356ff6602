"""Sources of documents, by name.

A source is a module with the three functions of `Source`. Adding one is one file and one line in
``SOURCES``; modules are imported when their source is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol, cast

from pipeline.config import DomainConfig
from pipeline.errors import ConfigError, NotFetchedError
from pipeline.records import Document, Dropped
from pipeline.sections import CollectSettings
from pipeline.settings import home


class Source(Protocol):
    """Where documents come from. ``shelf`` is a folder of its own that stays between runs."""

    def refresh(self, settings: CollectSettings, shelf: Path) -> None:
        """Bring the shelf up to date; nothing to do for what is local.

        What arrived stays on the shelf whatever ends it, so that the next call goes on from there.
        """
        ...

    def fingerprint(self, settings: CollectSettings, shelf: Path) -> str:
        """Return what changes exactly when reading again would differ; needs no network."""
        ...

    def read(self, settings: CollectSettings, shelf: Path) -> Iterator[Document | Dropped]:
        """Yield the documents, and for each thing that is none, why; needs no network."""
        ...


SOURCES: Final[dict[str, str]] = {
    "files": "pipeline.sources.files",
    "github": "pipeline.sources.github",
    "huggingface": "pipeline.sources.huggingface",
    "python_docs": "pipeline.sources.python_docs",
    "stack_exchange": "pipeline.sources.stack_exchange",
    "web": "pipeline.sources.web",
}


def source(name: str) -> Source:
    """Return the source called ``name``.

    Raises:
        ConfigError: when there is none; names those there are.
    """
    if name not in SOURCES:
        message = f"collect.source: there is no {name!r}; there are {', '.join(sorted(SOURCES))}"
        raise ConfigError(message)
    return cast("Source", importlib.import_module(SOURCES[name]))


def shelf(name: str) -> Path:
    """Return the folder in which the source ``name`` keeps what it fetched."""
    return home().sources / name


def identity(config: DomainConfig) -> str:
    """Return what decides the documents of a domain, as they were fetched last."""
    name = config.collect.source
    return source(name).fingerprint(config.collect, shelf(name))


def check(config: DomainConfig) -> None:
    """See that a run could read the source; what it would fetch first need not be there yet.

    Raises:
        AngleAdaptError: what is wrong.
    """
    try:
        identity(config)
    except NotFetchedError:
        if not config.collect.refresh:
            raise


def refresh(config: DomainConfig) -> None:
    """Fetch what has changed since the last time, unless the configuration says not to."""
    name = config.collect.source
    found = source(name)
    if config.collect.refresh:
        found.refresh(config.collect, shelf(name))
