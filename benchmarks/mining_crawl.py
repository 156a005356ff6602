"""A crawl of a site of 2,000 pages, and the same crawl again when nothing has changed.

The site is the project's own for tests, a process of its own; what it was asked, when, and which
bodies it sent are its figures. Its robots.txt forbids a folder that every page links to and states
the gap between requests; our own rate is set so high that only that gap can be what holds us back.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks._record import Figure, Measurement
from pipeline.records import Document
from pipeline.sections import CollectSettings
from pipeline.sources import web
from tests.site.fixtures import RunningSite, start

log = logging.getLogger(__name__)

CLAIM: Final = (
    "A site of 2,000 pages is crawled with no request sooner than the gap that its robots.txt asks "
    "for and none that it forbids; crawled again unchanged, not one body is transferred."
)
PAGES: Final = 2_000
QUICK_PAGES: Final = 200
GAP: Final = 0.02  # seconds, the Crawl-delay of the site
SEED: Final = 13


class Run(NamedTuple):
    """What one crawl came to."""

    seconds: float
    documents: int
    digest: str
    requests: list[dict[str, Any]]

    @property
    def forbidden(self) -> int:
        """Requests for what robots.txt disallows."""
        return sum(line["path"].startswith("/private/") for line in self.requests)

    @property
    def bodies(self) -> int:
        """Bodies that the site sent."""
        return sum(line["sent"] > 0 for line in self.requests)

    @property
    def shortest_gap(self) -> float:
        """Milliseconds between the two requests that came closest to each other."""
        times = [float(line["at"]) for line in self.requests]
        return 1_000 * min(after - one for one, after in itertools.pairwise(times))


def measure(*, quick: bool) -> Measurement:
    """Crawl twice with one shelf; ``quick`` has a smaller site."""
    pages = QUICK_PAGES if quick else PAGES
    with start(pages) as site, tempfile.TemporaryDirectory(prefix="crawl-") as folder:
        site.set(robots="measured")
        first = _run(site, Path(folder), pages)
        site.set(robots="measured")
        second = _run(site, Path(folder), pages)
    return Measurement(
        (
            Figure.of("pages of the site", pages, ""),
            Figure.of("first crawl: pages taken", first.documents, "", ">=", pages),
            *_figures("first crawl", first),
            Figure.of("first crawl: bodies transferred", first.bodies, ""),
            Figure.of("second crawl: pages asked about", len(second.requests), "", ">=", pages),
            *_figures("second crawl", second),
            Figure.of("second crawl: bodies transferred", second.bodies, "", "<=", 0),
            Figure.of("second crawl: identity changed", first.digest != second.digest, "", "<=", 0),
        ),
        SEED,
    )


def _figures(name: str, run: Run) -> list[Figure]:
    held = 1_000 * GAP
    least = GAP * (len(run.requests) - 1)
    return [
        Figure.of(f"{name}: disallowed fetches", run.forbidden, "", "<=", 0),
        Figure.of(f"{name}: shortest gap between requests", run.shortest_gap, "ms", ">=", held),
        Figure.of(f"{name}: time", run.seconds, "s"),
        Figure.of(f"{name}: time against what the gap alone takes", run.seconds / least, "x"),
    ]


def _run(site: RunningSite, shelf: Path, pages: int) -> Run:
    settings = CollectSettings.model_validate(
        {
            "source": "web",
            "web": {
                "start": [f"{site.url}/docs/0"], "contact": "benchmark@example.org", "depth": 20,
                "pages": 2 * pages, "rate": 1_000, "allow_loopback": True,
            },
        }
    )  # fmt: skip
    begin = time.perf_counter()
    web.refresh(settings, shelf)
    seconds = time.perf_counter() - begin
    found = list(web.read(settings, shelf))
    documents = sum(isinstance(one, Document) for one in found)
    log.info("%d documents, %d dropped in %.0f s", documents, len(found) - documents, seconds)
    return Run(seconds, documents, web.fingerprint(settings, shelf), site.ledger())
