"""The records that pass between stages, with their Arrow schemas.

Records are frozen and refuse unknown fields. One at a time they are pydantic models; in bulk they
are Arrow tables with the schema of :func:`schema_of`. Ids are content-addressed: the same text has
the same id on every machine, so labels and caches can be shared.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, Protocol, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Final = 1

Split = Literal["train", "dev", "test"]


class Record(BaseModel):
    """A frozen row that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoredTexts(Protocol):
    """Two texts and how similar they are, whatever else is known of them."""

    @property
    def sentence1(self) -> str:
        """One text."""
        ...

    @property
    def sentence2(self) -> str:
        """The other."""
        ...

    @property
    def score(self) -> float:
        """Larger is more similar; in training in [0, 1], NaN for a positive without a grade."""
        ...


def digest_of(*parts: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of ``parts``, unambiguously joined."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()[:16]


def normalised(text: str) -> str:
    """Return the form in which two texts are compared: NFKC, lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_id(text: str) -> str:
    """Return the id of a text: equal for texts that differ in case or white space only."""
    return digest_of(normalised(text))


def pair_id(sentence1: str, sentence2: str) -> str:
    """Return the order-free id of two texts."""
    return digest_of(*sorted((normalised(sentence1), normalised(sentence2))))


class Document(Record):
    """A text with its provenance."""

    id: str
    text: str
    name: str = Field(description="the author's own id: module.qualname, file name, URL path")
    source: str = Field(description="which source produced it, with the version where there is one")
    url: str = ""
    licence: str = ""
    fetched_at: str = Field("", description="ISO 8601; empty where the source is local")
    robots: str = Field("", description="what robots.txt says of the URL; empty where none applies")
    title: str = Field("", description="as its author wrote it; not part of the text")
    section: str = Field("", description="the headings above it, outermost first, with ' > '")
    parent: str = Field("", description="name of the document that this one is a chunk of")
    group: str = Field("", description="what it belongs to beside others: repository, site")
    duplicates: str = Field(
        "", description="names of the documents its source calls duplicates of it, one a line"
    )
    cluster: str = Field("", description="id of its near-duplicate cluster; set by clean")
    split: Split = "train"


class Pair(Record):
    """Two texts worth asking an annotator about; ``(a, b)`` and ``(b, a)`` have one id."""

    id: str
    sentence1: str
    sentence2: str
    strategy: str
    document1: str = Field(description="id of the document sentence1 was taken from")
    document2: str
    name1: str = Field("", description="provenance: the document's author-given id")
    name2: str = ""


class Annotation(Record):
    """One annotator's opinion of one pair."""

    pair_id: str
    annotator: str
    score: float | None = Field(description="higher is more similar; the annotator's own scale")
    reason: str = Field("", description="why there is no score")
    confidence: float | None = Field(None, description="in [0, 1]; None where it is not known")


class LabeledPair(Record):
    """A training row: two texts, a graded similarity and where both came from."""

    id: str
    sentence1: str
    sentence2: str
    score: float = Field(ge=0.0, le=1.0)
    weight: float = Field(1.0, ge=0.0)
    strategy: str
    split: Split
    document1: str
    document2: str
    name1: str = ""
    name2: str = ""


class Dropped(Record):
    """A record that a stage did not pass on, and why; in = out + dropped, always."""

    record_id: str
    stage: str
    reason: str
    detail: str = ""


_ARROW: Final = {"string": pa.string(), "number": pa.float64(), "integer": pa.int64()}

R = TypeVar("R", bound=Record)


def schema_of(record: type[Record]) -> pa.Schema:
    """Return the Arrow schema of a record type; text, float and integer fields only."""
    properties = record.model_json_schema()["properties"]
    fields = []
    for name, description in properties.items():
        kinds = [option["type"] for option in description.get("anyOf", [description])]
        kind = next(kind for kind in kinds if kind != "null")
        fields.append(pa.field(name, _ARROW[kind], nullable="null" in kinds))
    return pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION)})


def to_table(rows: Sequence[R], record: type[R]) -> pa.Table:
    """Return ``rows`` as an Arrow table with the schema of ``record``."""
    schema = schema_of(record)
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    return pa.Table.from_pydict(columns, schema=schema)


def from_table(table: pa.Table, record: type[R]) -> list[R]:
    """Return the rows of ``table`` as records; refuses columns that ``record`` does not know."""
    return [record.model_validate(row) for row in table.to_pylist()]


def count_reasons(dropped: Iterable[Dropped]) -> dict[str, int]:
    """Return how many records were dropped for each reason, most frequent first."""
    return by_frequency(Counter(drop.reason for drop in dropped))


def by_frequency(counts: Mapping[str, int]) -> dict[str, int]:
    """Return ``counts`` with the most frequent first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
