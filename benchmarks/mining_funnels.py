"""From three kinds of sources to pairs: what is collected, dropped and kept, and whether it leaks.

The documentation of Python, a crawl of the project's own site for tests, and a set of scientific
papers from the folder that ``ANGLE_ADAPT_DATA`` names; without that folder the last is left out.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks._record import Figure, Measurement
from pipeline import config as configuration
from pipeline import graph, leakage
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.records import Document, Pair
from pipeline.settings import Home, home
from tests.site.fixtures import start

CLAIM: Final = (
    "Whatever the source, each thing that came in is kept or dropped for a counted reason, evenly "
    "mined pairs reach every fifth of the range of expected labels where there is such text, and "
    "no text of a held-out document is in a pair."
)
SEED: Final = 13
PAGES: Final = 300
PAPERS: Final = Path("raw_covid_papers") / "text.parquet"
SMALL: Final[dict[str, Any]] = {"texts": 300, "pairs": 150, "sampler": "even"}
FIFTHS: Final = 5


def measure(*, quick: bool) -> Measurement:
    """Collect, clean and mine each source; ``quick`` leaves out all but the crawl."""
    figures: list[Figure] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="funnels-")))
        site = stack.enter_context(start(40 if quick else PAGES))
        for name, collect in _sources(site.url, quick=quick):
            values = {"domain": name, "collect": collect, "mine": SMALL}
            figures += _funnel(name, configuration.parse(values), Store(_home(folder)))
    return Measurement(tuple(figures), SEED)


def _home(folder: Path) -> Home:
    """Return an empty data folder that shares the converted backbone."""
    backbones = home().backbones
    backbones.mkdir(parents=True, exist_ok=True)
    if not (folder / "backbones").exists():
        (folder / "backbones").symlink_to(backbones, target_is_directory=True)
    return Home(folder)


def _sources(url: str, *, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    web = {"start": [f"{url}/docs/0"], "contact": "benchmark@example.org", "rate": 1_000,
           "depth": 20, "allow_loopback": True}  # fmt: skip
    yield "local-site", {"source": "web", "web": web}
    data = os.environ.get("ANGLE_ADAPT_DATA", "")
    if not quick:
        yield "python-docs", {"source": "python_docs"}
    if data and not quick:
        yield "covid-papers", {"source": "files", "path": str(Path(data) / PAPERS)}


def _funnel(name: str, config: DomainConfig, store: Store) -> list[Figure]:
    done: dict[str, Reference] = {}
    for stage in ("collect", "clean", "mine"):
        graph.refresh(graph.STAGES[stage], config)
        outcome = graph.materialise(graph.STAGES[stage], done, config, store)
        done[stage] = outcome.entry.reference
    collected, cleaned, mined = (store.json(done[stage]) for stage in done)
    unexplained = cleaned["chunks"] - cleaned["kept"] - sum(cleaned["dropped"].values())
    fifths = _fifths(mined["coverage"]["pairs"])
    pairs = store.rows(done["mine"], Pair)
    held_out = leakage.held_out(store.batches(done["clean"], Document))
    trained = leakage.Trained(pairs, config.leakage.near_duplicate)
    found = leakage.check(trained, held_out, ())
    return [
        Figure.of(f"{name}: documents collected", collected["documents"], ""),
        *_reasons(f"{name}: not collected", collected["dropped"]),
        *_reasons(f"{name}: dropped", cleaned["dropped"]),
        Figure.of(f"{name}: documents kept", cleaned["kept"], ""),
        Figure.of(f"{name}: pieces without a reason", abs(unexplained), "", "<=", 0),
        Figure.of(f"{name}: pairs mined", len(pairs), ""),
        Figure.of(f"{name}: pairs in the emptiest fifth of expected labels", min(fifths), "", ">="),
        Figure.of(f"{name}: texts in pairs that are held out", found.found.total(), "", "<=", 0),
    ]


def _reasons(what: str, counts: dict[str, int]) -> list[Figure]:
    return [Figure.of(f"{what}, {reason}", count, "") for reason, count in counts.items()]


def _fifths(tenths: list[int]) -> list[int]:
    width = len(tenths) // FIFTHS
    return [sum(tenths[start : start + width]) for start in range(0, len(tenths), width)]
