"""DOCX to text: headings by their style, tables a row a line, hidden runs left out.

The parts are looked at before Word's format is: a part with a DTD is refused, because that is where
entities that grow are declared, and what the archive unpacks to counts against the limit. Names in
the archive are never used as paths: nothing is written.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any, Final

import docx
import lxml.etree
from docx.table import Table
from docx.text.paragraph import Paragraph

from pipeline.sources.extraction.frames import Request
from pipeline.sources.extraction.outcome import Extracted, Failed

_OLE: Final = b"\xd0\xcf\x11\xe0"  # what an encrypted DOCX is wrapped in, and the format before it
_MOST_PARTS: Final = 10_000
_HEADING: Final = re.compile(r"heading ([1-9])")
_TITLE: Final = frozenset({"title"})


def extract(data: bytes, request: Request) -> Extracted | Failed:
    """Return the text of a Word document and its title."""
    if data.startswith(_OLE):
        return Failed("encrypted", "locked with a password, or the format before DOCX")
    if problem := _problem(data, request.size):
        return problem
    document = docx.Document(io.BytesIO(data))
    title = document.core_properties.title or ""
    blocks: list[str] = []
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            blocks.append("\n".join(_rows(block)))
            continue
        text = _text(block)
        style = str(block.style.name if block.style else "").casefold()
        if style in _TITLE and text and not blocks:
            title = title or text
            continue
        heading = _HEADING.fullmatch(style)
        blocks.append(f"{'#' * int(heading[1])} {text}" if heading and text else text)
    return Extracted("\n\n".join(filter(None, blocks)), title)


def _problem(data: bytes, size: int) -> Failed | None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        unpacked = sum(part.file_size for part in parts)
        if len(parts) > _MOST_PARTS or unpacked > 5 * size:
            return Failed("too_large", f"unpacks to {unpacked:,} bytes in {len(parts)} parts")
        for part in parts:
            if part.flag_bits & 1:
                return Failed("encrypted", "a part needs a password")
            if part.filename.endswith((".xml", ".rels")) and _has_dtd(archive.read(part)):
                return Failed("xml_entities", f"{part.filename[:100]!r} declares a DTD")
    return None


def _has_dtd(part: bytes) -> bool:
    parser = lxml.etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return lxml.etree.fromstring(part, parser).getroottree().docinfo.internalDTD is not None
    except lxml.etree.XMLSyntaxError:
        return b"<!" in part  # broken parts are refused later, unless this is what broke them


def _rows(table: Table) -> Iterator[str]:
    for row in table.rows:
        cells: list[Any] = []
        for cell in row.cells:  # a merged cell comes once for each column it covers
            if not cells or cell._tc is not cells[-1]._tc:
                cells.append(cell)
        texts = [" ".join(filter(None, map(_text, cell.paragraphs))) for cell in cells]
        if any(texts):
            yield " | ".join(texts)


def _text(paragraph: Paragraph) -> str:
    parts = []
    for piece in paragraph.iter_inner_content():
        runs = getattr(piece, "runs", [piece])  # a link holds runs of its own
        parts += [run.text for run in runs if not run.font.hidden]
    return " ".join("".join(parts).split())
