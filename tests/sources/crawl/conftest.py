from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from pipeline.records import Document, Dropped
from pipeline.sections import CollectSettings
from pipeline.sources import web
from pipeline.sources.extraction import Extractor
from tests.site.fixtures import RunningSite, start

POLITE: Mapping[str, Any] = {
    "contact": "tests@example.org",
    "allow_loopback": True,
    "rate": 200,
    "timeout": 5,
    "sitemap": False,
}


class Crawl:
    """A crawl with a shelf of its own; ``run`` refreshes and reads."""

    def __init__(self, shelf: Path, **web_settings: Any) -> None:
        self.shelf = shelf
        self.settings = CollectSettings(source="web", web={**POLITE, **web_settings})

    def run(self) -> dict[str, Document | Dropped]:
        web.refresh(self.settings, self.shelf)
        return self.read()

    def read(self) -> dict[str, Document | Dropped]:
        """Return what `read` yields by URL or id."""
        found = list(web.read(self.settings, self.shelf))
        keys = [one.url if isinstance(one, Document) else one.record_id for one in found]
        assert len(set(keys)) == len(keys)
        return dict(zip(keys, found, strict=True))

    def fingerprint(self) -> str:
        return web.fingerprint(self.settings, self.shelf)


@pytest.fixture(scope="session")
def site_process() -> Iterator[RunningSite]:
    with start() as running:
        yield running


@pytest.fixture
def site(site_process: RunningSite) -> RunningSite:
    site_process.set()
    return site_process


@pytest.fixture(scope="session")
def extractor() -> Iterator[Extractor]:
    """One worker for all crawls: each would take half a second to start its own."""
    with Extractor() as running:
        yield running


@pytest.fixture
def crawl(
    tmp_path: Path, site: RunningSite, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Crawl]:
    monkeypatch.setattr(web, "_extractor", lambda _: nullcontext(extractor))

    def make(*paths: str, **settings: Any) -> Crawl:
        start = [site.url + path if path[0] == "/" else path for path in paths]
        return Crawl(tmp_path / "shelf", start=start, **settings)

    return make
