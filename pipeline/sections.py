"""The settings of each stage, with types, ranges and defaults. `pipeline.config` loads them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

DomainName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CollectSettings(Section):
    """Where the text comes from."""

    source: str = Field("python_docs", description="a name in pipeline.sources.SOURCES")
    path: str = Field("", description="file, folder or glob, for sources that read files")
    text_column: str = Field("text", description="column that holds the text, for tables")
    licence: str = Field("", description="licence of the text, kept on every document")


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


class LabelSettings(Section):
    """Who scores the pairs."""

    annotators: tuple[str, ...] = Field(
        ("likelihood", "char_tfidf", "frozen_encoder"), min_length=1
    )
    prompt: str = Field(
        "likelihood-other-words.v1", description="prompt of the likelihood annotator"
    )


class CurateSettings(Section):
    """How opinions become labels."""

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="by annotator, else 1"
    )


class EncoderSettings(Section):
    """The backbone and how a text becomes a vector."""

    backbone: str = Field("smollm2-135m-instruct", description="built-in name, folder or Hub name")
    revision: str = Field("", description="commit of a Hub name")
    template: str = 'Summarize sentence "{text}" in one word:"'
    pooling: Literal["last", "mean"] = "last"
    max_length: int = Field(96, ge=8, description="tokens of the text, template not counted")


class TrainSettings(Section):
    """LoRA and the AnglE objectives."""

    epochs: float = Field(1.5, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    batch_pairs: int = Field(32, ge=2)
    chunk_tokens: int = Field(512, ge=64, description="tokens run at a time; for speed alone")
    warmup: Fraction = 0.1
    lora_rank: int = Field(16, ge=1)
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: Fraction = 0.0
    lora_depth: float = Field(1 / 3, gt=0, le=1, description="share of the layers, from the top")
    lora_targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    cosine_weight: float = Field(1.0, ge=0)
    in_batch_weight: float = Field(0.5, ge=0)
    angle_weight: float = Field(0.02, ge=0)
    cosine_temperature: float = Field(0.05, gt=0)
    in_batch_temperature: float = Field(0.05, gt=0)
    angle_temperature: float = Field(1.0, gt=0)
    positive_threshold: Fraction = Field(0.9, description="labels at or above it are positives")
    evaluations: int = Field(3, ge=1, description="times the dev pairs are scored while training")
    patience: int = Field(3, ge=1, description="evaluations without a gain before stopping")
    seed: int = 13


class EvaluateSettings(Section):
    """What the adapted model is held against."""

    gold: str = Field("", description="CSV of sentence1, sentence2, score, split; empty: none")
    max_score: float = Field(5.0, gt=0, description="the score that means same meaning")
    retrieval_texts: int = Field(1_000, ge=10)
    retrieval_queries: int = Field(400, ge=10)
    resamples: int = Field(10_000, ge=100)
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    allowed_loss: float = Field(0.02, ge=0, description="loss on retrieval that still ships")
    seed: int = 13


class ScheduleSettings(Section):
    """When the domain's deployment runs."""

    cron: str = Field("0 3 * * 1", description="five fields, UTC")
    active: bool = False
