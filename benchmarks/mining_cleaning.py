"""Cleaning many documents: does memory stay flat?"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks._record import Figure, Measurement
from benchmarks._synthetic import apart, documents
from pipeline.artifacts import Reference, Store
from pipeline.cleaning import stage
from pipeline.config import parse
from pipeline.records import Document, text_id
from pipeline.settings import Home

CLAIM: Final = (
    "Cleaning 200,000 documents takes at most 1.3 times the memory of cleaning 20,000, and every "
    "document is kept or dropped with a reason."
)
SEED: Final = 29
DOCUMENTS: Final = 200_000
QUICK: Final = 20_000
SITES: Final = 50
_MENU: Final = "Home News About us\nSubscribe to our letter\n"


def measure(*, quick: bool) -> Measurement:
    """Clean many and a tenth of them; ``quick`` with 20,000 and 2,000."""
    count = QUICK if quick else DOCUMENTS
    with tempfile.TemporaryDirectory(prefix="cleaning-") as name:
        (few_kept, _), few = _measured(Path(name) / "few", count // 10)
        (kept, seconds), many = _measured(Path(name) / "many", count)
    figures = (
        Figure.of("documents", count, ""),
        Figure.of("peak memory", many / 2**20, "MiB"),
        Figure.of("peak memory with a tenth of the documents", few / 2**20, "MiB"),
        Figure.of("ratio", many / few, "", "<=", 1.3),
        Figure.of("kept, of a hundred", 100 * kept / count, ""),
        Figure.of("kept, of a hundred of a tenth", 1000 * few_kept / count, ""),
        Figure.of("documents a second", count / seconds, "", ">="),
    )
    return Measurement(figures, SEED)


def collect(home: Path, count: int) -> Reference:
    """Write the artefact that cleaning reads."""
    store = Store(Home(home))
    with store.create("documents") as draft, draft.writer(Document) as rows:
        rows.write(_pages(count))
    return draft.reference


def clean(home: Path, collected: Reference) -> tuple[int, float]:
    """Clean; return how many documents are kept, and the seconds."""
    store = Store(Home(home))
    start = time.perf_counter()
    reference = stage.run({"collect": collected}, parse({"domain": "synthetic"}), store)
    seconds = time.perf_counter() - start
    found = store.json(reference)
    if found["in"] != collected.rows or found["chunks"] != collected.rows:
        message = f"{collected.rows} documents came in, {found['chunks']} went out"
        raise AssertionError(message)
    return reference.rows, seconds


def _measured(home: Path, count: int) -> tuple[tuple[int, float], int]:
    collected, _ = apart(collect, home, count)
    return apart(clean, home, collected)


def _pages(count: int) -> Iterator[Document]:
    """Yield pages of some sites: a menu on each, some of them short, some with an address."""
    for number, document in enumerate(documents(count, SEED)):
        text = f"{_MENU}{document.text}\nWrite to person{number}@example.org."
        if number % 50 == 7:
            text = "Nothing here."
        group = f"site {number % SITES}"
        yield document.model_copy(update={"id": text_id(text), "text": text, "group": group})
