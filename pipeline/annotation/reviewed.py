"""What people graded, read back: every row is an answer, or refused with a reason and its line.

The files are those of `pipeline.annotation.review`, and what a spreadsheet makes of them: a byte
order mark, semicolons or tabs, other line ends, a decimal comma; rows and columns in any order.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import Field

from pipeline import records
from pipeline.annotation.review import SIMILARITY, Scale, unguarded
from pipeline.errors import InputError
from pipeline.records import Annotation, Record

NEEDED: Final = ("pair_id", "score")
_NUMBER: Final = re.compile(r"[+-]?\d{1,12}(?:[.,]\d{1,20})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_SEPARATORS: Final = ",;\t"
_LONGEST_NAME: Final = 80


class Answer(Record):
    """A grade that a person gave, brought to [0, 1]."""

    pair_id: str
    reviewer: str
    score: float = Field(ge=0.0, le=1.0)
    note: str = ""
    line: int = Field(0, description="where it stands in the file")

    @property
    def annotator(self) -> str:
        """The reviewer as an annotator: "human:NAME"."""
        return f"human:{self.reviewer}"

    @property
    def annotation(self) -> Annotation:
        """The answer as any annotator's opinion."""
        return Annotation(pair_id=self.pair_id, annotator=self.annotator, score=self.score)


class Refusal(Record):
    """A row that is no answer: where it stands and why."""

    line: int
    pair_id: str
    reason: str
    detail: str = ""


class Review(NamedTuple):
    """A file that came back: rows = answers + refused; absent are pairs that no row names."""

    answers: list[Answer]
    refused: list[Refusal]
    absent: list[str]


class Asked(NamedTuple):
    """What the file is held against."""

    pairs: Collection[str]  # ids of the pairs that were given out
    scale: Scale = SIMILARITY
    reviewer: str = ""  # who graded the rows that name nobody


class _Row(NamedTuple):
    line: int
    cells: Mapping[str, Any]
    problem: str = ""  # what keeps it from being a row at all
    detail: str = ""


class _Unusable(Exception):  # noqa: N818 - a row's reason on its way to a refusal
    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def read_review(path: Path, asked: Asked) -> Review:
    """Return what a CSV or JSON lines file says; its content decides which of the two it is.

    A pair that one reviewer graded twice alike is an answer once; graded differently, it is none.

    Raises:
        InputError: when the file as a whole cannot be read: not there, not text, no such columns.
    """
    text = _text_of(path)
    asked = asked._replace(pairs=dict.fromkeys(asked.pairs))
    rows = list(_json_rows(text) if text.lstrip().startswith("{") else _csv_rows(text, path))
    judged = [_judge(row, asked) for row in rows]
    answers = [row for row in judged if isinstance(row, Answer)]
    refused = [row for row in judged if isinstance(row, Refusal)]
    answers, more = _once(answers)
    named = {row.pair_id for row in judged}
    absent = [identity for identity in asked.pairs if identity not in named]
    return Review(answers, sorted([*refused, *more], key=lambda row: row.line), absent)


def describe(review: Review) -> str:
    """Return what was read and what was not, for people: one line, and one for each reason."""
    reasons: dict[str, list[int]] = {}
    for refusal in review.refused:
        reasons.setdefault(refusal.reason, []).append(refusal.line)
    lines = [f"{len(review.answers)} grades, {len(review.refused)} rows refused, "
             f"{len(review.absent)} pairs not in the file"]  # fmt: skip
    for reason, places in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        shown = ", ".join(map(str, places[:8])) + (", ..." if len(places) > 8 else "")
        lines.append(f"{reason}: {len(places)} (line {shown})")
    return "\n".join(lines)


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes()
        utf16 = data.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except OSError as error:
        message = f"cannot read the reviewed file {path}: {error}"
        raise InputError(message) from error
    except UnicodeDecodeError as error:
        message = f'{path} is not UTF-8 (byte {error.start}): save it again as "CSV UTF-8"'
        raise InputError(message) from error
    if not text.strip():
        message = f"{path} is empty: give the file that the review page or a spreadsheet saved"
        raise InputError(message)
    return text


def _json_rows(text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield _Row(number, {}, "not_json", str(error))
            continue
        is_row = isinstance(cells, dict)
        yield _Row(number, cells) if is_row else _Row(number, {}, "not_json", "no JSON object")


def _csv_rows(text: str, path: Path) -> Iterator[_Row]:
    first, _, rest = text.partition("\n")
    skipped = 0
    if re.fullmatch(r'"?sep=."?', first.strip("\r")):  # a spreadsheet's own first line
        text, skipped = rest, 1
    separator, names = _header(text, path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    ended = 0
    try:
        for cells in reader:
            line, ended = ended + 1 + skipped, reader.line_num
            if line == 1 + skipped or not cells:
                continue
            yield _csv_row(line, names, [unguarded(cell) for cell in cells])
    except csv.Error as error:
        message = f"{path}, line {reader.line_num + skipped}: {error}; a quote was left open there"
        raise InputError(message) from error


def _header(text: str, path: Path) -> tuple[str, list[str]]:
    """Return the separator with which the first line holds the columns needed, and the columns."""
    found: list[str] = []
    for separator in _SEPARATORS:
        names = [unguarded(name).strip().lower() for name in _first(text, separator)]
        found = max(found, names, key=len)
        if set(NEEDED) <= set(names):
            break
    else:
        message = f"{path}: its columns are {', '.join(found)}; it needs {' and '.join(NEEDED)}"
        raise InputError(message)
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        message = f"{path}: the column {', '.join(twice)} stands there twice; keep one"
        raise InputError(message)
    return separator, names


def _first(text: str, separator: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    except csv.Error:  # with the wrong separator a quote may seem open
        return []


def _csv_row(line: int, names: Sequence[str], cells: Sequence[str]) -> _Row:
    if not any(cell.strip() for cell in cells):
        return _Row(line, {}, "empty_row")
    if len(cells) > len(names):
        return _Row(line, {}, "too_many_cells", f"{len(cells)} cells under {len(names)} columns")
    return _Row(line, dict(zip(names, cells, strict=False)))


def _judge(row: _Row, asked: Asked) -> Answer | Refusal:
    identity = _text(row.cells, "pair_id").lstrip("#").lower()
    try:
        _check(row, identity, asked.pairs)
        return Answer(
            pair_id=identity,
            score=_grade(row.cells.get("score"), asked.scale.top) / asked.scale.top,
            reviewer=_reviewer(_text(row.cells, "reviewer") or asked.reviewer),
            note=_text(row.cells, "note"),
            line=row.line,
        )
    except _Unusable as error:
        return Refusal(line=row.line, pair_id=identity, reason=error.reason, detail=error.detail)


def _check(row: _Row, identity: str, pairs: Collection[str]) -> None:
    if row.problem:
        raise _Unusable(row.problem, row.detail)
    if not identity:
        raise _Unusable("no_pair_id")
    if identity not in pairs:
        raise _Unusable("unknown_pair", identity)
    if row.cells.keys() & {"sentence1", "sentence2"}:
        texts = _text(row.cells, "sentence1"), _text(row.cells, "sentence2")
        if records.pair_id(*texts) != identity:
            raise _Unusable("text_edited", "the texts are not those that were given out")


def _grade(value: object, top: int) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise _Unusable("no_grade")
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value.strip().replace(",", "."))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Unusable("not_a_number", f"{value!r:.40}")
    if not 0 <= value <= top:
        raise _Unusable("out_of_scale", f"{value:g} is not from 0 to {top}")
    return float(value)


def _reviewer(name: str) -> str:
    name = unicodedata.normalize("NFC", " ".join(name.split()))
    if not name:
        raise _Unusable("no_reviewer", "no row or option says who graded it")
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise _Unusable("not_a_name", f"{name!r:.40}")
    return name


def _text(cells: Mapping[str, Any], name: str) -> str:
    value = cells.get(name)
    # A JSON escape can spell half a character, which no file holds.
    return "" if value is None else str(value).encode("utf-8", "replace").decode().strip()


def _once(answers: Sequence[Answer]) -> tuple[list[Answer], list[Refusal]]:
    """Return one answer for each pair and reviewer, and the rows that repeat or contradict it."""
    groups: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        groups.setdefault((answer.pair_id, answer.reviewer), []).append(answer)
    kept: list[Answer] = []
    refused: list[Refusal] = []
    for first, *others in groups.values():
        agree = all(other.score == first.score for other in others)
        reason, rest = ("repeated", others) if agree else ("contradicts", [first, *others])
        kept += [first] if agree else []
        lines = ", ".join(str(answer.line) for answer in (first, *others))
        refused += [
            Refusal(line=row.line, pair_id=row.pair_id, reason=reason, detail=f"lines {lines}")
            for row in rest
        ]
    return kept, refused
