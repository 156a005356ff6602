"""Takes out of a page what its reader does not see, so that no annotator reads it either.

Style sheets of the page itself are applied (cascade included); those it links to are not fetched,
so the class names under which the common ones hide things count as hidden too.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from pipeline.sources.extraction.styles import Effects, Sheets, effects, hides

_UNSEEN_TAGS: Final = frozenset({"template", "script", "style", "noframes", "datalist", "object"})
_UNSEEN_CLASSES: Final = frozenset(
    {"sr-only", "visually-hidden", "visuallyhidden", "screen-reader-text", "screen-reader-only",
     "d-none", "hidden", "invisible", "is-hidden", "u-hidden", "hide", "element-invisible"}
)  # fmt: skip
# "d-none d-md-block" and "hidden md:flex" hide on small screens only.
_SHOWN_WIDE: Final = re.compile(r"\b(block|flex|grid|inline|table|contents|visible|not-sr-only)\b")
_WHITE: Final = re.compile(r"white|#fff(fff)?|rgba?\( ?255 ?,? ?255 ?,? ?255( ?[,/] ?1)? ?\)")


def remove_hidden(root: Any) -> None:  # noqa: ANN401 - lxml has no types
    """Drop the elements of an lxml tree that show nothing; text that follows them stays."""
    sheets = _parsed(tuple(_text(style) for style in root.iter("style")))
    seen = _styled(root, sheets) if sheets.rules else _inline(root)
    white_page = not _coloured(root)
    unseen = [element for element, style in seen if _hidden(element, style, white_page=white_page)]
    for element in unseen:
        if element.getparent() is not None:
            element.drop_tree()


@functools.lru_cache(maxsize=8)  # the pages of a site have the same
def _parsed(sheets: tuple[str, ...]) -> Sheets:
    return Sheets(sheets)


def _inline(root: Any) -> list[tuple[Any, Effects]]:  # noqa: ANN401
    return [(element, effects(element.get("style", ""))) for element in root.iter("*")]


def _styled(root: Any, sheets: Sheets) -> list[tuple[Any, Effects]]:  # noqa: ANN401
    import cssselect2  # noqa: PLC0415 - only in the worker

    tree = cssselect2.ElementWrapper.from_html_root(root)
    return [
        (node.etree_element, sheets.effects(node) | effects(node.etree_element.get("style", "")))
        for node in tree.iter_subtree()
        if isinstance(node.etree_element.tag, str)
    ]


def _hidden(element: Any, style: Effects, *, white_page: bool) -> bool:  # noqa: ANN401
    if element.tag in ("html", "body", "head"):
        return False
    if element.tag in _UNSEEN_TAGS or element.get("hidden") is not None:
        return True
    if element.tag == "dialog" and element.get("open") is None:
        return True
    if element.get("aria-hidden") == "true" and not _holds_content(element):
        return True
    if hides(style) or _hidden_by_class(element.get("class", "")):
        return True
    colour = style.get("color") or (element.get("color", "") if element.tag == "font" else "")
    return white_page and bool(_WHITE.fullmatch(colour.casefold()))


def _hidden_by_class(names: str) -> bool:
    return bool(_UNSEEN_CLASSES.intersection(names.casefold().split())) and not _SHOWN_WIDE.search(
        names.casefold()
    )


def _holds_content(element: Any) -> bool:  # noqa: ANN401
    """Say whether an element hidden from screen readers is the page behind an open dialogue."""
    return next(element.iter("main", "article", "h1"), None) is not None


def _coloured(root: Any) -> bool:  # noqa: ANN401
    """Say whether anything may give the page a background other than white."""
    for element in root.iter("*"):
        if element.tag == "link" and "stylesheet" in element.get("rel", "").casefold():
            return True
        if element.get("bgcolor") or "background" in element.get("style", "").casefold():
            return True
        if element.tag == "style" and "background" in _text(element).casefold():
            return True
    return False


def _text(element: Any) -> str:  # noqa: ANN401
    return element.text or ""
