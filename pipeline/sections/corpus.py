"""Settings of the stages that make text and pairs: collect, clean, mine."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from pipeline.sections.base import Fraction, Section
from pipeline.sections.community import GitHubSettings, StackExchangeSettings
from pipeline.sections.files import FileSettings, HuggingFaceSettings
from pipeline.sections.web import WebSettings

Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]
LanguageCode = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]


class CollectSettings(Section):
    """Where the text comes from."""

    source: str = Field("python_docs", description="a name in pipeline.sources.SOURCES")
    path: str = Field("", description="file, folder or glob, for sources that read files")
    text_column: str = Field("text", description="column that holds the text, for tables")
    title_column: str = Field("", description="column that holds a title of the text, if any")
    licence: str = Field("", description="licence of the text, kept on every document")
    refresh: bool = Field(default=True, description="false: what was fetched before is used as is")
    files: FileSettings = Field(FileSettings(), description="for the source files")
    huggingface: HuggingFaceSettings = Field(
        HuggingFaceSettings(), description="for the source huggingface"
    )
    web: WebSettings = Field(WebSettings(), description="for the source web")
    github: GitHubSettings = Field(GitHubSettings(), description="for the source github")
    stack_exchange: StackExchangeSettings = Field(
        StackExchangeSettings(), description="for the source stack_exchange"
    )


class CleanSettings(Section):
    """What is dropped or changed before anything is paired, and how documents are split."""

    min_words: int = Field(2, ge=1)
    max_words: int = Field(100_000, ge=1)
    max_symbols: Fraction = Field(0.35, description="largest share of non-letters in a text")
    max_numbers: Fraction = Field(0.5, description="largest share of numbers among its words")
    max_list: Fraction = Field(
        0.9, description="largest share of lines that are entries of a list or menu, not sentences"
    )
    max_duplicate_lines: Fraction = Field(
        0.3, description="largest share of a text in lines that stand in it before"
    )
    max_repetition: Fraction = Field(
        0.45, description="largest share of a text in 5-grams of words that stand in it twice"
    )
    boilerplate_share: Fraction = Field(
        0.3, description="a line in more than this share of a site's documents is removed; 1: none"
    )
    boilerplate_documents: int = Field(
        5, ge=2, description="a line that fewer documents have is never removed"
    )
    chunk: Literal["none", "section", "paragraph", "sentence"] = Field(
        "none", description="what a document is cut into; none keeps long texts whole"
    )
    chunk_words: int = Field(200, ge=8, description="longest chunk, in whole sentences")
    languages: tuple[LanguageCode, ...] = Field(
        (), description="ISO 639 codes of the languages that are kept; empty: any"
    )
    language_words: int = Field(
        8, ge=1, description="a text of fewer words is not judged by its language"
    )
    language_confidence: Fraction = Field(
        0.95, description="a text is dropped when it is in another language with this probability"
    )
    near_duplicate: Fraction = Field(0.8, description="Jaccard similarity of word 3-grams")
    semantic_duplicate: Cosine | None = Field(
        None, description="cosine from which two texts are duplicates; empty: not looked at"
    )
    mask_personal_data: bool = True
    personal_data: Literal["patterns", "presidio"] = Field(
        "patterns", description="what finds personal data; presidio also finds names of people"
    )
    presidio_model: str = Field(
        "en_core_web_lg", description="an installed spaCy model; its name begins with its language"
    )
    presidio_entities: tuple[str, ...] = Field(
        ("PERSON", "US_SSN", "US_PASSPORT", "US_DRIVER_LICENSE", "UK_NHS", "MEDICAL_LICENSE"),
        description="what presidio looks for, beside the patterns; its names",
    )
    test_fraction: Fraction = Field(0.3, description="share of documents held out for evaluation")
    dev_fraction: Fraction = Field(0.0, description="share of documents held out for choosing")
    split_by: Literal["document", "group"] = Field(
        "document", description="group: a repository or site is in one split as a whole"
    )
    seed: int = 13

    @model_validator(mode="after")
    def _check_fractions(self) -> Self:
        if self.test_fraction + self.dev_fraction > 1:
            message = "test_fraction and dev_fraction together are more than 1"
            raise ValueError(message)
        return self


class MineSettings(Section):
    """Which pairs are worth asking an annotator about."""

    pairs: int = Field(1_600, ge=10, description="in all rounds together")
    rounds: Literal[1, 2] = Field(
        1,
        description="2: train with half of the pairs, then mine the others where labels and the "
        "adapted encoder disagree most, and train with all",
    )
    sampler: Literal["even", "shares"] = Field(
        "shares",
        description="even: expected labels cover [0, 1] evenly; shares: fixed shares by strategy",
    )
    shares: dict[str, Fraction] = Field(
        {},
        description="share of the pairs by strategy (sampler even: the largest); one that is not "
        "named is not used, and less than 1 in all counts as 1; empty: the sampler's own",
    )
    max_uses: int = Field(
        4, ge=1, description="pairs of a round that a text may be in; sampler even"
    )
    near_duplicate: Fraction = Field(
        0.9, description="texts this alike by their letters are not paired; sampler even"
    )
    texts: int = Field(2_000, ge=10, description="train documents that pairs are drawn from")
    max_words: int = Field(30, ge=4, description="longest text of a pair, in whole sentences")
    exact_texts: int = Field(
        200_000, ge=0, description="more texts than this are searched approximately, by usearch"
    )
    seed: int = 13
