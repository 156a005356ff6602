"""Settings of the encoder, of the stages that make and measure a model, and of its schedule."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.sections.base import DomainName, Fraction, Section, Temperature, Weight


class EncoderSettings(Section):
    """The backbone and how a text becomes a vector."""

    backbone: str = Field("smollm2-135m-instruct", description="built-in name, folder or Hub name")
    revision: str = Field("", description="commit of a Hub name")
    template: str | None = Field(None, description="empty: what the model was made for")
    pooling: Literal["last", "mean", "weighted_mean", "cls", "cls_mean"] | None = Field(
        None, description="empty: what the model was made for"
    )
    attention: Literal["native", "bidirectional"] | None = Field(
        None, description="bidirectional: the tokens of a decoder see later tokens too"
    )
    bidirectional_from: int = Field(0, ge=0, description="first layer of bidirectional attention")
    max_length: int = Field(96, ge=8, description="tokens of the text, template not counted")
    layers: int = Field(0, ge=0, description="layers that are run, from the first; 0: all")
    dimensions: int = Field(0, ge=0, description="dimensions that are kept; 0: all")


class TrainSettings(Section):
    """Adapters, the AnglE objectives, and how a run goes."""

    # Left out of keys where it is 1, so that adding it changed none.
    share: float = Field(
        1.0, gt=0, le=1, exclude_if=lambda share: share == 1.0,
        description="share of the labelled pairs, drawn by the seed; smaller ones lie in larger",
    )  # fmt: skip
    epochs: float = Field(1.5, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    warmup: Fraction = 0.1
    batch_pairs: int = Field(32, ge=2, description="pairs of a step, over all processes")
    sampler: Literal["random", "graded"] = Field(
        "random", description="graded: every batch spans the range of the labels"
    )
    chunk_tokens: int = Field(512, ge=64, description="tokens run at a time; for speed alone")
    graph_tokens: int = Field(
        4_096, ge=0, description="tokens whose activations are kept; those of the rest are rerun"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of matrix products; auto: bfloat16 where the hardware multiplies it"
    )
    processes: int = Field(1, ge=1, description="processes that train, one for each GPU")
    shard: bool = Field(
        default=False, description="each process holds a part of the frozen weights (FSDP)"
    )
    # Adapters
    adapter: Literal["lora", "dora", "rslora"] = "lora"
    quantization: Literal["none", "nf4"] = Field("none", description="of the frozen weights")
    start_from: str = Field("", description="adapter to go on from: a folder or a Hub name")
    lora_rank: int = Field(16, ge=1)
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: Fraction = 0.0
    lora_depth: float = Field(1 / 3, gt=0, le=1, description="share of the layers, from the top")
    lora_targets: tuple[str, ...] = Field((), description="names of linear layers; empty: all")
    # Objectives: a preset, and what replaces parts of it
    preset: Literal["default", "paper", "llama-nli", "angle_emb-0.6"] = "default"
    cosine_weight: Weight | None = None
    in_batch_weight: Weight | None = None
    angle_weight: Weight | None = None
    cosine_temperature: Temperature | None = None
    in_batch_temperature: Temperature | None = None
    angle_temperature: Temperature | None = None
    angle_form: Literal["phase", "released"] | None = None
    positives: Literal["threshold", "label"] = Field(
        "threshold", description="label: every pair is a positive as far as its label says"
    )
    positive_threshold: Fraction = Field(0.9, description="labels at or above it are positives")
    matryoshka: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (), description="leading dimensions that shall work alone"
    )
    early_layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="numbers of leading layers that shall work alone"
    )
    distill_weight: float = Field(0.0, ge=0, description="weight of staying like the backbone")
    # The run
    evaluations: int = Field(3, ge=1, description="times the dev pairs are scored while training")
    patience: int = Field(3, ge=1, description="evaluations without a gain before stopping")
    checkpoint_seconds: float = Field(30.0, ge=0, description="work that a kill may cost")
    seed: int = 13


class SetSettings(Section):
    """An evaluation set of your own: scored pairs, or a search with known answers."""

    path: str = Field(
        min_length=1, description="table of pairs, folder in BEIR's layout, or hf://owner/name"
    )
    role: Literal["domain", "general"] = Field(
        "domain", description="general: what the model must not forget"
    )
    kind: Literal["auto", "graded", "binary", "retrieval"] = "auto"
    split: str = Field("", description="rows whose column split says so; empty: all")
    group: str = Field(
        "", description="column (of a search: of its queries) of sub-sets that are measured apart"
    )
    max_score: float = Field(1.0, gt=0, description="the score that means same meaning")
    allowed_loss: float | None = Field(
        None, ge=0, description="loss that still ships; empty: evaluate.allowed_loss"
    )
    trained_on: bool = Field(
        default=False, description="its texts, without their scores, may be trained on"
    )


class EvaluateSettings(Section):
    """What the adapted model is held against."""

    gold: str = Field("", description="CSV of sentence1, sentence2, score, split; empty: none")
    max_score: float = Field(5.0, gt=0, description="the score that means same meaning")
    general: str = Field(
        "built-in", description="gold file of general text not to be forgotten; empty: none"
    )
    sets: dict[DomainName, SetSettings] = Field({}, description="further sets by a name of yours")
    against: tuple[str, ...] = Field(
        (), description="other models to compare with: folders or names of backbones"
    )
    strengths: tuple[Annotated[float, Field(ge=0, le=2)], ...] = Field(
        (0.0, 0.25, 0.5, 0.75, 1.0, 1.25),
        description="of the adapter, one of which the dev pairs choose; empty: 1 as trained",
    )
    target_precision: float = Field(
        0.9, gt=0, lt=1, description="of pairs above the recommended threshold"
    )
    same_meaning: Fraction = Field(0.8, description="gold scores from which pairs are positives")
    threshold: float | None = Field(
        None, ge=-1, le=1, description="in use with the base model, to be told what takes its place"
    )
    retrieval_texts: int = Field(1_000, ge=10)
    retrieval_queries: int = Field(400, ge=10)
    strategy_pairs: int = Field(
        60, ge=0, description="labelled pairs of each mining strategy that are looked at; 0: none"
    )
    resamples: int = Field(10_000, ge=100)
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    allowed_loss: float = Field(
        0.02, ge=0, description="loss on retrieval and general sets that still ships"
    )
    seed: int = Field(13, ge=0)


class ScheduleSettings(Section):
    """When the domain's deployment runs."""

    cron: str = Field("0 3 * * 1", description="five fields, UTC")
    active: bool = False
