"""A row of a table to the fields of a document."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from pipeline.records import Document, text_id
from pipeline.sections import CollectSettings
from pipeline.sources.extraction.visible import visible
from pipeline.sources.tables import Fault, Row, is_text

MISSING: Final = "missing_column"


def wanted(settings: CollectSettings) -> dict[str, str]:
    """Return the columns that a table must have: field of a document to name of the column."""
    columns: dict[str, str] = {"text": settings.text_column}
    for field, column in settings.files.columns.items():
        columns[field] = column
    if settings.title_column:
        columns["title"] = settings.title_column
    return columns


def fields(row: Row, where: str, columns: Mapping[str, str]) -> dict[str, str] | Fault:
    """Return the fields that ``columns`` names, or why the row is no document."""
    found: dict[str, str] = {}
    for field, column in columns.items():
        if column not in row:
            return Fault(MISSING, where, _missing(field, column, row))
        value = _written(row[column], alone=field == "text")
        if value is None:
            detail = f"{column!r} holds {type(row[column]).__name__}, not text"
            return Fault("not_text", where, detail)
        if not is_text(value):
            return Fault("unknown_encoding", where, f"{column!r} holds bytes that are no text")
        found[field] = value
    return found


def _written(value: Any, *, alone: bool) -> str | None:  # noqa: ANN401 - whatever the cell holds
    """Return a cell as text, None where it is none; only the text itself may be nothing else."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if alone:
        return None
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return "\n".join(map(str, value))
    return None


def _missing(field: str, column: str, row: Row) -> str:
    known = [str(name) for name in row]
    nearest = difflib.get_close_matches(column, known, n=3, cutoff=0.4) or known
    named = ", ".join(repr(name) for name in nearest[:5]) or "none: the table has no columns"
    setting = f"{field}_column" if field in ("text", "title") else f"files.columns.{field}"
    return f"no column {column!r}; set collect.{setting}, e.g. {named}"


def document(found: Mapping[str, str], settings: CollectSettings, **given: str) -> Document:
    """Return a document of the fields of a row; ``given`` holds what a row need not say."""
    seen = {field: visible(value) for field, value in found.items()}
    stated = {field: value for field, value in seen.items() if value}
    values = {"text": "", "licence": settings.licence, **given, **stated}
    return Document.model_validate({"id": text_id(values["text"]), **values})
