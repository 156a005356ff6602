"""A verdict that is always the same."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from tiny import note

FIGURE = {"base": 0.5, "adapted": 0.6, "difference": 0.1, "low": 0.05, "high": 0.15}


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Return the evaluation."""
    note("evaluate")
    summary = {
        "gold": {"pairs": 400, **FIGURE},
        "retrieval": {"texts": config.evaluate.retrieval_texts, "ndcg@10": FIGURE},
        "verdict": "ship",
        "reasons": [f"trained on {inputs['train'].digest[:6]}"],
    }
    with store.create("evaluation") as draft:
        draft.write_json(summary)
    return draft.reference
