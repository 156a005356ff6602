"""Pairs for people to grade: a table, JSON lines and a page, with the same rows.

A text is data everywhere: no spreadsheet takes it for a formula, no browser for HTML. What comes
back is read by `pipeline.annotation.reviewed`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from pydantic import Field, model_validator

from pipeline import records
from pipeline.annotation import review_page
from pipeline.disk import write_atomically
from pipeline.records import Record

COLUMNS: Final = ("pair_id", "sentence1", "sentence2", "score", "note", "reviewer")

# A spreadsheet takes a cell that begins with one of these for a formula. One that splits at
# semicolons, as where the comma is the decimal sign, begins cells in the middle of our texts. An
# apostrophe goes in front; where some stand already, one more: taking one away restores the text.
_FORMULA: Final = r"'*[ \x22]*[-=+@\uff1d\uff0b\uff0d\uff20]"
_BLANK: Final = r"'*[ \x22]*[\t\r\n]"
GUARD: Final = rf"^(?={_BLANK})|(?:^|(?<=[;\t\r\n]))(?={_FORMULA})"
_GUARDED: Final = rf"^'(?={_BLANK})|(?:^|(?<=[;\t\r\n]))'(?={_FORMULA})"


class Scale(Record):
    """What a reviewer is asked, and what each grade from 0 up means."""

    question: str
    grades: tuple[str, ...] = Field(min_length=2, max_length=10, description="a line for each")

    @property
    def top(self) -> int:
        """The highest grade."""
        return len(self.grades) - 1


SIMILARITY: Final = Scale(
    question="How much of the meaning is shared?",
    grades=(
        "Nothing: they are about different things",
        "The topic only",
        "Some details, in different statements",
        "The main point; something important differs",
        "Nearly all; only small details differ",
        "All: the same, in whatever words",
    ),
)


class ReviewRow(Record):
    """A pair for people to grade.

    Raises:
        ValueError: when ``pair_id`` is not the id of the two texts.
    """

    pair_id: str
    sentence1: str
    sentence2: str
    scores: dict[str, float | None] = Field({}, description="by annotator, in [0, 1]")
    spread: float = Field(0.0, ge=0.0, description="how far the annotators are apart")
    score: float | None = Field(None, ge=0.0, description="a grade given before, on the scale")
    note: str = ""
    reviewer: str = ""

    @model_validator(mode="after")
    def _has_the_id_of_its_texts(self) -> Self:
        if self.pair_id != records.pair_id(self.sentence1, self.sentence2):
            message = f"{self.pair_id} is not the id of the texts beside it"
            raise ValueError(message)
        return self


def gathered(opinions: Iterable[Mapping[str, Any]]) -> list[ReviewRow]:
    """Return a row for each pair from a row for each opinion, in the order of the pairs.

    An opinion has ``pair_id``, ``sentence1``, ``sentence2``, ``annotator``, ``score`` in [0, 1] or
    None, and ``spread``, like the rows of pairs that annotators disagree about.
    """
    shared = ("pair_id", "sentence1", "sentence2", "spread")
    pairs: dict[str, dict[str, Any]] = {}
    for opinion in opinions:
        new = {name: opinion[name] for name in shared} | {"scores": {}}
        pair = pairs.setdefault(opinion["pair_id"], new)
        pair["scores"][opinion["annotator"]] = opinion["score"]
    return [ReviewRow.model_validate(pair) for pair in pairs.values()]


class ReviewFiles(NamedTuple):
    """Where the three files are."""

    table: Path
    lines: Path
    page: Path


def write_review(
    rows: Sequence[ReviewRow],
    folder: Path,
    scale: Scale = SIMILARITY,
    *,
    title: str = "Review",
    show_scores: bool = False,
) -> ReviewFiles:
    """Write ``review.csv``, ``review.jsonl`` and ``review.html`` into ``folder``.

    What annotators said is in the first two only with ``show_scores``: people who see a score tend
    to repeat it. The page hides it until a pair is graded, unless its reader asks.

    Raises:
        ValueError: when a grade given before is not on the scale.
    """
    if beyond := [row.pair_id for row in rows if row.score is not None and row.score > scale.top]:
        message = f"grades above {scale.top}: {', '.join(beyond[:5])}"
        raise ValueError(message)
    files = ReviewFiles(*(folder / f"review.{kind}" for kind in ("csv", "jsonl", "html")))
    # Without the byte order mark a spreadsheet takes UTF-8 for the system's old encoding.
    write_atomically(files.table, "\ufeff" + as_csv(rows, show_scores=show_scores))
    write_atomically(files.lines, as_jsonl(rows, show_scores=show_scores))
    page = review_page.render(
        [row.model_dump() for row in rows],
        {"question": scale.question, "grades": scale.grades, "columns": COLUMNS, "guard": GUARD},
        title,
    )
    write_atomically(files.page, page)
    return files


def as_csv(rows: Sequence[ReviewRow], *, show_scores: bool = False) -> str:
    """Return the rows as a table, guarded against formulas.

    An id has ``#`` in front, for a spreadsheet would round one of digits alone.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.scores)) if show_scores else []
    shown = ["spread", *(f"said: {name}" for name in names)] if show_scores else []
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow([guarded(name) for name in (*COLUMNS, *shown)])
    for row in rows:
        cells = ["#" + row.pair_id, *(guarded(text) for text in (row.sentence1, row.sentence2))]
        cells += [_number(row.score), guarded(row.note), guarded(row.reviewer)]
        if show_scores:
            said = (row.spread, *(row.scores.get(name) for name in names))
            cells += [_number(None if value is None else round(value, 3)) for value in said]
        writer.writerow(cells)
    return stream.getvalue()


def as_jsonl(rows: Sequence[ReviewRow], *, show_scores: bool = False) -> str:
    """Return the rows as one JSON object a line."""
    hidden = set() if show_scores else {"scores", "spread"}
    return "".join(_line(row.model_dump(exclude=hidden)) for row in rows)


def guarded(text: str) -> str:
    """Return ``text`` as a cell that no spreadsheet takes for a formula."""
    return re.sub(GUARD, "'", text)


def unguarded(cell: str) -> str:
    """Return the text of a cell that `guarded` made; a cell of a person's own stays as it is."""
    return re.sub(_GUARDED, "", cell)


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else repr(float(value)).removesuffix(".0")
