"""Settings of the check that no text that measures a model trains it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.sections.base import Fraction, Section


class LeakageSettings(Section):
    """What training texts are held against, and when two texts count as the same.

    Held-out documents and the gold set are always looked at.
    """

    registered: tuple[str, ...] = Field(
        (), description="files of other evaluation sets: CSV, TSV, JSON, JSONL or Parquet"
    )
    near_duplicate: Fraction = Field(0.8, description="Jaccard similarity of word 3-grams")
    embedding: Literal["off", "report", "stop"] = Field(
        "report", description="what comes of texts with nearly one vector; most are honest"
    )
    cosine: Fraction = Field(0.95, description="of the backbone's vectors, less their mean")
