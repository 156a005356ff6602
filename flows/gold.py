"""A gold set out of the duplicates that a domain's source knows of."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pipeline import config as configuration
from pipeline import graph
from pipeline.artifacts import Store
from pipeline.cleaning import personal_data
from pipeline.cleaning.boilerplate import strip
from pipeline.cleaning.tidying import common_lines
from pipeline.config import DomainConfig
from pipeline.disk import write_atomically
from pipeline.gold import OPTIONAL, REQUIRED, GoldPair
from pipeline.records import Document, count_reasons
from pipeline.settings import home
from pipeline.sources.duplicates import Choices, GoldSet, gold_set

COLUMNS: Final = (*REQUIRED, *OPTIONAL)
_NAMED: Final = 4  # repositories that are listed by name


class Request(NamedTuple):
    """What to make a gold set of, how, and where it goes."""

    domain: str
    overrides: Sequence[str]
    out: Path
    choices: Choices


def make(request: Request) -> str:
    """Write the gold set of a domain's duplicates as a CSV, and return what it holds in words.

    The domain's text is collected as a run does it, and found in the store by a later run.

    Raises:
        NotEnoughText: when the source calls no two documents duplicates.
    """
    config = configuration.load(configuration.resolve(request.domain), request.overrides)
    store = Store(home())
    collect = graph.STAGES["collect"]
    graph.refresh(collect, config)
    reference = graph.materialise(collect, {}, config, store).entry.reference
    documents = tidied(store.rows(reference, Document), config)
    found = gold_set(documents, request.choices)
    write_atomically(request.out, as_csv(found.pairs, config.evaluate.max_score))
    return described(found, request.out)


def tidied(documents: Sequence[Document], config: DomainConfig) -> list[Document]:
    """Return the documents without the lines that a site repeats, and with personal data masked.

    Both are what `clean` does to the texts that a model is trained on.
    """
    common = common_lines(documents, config.clean)
    mask = personal_data.masking(config.clean)
    stripped = [strip(document, common, config.clean)[0] for document in documents]
    return [
        document.model_copy(
            update={"text": mask(document.text)[0].strip(), "title": mask(document.title)[0]}
        )
        for document in stripped
    ]


def as_csv(pairs: Sequence[GoldPair], max_score: float) -> str:
    """Return gold pairs as `pipeline.gold` reads them, scores from 0 to ``max_score``."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(
        buffer, COLUMNS, extrasaction="ignore", lineterminator="\n", quoting=csv.QUOTE_ALL
    )
    writer.writeheader()
    for pair in pairs:
        writer.writerow(pair.model_dump() | {"score": f"{pair.score * max_score:g}"})
    return buffer.getvalue()


def described(found: GoldSet, out: Path) -> str:
    """Return what a gold set holds as a few lines."""
    lines = [f"{out}: {len(found.pairs):,} pairs, split by {found.split_by}"]
    for side, groups in found.groups.items():
        kinds = Counter(pair.category for pair in found.pairs if pair.split == side)
        counts = ", ".join(f"{kinds[kind]:,} {kind}" for kind in ("duplicate", "hard", "random"))
        named = ", ".join(groups[:_NAMED]) + (", …" if len(groups) > _NAMED else "")
        lines.append(f"{side:9}{counts} ({named or 'empty'})")
    if found.dropped:
        reasons = count_reasons(found.dropped)
        left = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
        lines.append(f"left out {left}")
    return "\n".join(lines)
