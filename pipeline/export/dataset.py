"""The dataset folder: Parquet that ``datasets`` and pandas read as it lies, a card, a version."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.export.rendering import render
from pipeline.records import SCHEMA_VERSION, LabeledPair

DATA: Final = "data/train-00000-of-00001.parquet"

# Licences of text by the names that dataset hubs use; any other is "other" with its own name.
HUB_LICENCES: Final = {
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
    "BSD-3-Clause": "bsd-3-clause",
    "CC0-1.0": "cc0-1.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-3.0": "cc-by-sa-3.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
}
COLUMNS: Final = {
    "id": "order-free id of the two texts, the same on every machine",
    "sentence1": "a text",
    "sentence2": "another text",
    "score": "graded similarity from 0 (unrelated) to 1 (same meaning)",
    "weight": "how much the label counts in training",
    "strategy": "how the pair was proposed",
    "split": 'always "train"; evaluation pairs are not published here',
    "document1": "id of the document sentence1 was taken from",
    "document2": "id of the document sentence2 was taken from, or written from",
    "name1": "provenance: the document's own name",
    "name2": "provenance: the document's own name",
}
_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
)


def version_of(domain: str, labeled: Reference) -> str:
    """Return the name of a dataset version: the domain and what the content digests to."""
    return f"{domain}@{labeled.digest[:12]}"


def write(
    folder: Path, inputs: Mapping[str, Reference], config: DomainConfig, store: Store
) -> dict[str, Any]:
    """Write the dataset of ``inputs["curate"]`` into ``folder``; return its name and size."""
    labeled = inputs["curate"]
    (folder / DATA).parent.mkdir(parents=True)
    shutil.copyfile(store.path(labeled) / "rows.parquet", folder / DATA)
    version = {
        "domain": config.domain,
        "version": version_of(config.domain, labeled),
        "rows": labeled.rows,
        "schema_version": SCHEMA_VERSION,
        "upstream": {name: inputs[name].digest for name in ("clean", "mine", "label", "curate")},
    }
    text = json.dumps(version, indent=2, ensure_ascii=False)
    (folder / "version.json").write_text(f"{text}\n", encoding="utf-8")
    card = _card(version, inputs, config, store)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return {"version": version["version"], "rows": labeled.rows}


def _card(
    version: Mapping[str, Any],
    inputs: Mapping[str, Reference],
    config: DomainConfig,
    store: Store,
) -> str:
    sources = _sources(inputs, store)
    summaries = {name: store.json(inputs[name]) for name in ("clean", "mine", "label", "curate")}
    return render(
        "dataset_card.md.j2",
        front=_front(version, sources["licences"], config),
        version=version,
        description=config.description,
        columns=COLUMNS,
        strategies=_strategies(inputs, store),
        leakage=store.json(inputs["evaluate"]).get("leakage"),
        **sources,
        **summaries,
    )


def _front(
    version: Mapping[str, Any], licences: Mapping[str, int], config: DomainConfig
) -> dict[str, Any]:
    names = list(licences)
    hub = HUB_LICENCES.get(names[0], "other") if len(names) == 1 else "other"
    own = {"license_name": " AND ".join(names).lower()} if hub == "other" and names else {}
    return {
        "pretty_name": config.description.rstrip(".") or config.domain,
        "license": hub,
        **own,
        "language": ["en"],
        "task_categories": ["sentence-similarity"],
        "size_categories": [
            next((name for limit, name in _SIZES if version["rows"] < limit), "n>1M")
        ],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            }
        ],
    }


def _sources(inputs: Mapping[str, Reference], store: Store) -> dict[str, Any]:
    """Return where the texts of the pairs come from: documents by licence and by source."""
    used: set[str] = set()
    pairs = store.table(inputs["curate"])
    for column in ("document1", "document2"):
        used |= set(pairs.column(column).to_pylist())
    documents = store.table(inputs["clean"]).select(["id", "licence", "source"]).to_pylist()
    chosen = [row for row in documents if row["id"] in used]
    return {
        "documents": len(chosen),
        "licences": dict(Counter(row["licence"] or "unknown" for row in chosen).most_common()),
        "origins": dict(Counter(row["source"] for row in chosen).most_common()),
    }


def _strategies(inputs: Mapping[str, Reference], store: Store) -> dict[str, dict[str, float]]:
    """Return pairs and mean label by strategy, from the rows when the summary does not say."""
    stated: dict[str, dict[str, float]] = store.json(inputs["curate"]).get("by_strategy", {})
    if stated:
        return stated
    groups: dict[str, list[float]] = {}
    for pair in store.rows(inputs["curate"], LabeledPair):
        groups.setdefault(pair.strategy, []).append(pair.score)
    return {
        name: {"pairs": len(scores), "mean": sum(scores) / len(scores)}
        for name, scores in sorted(groups.items())
    }
