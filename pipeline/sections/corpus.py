"""Settings of the stages that make text and pairs: collect, clean, mine."""

from __future__ import annotations

from pydantic import Field

from pipeline.sections.base import Fraction, Section


class CollectSettings(Section):
    """Where the text comes from."""

    source: str = Field("python_docs", description="a name in pipeline.sources.SOURCES")
    path: str = Field("", description="file, folder or glob, for sources that read files")
    text_column: str = Field("text", description="column that holds the text, for tables")
    licence: str = Field("", description="licence of the text, kept on every document")
    refresh: bool = Field(default=True, description="false: what was fetched before is used as is")


class CleanSettings(Section):
    """What is dropped or changed before anything is paired, and how documents are split."""

    min_words: int = Field(4, ge=1)
    max_symbols: Fraction = Field(0.35, description="largest share of non-letters in a text")
    near_duplicate: Fraction = Field(0.8, description="Jaccard similarity of word 3-grams")
    mask_personal_data: bool = True
    test_fraction: Fraction = Field(0.3, description="share of documents held out for evaluation")
    seed: int = 13


class MineSettings(Section):
    """Which pairs are worth asking an annotator about."""

    pairs: int = Field(800, ge=10)
    shares: dict[str, Fraction] = Field(
        default_factory=lambda: {
            "same_document": 0.3,
            "dense": 0.25,
            "lexical": 0.25,
            "random": 0.2,
        },
        description="share of the pairs by strategy",
    )
    texts: int = Field(1_000, ge=10, description="train documents that pairs are drawn from")
    max_words: int = Field(30, ge=4, description="longest text of a pair, in whole sentences")
    seed: int = 13
