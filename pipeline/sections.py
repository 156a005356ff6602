"""The settings of each stage, with types, ranges and defaults. `pipeline.config` loads them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

DomainName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
EndpointName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]
Temperature = Annotated[float, Field(gt=0.0)]


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


class ChatSettings(Section):
    """A chat model behind an OpenAI-compatible endpoint, and how it is asked."""

    base_url: str = Field("https://api.openai.com/v1", pattern=r"^https?://")
    model: str = Field(min_length=1, description="as the endpoint names it; Azure: deployment")
    key: str = Field(
        "OPENAI_API_KEY",
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$",
        description="NAME of the environment variable that holds the key; empty: none is needed",
    )
    api_version: str = Field("", description="of Azure; empty for every other endpoint")
    # The question
    prompt: str = Field("similarity.v1", description="a file in prompts/")
    orders: Literal[1, 2] = Field(2, description="2: each pair is asked in both orders")
    pairs_per_request: int = Field(
        1, ge=1, le=20, description="with a prompt for several pairs, such as similarity-several.v1"
    )
    samples: int = Field(1, ge=1, le=32, description="answers to each question, averaged")
    temperature: float | None = Field(0.0, ge=0, le=2, description="empty: the endpoint's own")
    logprobs: Literal["auto", "yes", "no"] = Field(
        "auto", description="score from token probabilities; auto: where the endpoint has them"
    )
    structured: Literal["auto", "yes", "no"] = Field(
        "auto", description="JSON schema for the answer; auto: where the endpoint takes it"
    )
    max_tokens: int = Field(0, ge=0, description="longest answer; 0: what the prompt needs")
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: dict[str, str | int | float | bool] = Field({}, description="more of the request body")
    # The traffic
    concurrency: int = Field(32, ge=1, le=1_024, description="most requests at a time")
    requests_per_minute: int = Field(0, ge=0, description="0: as many as the endpoint takes")
    tokens_per_minute: int = Field(0, ge=0, description="0: as many as the endpoint takes")
    timeout: float = Field(60.0, gt=0, description="seconds for one request as a whole")
    # Batches, which providers answer within a day or so at half the price
    batch: bool = Field(default=False, description="ask through the Batch API")
    batch_size: int = Field(10_000, ge=1, le=50_000, description="most questions in a batch")
    batch_least: int = Field(
        20, ge=1, description="fewer questions are asked at once, at full price; 1: none are"
    )
    batch_poll_seconds: float = Field(60.0, gt=0, description="between looks at a batch")
    # Prices, in dollars for a million tokens; empty: from the table of known models
    price_input: float | None = Field(None, ge=0)
    price_output: float | None = Field(None, ge=0)


class GenerateSettings(Section):
    """Variants of mined texts that a chat model writes, and which of them are worth scoring."""

    annotator: str = Field("", description="who writes: a name under `chat`; empty: nobody")
    prompt: str = Field("graded-variants.v1", description="a file in prompts/ that asks for texts")
    texts: int = Field(200, ge=1, description="mined texts that variants are written of")
    size: int = Field(2, ge=1, le=20, description="variants of each meaning, or queries, a text")
    # What is not worth scoring
    near_copy: Fraction = Field(0.7, description="Jaccard similarity of character 3-grams")
    length_ratio: float = Field(3.0, ge=1, description="of the longer text to the shorter")
    same_language: bool = Field(default=True, description="leave out variants in another language")
    new_words: int = Field(
        0, ge=0, description="words of a text that one of opposite meaning must lack; AnglE: 5"
    )


class LabelSettings(Section):
    """Who scores the pairs, and what that may cost."""

    annotators: tuple[str, ...] = Field(
        ("likelihood", "char_tfidf", "frozen_encoder"),
        min_length=1,
        description="embedded ones, names under `chat`, or human",
    )
    prompt: str = Field(
        "likelihood-other-words.v1", description="prompt of the likelihood annotator"
    )
    referee: str = Field(
        "", description="an annotator asked only about pairs that the others disagree most about"
    )
    referee_share: Fraction = Field(0.1, description="share of the pairs that the referee is asked")
    budget_usd: float | None = Field(None, ge=0, description="most dollars for this set of pairs")
    budget_tokens: int | None = Field(None, ge=0)
    budget_requests: int | None = Field(None, ge=0)
    on_uncertain: Literal["hold", "resend"] = Field(
        "hold", description="of requests that may have been billed without an answer coming back"
    )
    journal: str = Field("", description="path or postgresql:// URL; empty: in the data folder")
    generate: GenerateSettings = GenerateSettings()


class CurateSettings(Section):
    """How opinions become labels."""

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="by annotator, else 1; one of weight 0 has no say"
    )
    combine: Literal["blend", "mean", "median", "gold_weighted", "dawid_skene"] = Field(
        "blend", description="blend: the mean of the ranks, ranked again"
    )
    calibrate: Literal["auto", "rank", "isotonic"] = Field(
        "auto", description="isotonic: a map fitted to gold; auto: where 50 gold pairs are scored"
    )
    min_opinions: int = Field(
        0, ge=0, description="annotators who score a pair; 0: all that were asked about every pair"
    )
    disagreement: Fraction = Field(
        0.4, description="pairs whose scores lie further apart are listed for another opinion"
    )
    drop_disagreeing: bool = Field(default=False, description="leave the listed pairs out")


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
