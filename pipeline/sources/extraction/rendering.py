"""The tree that trafilatura makes of a page, as text: headings on ``#`` lines, blank lines between.

Words in bold or of a link are words; nothing else of Markdown is written, because it would be part
of what a model reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

_BLOCKS: Final = frozenset({"p", "head", "list", "quote", "code", "table", "item", "row", "div"})


def rendered(body: Any) -> str:  # noqa: ANN401 - lxml has no types
    """Return the text of ``body``; paragraphs are separated by one blank line."""
    return "\n\n".join(block for block in _blocks(body) if block.strip())


def _blocks(parent: Any) -> Iterator[str]:  # noqa: ANN401
    yield _line(parent.text)
    for element in parent:
        yield from _WRITERS.get(element.tag, _paragraph)(element)
        yield _line(element.tail)


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def _heading(element: Any) -> Iterator[str]:  # noqa: ANN401
    level = element.get("rend", "h2")[-1:]
    marks = "#" * (int(level) if level in "123456" else 2)
    if words := _line("".join(element.itertext())):
        yield f"{marks} {words}"


def _list(element: Any) -> Iterator[str]:  # noqa: ANN401
    yield "\n".join(_items(element, ""))


def _items(element: Any, indent: str) -> Iterator[str]:  # noqa: ANN401
    for item in element.iterchildren("item"):
        if words := _line("".join(_own_text(item))):
            yield f"{indent}- {words}"
        for inner in item.iterchildren("list"):
            yield from _items(inner, f"{indent}  ")


def _own_text(element: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the text in an element, without that of lists inside it."""
    yield element.text or ""
    for child in element:
        if child.tag != "list":
            yield " " if child.tag in ("lb", *_BLOCKS) else ""
            yield from _own_text(child)
        yield " " if child.tag in _BLOCKS else ""
        yield child.tail or ""


def _code(element: Any) -> Iterator[str]:  # noqa: ANN401
    text = "".join(element.itertext()).strip("\n").rstrip()
    yield f"```\n{text}\n```" if "\n" in text else text


def _table(element: Any) -> Iterator[str]:  # noqa: ANN401
    rows = (
        [_line("".join(_own_text(cell))) for cell in row.iterchildren("cell")]
        for row in element.iter("row")
    )
    yield "\n".join(" | ".join(row) for row in rows if any(row))


def _paragraph(element: Any) -> Iterator[str]:  # noqa: ANN401
    if any(child.tag in _BLOCKS and child.tag != "code" for child in element):
        yield from _blocks(element)
        return
    parts = [element.text or ""]
    for child in element:
        if child.tag == "lb":
            parts.append("")
        else:
            parts[-1] += "".join(child.itertext())
        parts[-1] += child.tail or ""
    yield "\n".join(filter(None, map(_line, parts)))


_WRITERS: Final = {
    "head": _heading,
    "list": _list,
    "code": _code,
    "table": _table,
    "quote": _paragraph,
    "p": _paragraph,
}
