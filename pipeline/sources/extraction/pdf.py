"""The text layer of a PDF: lines put together to paragraphs, larger lines as headings."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import pypdf
from pypdf.errors import DependencyError, FileNotDecryptedError

from pipeline.sources.extraction.frames import Request
from pipeline.sources.extraction.outcome import Extracted, Failed
from pipeline.sources.extraction.plain import untitled

_HEADING: Final = 1.15  # times the size of the body
_LONGEST_HEADING: Final = 200  # characters
_HYPHEN: Final = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])")
_ENDS: Final = (".", "!", "?", ":", "…", '."', ".)", ".”")


class Line(NamedTuple):
    """A line of a page and the size of its largest letters, in points; 0 where unknown."""

    text: str
    size: float


def extract(data: bytes, request: Request) -> Extracted | Failed:  # noqa: ARG001 - an `Extract`
    """Return the text of all pages and the title that the file states."""
    reader = pypdf.PdfReader(io.BytesIO(data))
    try:
        if reader.is_encrypted and not reader.decrypt(""):
            return Failed("encrypted", "the PDF needs a password")
        pages = [_lines(page) for page in reader.pages]
    except (FileNotDecryptedError, DependencyError) as error:
        return Failed("encrypted", str(error))
    if not any(line.text.strip() for page in pages for line in page):
        return Failed("no_text", f"{len(pages)} pages without a text layer; recognise text first")
    text = "\n\n".join(paragraphs([line for page in _without_margins(pages) for line in page]))
    title = str((reader.metadata.title if reader.metadata else "") or "")[:300]
    return Extracted(untitled(text, title), title)


def _lines(page: Any) -> list[Line]:  # noqa: ANN401 - pypdf.PageObject
    sizes: dict[str, float] = {}

    def note(text: str, _cm: Any, matrix: Sequence[float], _font: Any, size: float) -> None:  # noqa: ANN401 - pypdf's
        for piece in text.split("\n"):
            if piece.strip():
                scaled = abs(size * (matrix[3] or matrix[1] or 1.0))
                sizes[piece.strip()] = max(scaled, sizes.get(piece.strip(), 0.0))

    text = page.extract_text(visitor_text=note)
    return [Line(line.strip(), sizes.get(line.strip(), 0.0)) for line in text.split("\n")]


def _without_margins(pages: list[list[Line]]) -> Iterable[list[Line]]:
    """Take running heads and page numbers away: first or last lines that most pages share."""
    if len(pages) < 3:
        return pages
    shared = Counter(
        key
        for page in pages
        for key in {_margin(line.text) for line in (*_filled(page)[:1], *_filled(page)[-1:])}
    )
    running = {key for key, count in shared.items() if count * 2 > len(pages)}
    return [
        [line for line in page if not (_margin(line.text) in running and line in _edges(page))]
        for page in pages
    ]


def _filled(page: list[Line]) -> list[Line]:
    return [line for line in page if line.text]


def _edges(page: list[Line]) -> tuple[Line, ...]:
    filled = _filled(page)
    return (*filled[:1], *filled[-1:])


def _margin(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def paragraphs(lines: Sequence[Line]) -> list[str]:
    """Return the lines as paragraphs and headings (``#`` by size, at most three levels).

    A paragraph ends at an empty line, or at a line that ends a sentence and is clearly shorter
    than the longest lines.
    """
    body = _body_size(lines)
    larger = sorted({round(line.size) for line in lines if _is_heading(line, body)}, reverse=True)
    width = max((len(line.text) for line in lines), default=0)
    found: list[str] = []
    open_lines: list[str] = []

    def close() -> None:
        if open_lines:
            found.append(" ".join(_HYPHEN.sub("", "\n".join(open_lines)).split()))
            open_lines.clear()

    for line in lines:
        if _is_heading(line, body):
            close()
            found.append(f"{'#' * min(larger.index(round(line.size)) + 1, 3)} {line.text}")
        elif not line.text:
            close()
        else:
            open_lines.append(line.text)
            if line.text.endswith(_ENDS) and len(line.text) < 0.75 * width:
                close()
    close()
    return found


def _body_size(lines: Sequence[Line]) -> float:
    letters: Counter[float] = Counter()
    for line in lines:
        if line.size:
            letters[round(line.size, 1)] += len(line.text)
    return letters.most_common(1)[0][0] if letters else 0.0


def _is_heading(line: Line, body: float) -> bool:
    return (
        body > 0
        and line.size >= _HEADING * body
        and len(line.text) <= _LONGEST_HEADING
        and any(letter.isalpha() for letter in line.text)
    )
