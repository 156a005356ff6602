"""Documents cut along their structure: sections, paragraphs, sentences.

A chunk is named by what it says, not by where it stands, so that editing a document renames only
the chunks whose text changed. No text is lost: headings go to the chunk's section, and one with
nothing under it is a chunk of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, NamedTuple

from pipeline.records import Document, digest_of, normalised, text_id
from pipeline.sections import CleanSettings
from pipeline.sentences import sentences
from pipeline.words import WORD, count_words

_HEADING: Final = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
# A line under a title makes it a heading, too.
_UNDERLINE: Final = re.compile(r" {0,3}(=|-)\1{2,}[ \t]*")
_TITLE: Final = re.compile(r" {0,3}\w[^|]*$")
_CLOSING: Final = re.compile(r"(?:^|[ \t])#+[ \t]*$")
_FENCE: Final = re.compile(r" {0,3}(```|~~~)")
_FULL_STOP: Final = re.compile(r"(?<=[。！？])")  # noqa: RUF001 - they end a sentence in CJK text
_PARAGRAPHS: Final = "\n\n"

Headings = tuple[str, ...]


class Paragraph(NamedTuple):
    """A paragraph, the headings above it, and the number of its section in the document."""

    text: str
    headings: Headings
    section: int


def chunks(document: Document, settings: CleanSettings) -> list[Document]:
    """Return the parts of ``document`` as documents, in order; itself when it is not to be cut.

    A section longer than ``clean.chunk_words`` is cut between paragraphs, a longer paragraph
    between sentences, and only a longer sentence between words.
    """
    if settings.chunk == "none" or not document.text.strip():
        return [document]
    seen: Counter[str] = Counter()
    pieces = _pieces(paragraphs(document.text), settings)
    found = [_chunk(document, text, headings, seen) for text, headings in pieces]
    return found or [document]


def paragraphs(text: str) -> Iterator[Paragraph]:
    """Yield the paragraphs of a text in Markdown; a fenced block is in one paragraph.

    A heading with neither text nor headings under it is a paragraph.
    """
    above: list[tuple[int, str]] = []
    section, bare = 0, False
    for block in [*_blocks(text), "# end"]:
        heading = _HEADING.fullmatch(block)
        if not heading:
            yield Paragraph(block, _titles(above), section)
            bare = False
            continue
        level = len(heading[1])
        if bare and above[-1][0] >= level and above[-1][1]:
            yield Paragraph(above[-1][1], _titles(above[:-1]), section)
        above = [(depth, title) for depth, title in above if depth < level]
        above.append((level, _CLOSING.sub("", heading[2]).strip()))
        section, bare = section + 1, True


def _blocks(text: str) -> Iterator[str]:
    """Yield headings, each a line that begins with "#", and the lines between blank lines."""
    held: list[str] = []
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence or mark:
            held.append(line)
            if mark and fence in {"", mark[1]}:
                fence = "" if fence else mark[1]
            continue
        under = _UNDERLINE.fullmatch(line) if len(held) == 1 and _TITLE.match(held[0]) else None
        if under:
            yield f"{'#' if under[1] == '=' else '##'} {held.pop().strip()}"
        elif not line.strip() or _HEADING.fullmatch(line):
            yield from _ended(held)
            yield from [line] if line.strip() else []
        else:
            held.append(line)
    yield from _ended(held)


def _ended(held: list[str]) -> Iterator[str]:
    if held:
        yield "\n".join(held)
        held.clear()


def _titles(above: list[tuple[int, str]]) -> Headings:
    return tuple(title for _, title in above)


def _pieces(found: Iterable[Paragraph], settings: CleanSettings) -> Iterator[tuple[str, Headings]]:
    limit = settings.chunk_words
    for _, group in groupby(found, key=lambda paragraph: paragraph.section):
        section = list(group)
        if settings.chunk == "section":
            parts = (part for paragraph in section for part in _fitting(paragraph.text, limit))
            texts = list(_packed(parts, limit, _PARAGRAPHS))
        elif settings.chunk == "paragraph":
            texts = [part for paragraph in section for part in _fitting(paragraph.text, limit)]
        else:
            texts = [part for paragraph in section for part in _sentences(paragraph.text, limit)]
        for text in texts:
            yield text, section[0].headings


def _fitting(paragraph: str, limit: int) -> Iterator[str]:
    if count_words(paragraph) <= limit:
        yield paragraph
    else:
        yield from _packed(_sentences(paragraph, limit), limit, " ")


def _sentences(paragraph: str, limit: int) -> Iterator[str]:
    for sentence in sentences(paragraph):
        for part in filter(None, map(str.strip, _FULL_STOP.split(sentence))):
            yield from _cut(part, limit)


def _cut(sentence: str, limit: int) -> Iterator[str]:
    starts = [match.start() for match in WORD.finditer(sentence)][::limit]
    for start, stop in zip(starts, [*starts[1:], len(sentence)], strict=True):
        yield sentence[start:stop].strip()


def _packed(parts: Iterable[str], limit: int, between: str) -> Iterator[str]:
    """Join neighbours as long as ``limit`` words hold them."""
    held: list[str] = []
    words = 0
    for part in parts:
        more = count_words(part)
        if held and words + more > limit:
            yield between.join(held)
            held, words = [], 0
        held.append(part)
        words += more
    if held:
        yield between.join(held)


def _chunk(document: Document, text: str, headings: Headings, seen: Counter[str]) -> Document:
    section = " > ".join(filter(None, (document.section, *headings)))
    mark = digest_of(section, normalised(text))[:8]
    seen[mark] += 1
    again = f"-{seen[mark]}" if seen[mark] > 1 else ""
    return document.model_copy(
        update={
            "id": text_id(text),
            "text": text,
            "name": f"{document.name}#{mark}{again}",
            "section": section,
            "parent": document.name,
        }
    )
