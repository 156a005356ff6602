"""Real files of every kind, made for the tests."""

from __future__ import annotations

import io
from collections.abc import Sequence

import docx as word
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject


def html(*parts: str, title: str = "A title", head: str = "") -> bytes:
    body = "\n".join(parts)
    page = f"<html><head><title>{title}</title>{head}</head><body><article>{body}"
    return f"<!doctype html>{page}</article></body></html>".encode()


def docx(paragraphs: Sequence[tuple[str, str]], title: str = "") -> bytes:
    """Make a Word document of (style, text) paragraphs."""
    document = word.Document()
    document.core_properties.title = title
    for style, text in paragraphs:
        document.add_paragraph(text, style=style)
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def pdf(pages: Sequence[Sequence[tuple[float, str]]], title: str = "", password: str = "") -> bytes:
    """Make a PDF of pages of (font size, line)."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/F1"): font})
    for lines in pages:
        page = writer.add_blank_page(595, 842)
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        content = DecodedStreamObject()
        content.set_data(_content(lines))
        page[NameObject("/Contents")] = writer._add_object(content)
    if title:
        writer.add_metadata({"/Title": title})
    if password:
        writer.encrypt(password, algorithm="AES-256")
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def _content(lines: Sequence[tuple[float, str]]) -> bytes:
    commands, height = [], 800.0
    for size, line in lines:
        height -= 1.4 * size
        shown = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        commands.append(f"BT /F1 {size} Tf 1 0 0 1 50 {height:.1f} Tm ({shown}) Tj ET")
    return "\n".join(commands).encode("latin-1")
