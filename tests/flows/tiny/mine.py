"""Every document with itself, as many times as asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from pipeline.artifacts import PARTIAL, Reference, Store
from pipeline.config import DomainConfig
from pipeline.records import Document, Pair, pair_id
from tiny import note

log = logging.getLogger("pipeline.tiny")


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Return the pairs."""
    note("mine")
    one = store.rows(inputs["collect"], Document)[0]
    log.info("mining %d pairs", config.mine.pairs)
    pair = Pair(id=pair_id(one.text, one.text), sentence1=one.text, sentence2=one.text,
                strategy="same", document1=one.id, document2=one.id)  # fmt: skip
    with store.create("pairs") as draft:
        draft.write_rows([pair] * config.mine.pairs, Pair)
        draft.write_json({PARTIAL: os.environ.get("TINY_PARTIAL", "")})
    return draft.reference
