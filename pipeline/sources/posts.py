"""The prose of a post as Stack Exchange keeps it: rendered HTML in, plain text out."""

from __future__ import annotations

import re
from typing import Any, Final

_LEFT_OUT: Final = frozenset({"script", "style", "img", "iframe", "object", "noscript", "svg"})
_PARAGRAPHS: Final = ("p", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "table")
_LINES: Final = ("div", "ul", "ol", "dl", "dt", "dd", "tr", "br", "details", "summary")
# What stands before and after the text of an element.
_MARKS: Final = (
    dict.fromkeys(_PARAGRAPHS, "\n\n") | dict.fromkeys(_LINES, "\n") | {"li": "\n- "}
    | dict.fromkeys(("td", "th"), " ")
)  # fmt: skip
_OPENING: Final = frozenset({"li", "br"})  # marked before their text alone
# The notice that closing as a duplicate used to put into the question itself.
_NOTICE: Final = re.compile(r"^\s*Possible Duplicates?:", re.IGNORECASE)
_NOTICE_WITHIN: Final = 100  # characters of a quotation
_TITLE_NOTICE: Final = re.compile(
    r"\s*\[(?:duplicate|closed|migrated|on hold|moved to chat|locked)\]\s*$", re.IGNORECASE
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_EMPTY_ITEM: Final = re.compile(r"^-\n+(?=[^\n-])", re.MULTILINE)
_ENDS: Final = re.compile(r"[ \t]+\n")
_BLANK_LINES: Final = re.compile(r"\n{3,}")
_SPACES: Final = re.compile(r"[ \t\r\f\v\n]+")


def prose(body: str, code: str) -> str:
    """Return the text of a post's HTML; ``code`` is "drop" or "keep", for code blocks.

    Broken markup is read as far as it can be. The notice "Possible Duplicate: …" is left out: it
    quotes the title of the other question, which would give the answer of a gold set away.

    Raises:
        ValueError: when it is no HTML at all.
    """
    from lxml import etree, html  # noqa: PLC0415 - heavy, and needed by one source alone

    if not body.strip():
        return ""
    try:
        root = html.fragment_fromstring(_CONTROL.sub(" ", body), create_parent="div")
    except etree.LxmlError as error:
        message = f"the body is not HTML ({error})"
        raise ValueError(message) from error
    text = "".join(_pieces(root, code))
    return _BLANK_LINES.sub("\n\n", _EMPTY_ITEM.sub("- ", _ENDS.sub("\n", text))).strip()


def title(text: str) -> str:
    """Return a question's title without what the site appends when it is closed."""
    return " ".join(_TITLE_NOTICE.sub("", text).split())


def _pieces(root: Any, code: str) -> list[str]:  # noqa: ANN401 - lxml has no types
    """Return the text of an element in the order of reading; walks without recursion."""
    from lxml import etree  # noqa: PLC0415 - as above

    pieces, inside = ["\n"], 0  # of code blocks
    events = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    for event, node in events:
        left_out = _is_left_out(node, code)
        if event == "start" and left_out:
            events.skip_subtree()
        elif event == "start":
            inside += node.tag == "pre"
            pieces.append(_MARKS.get(node.tag, ""))
            pieces.append(_spaced(node.text, inside, pieces))
        else:
            if not left_out:
                inside -= node.tag == "pre"
                pieces.append(_MARKS.get(node.tag, "") if node.tag not in _OPENING else "")
            pieces.append(_spaced(node.tail if node is not root else "", inside, pieces))
    return pieces


def _spaced(text: str | None, inside: int, pieces: list[str]) -> str:
    """Return text with its white space as a browser shows it, or as it is in a code block."""
    if inside or not text:
        return text or ""
    shown = _SPACES.sub(" ", text)
    before = next((piece for piece in reversed(pieces) if piece), "")
    return shown.lstrip(" ") if before.endswith(("\n", "- ")) else shown


def _is_left_out(node: Any, code: str) -> bool:  # noqa: ANN401 - as above
    if not isinstance(node.tag, str):  # a comment
        return True
    if node.tag == "blockquote":
        return bool(_NOTICE.match("".join(node.itertext())[:_NOTICE_WITHIN]))
    return node.tag in _LEFT_OUT or (node.tag == "pre" and code == "drop")
