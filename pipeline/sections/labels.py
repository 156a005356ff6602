"""Settings of the stages that make labels: label and curate, and of the chat models asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.sections.base import Fraction, Section


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
        ("likelihood", "char_tfidf", "whitened_encoder"),
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
        {},
        description="by annotator; else 2 for whitened_encoder and 1 for others; one of weight 0 "
        "has no say",
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
