"""What CSS does to the sight of an element, from its own style and the page's style sheets."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

WIDTH: Final = 1280.0  # pixels of the screen for which media queries are answered

# Property -> values that make an element invisible, alone.
_INVISIBLE: Final = {
    name: re.compile(pattern)
    for name, pattern in {
        "display": r"none",
        "visibility": r"hidden|collapse",
        "content-visibility": r"hidden",
        "opacity": r"0*\.?0+%?",
        "font-size": r"(0*\.?0+|0*\.\d+|1|1\.0)(px|pt)|0*\.?0+(%|[a-z]+)?|0*\.0\d*r?em",
        "font": r"(.* )?0*\.?0+(px|pt|em|rem|%)?(/.*)?( .*)?",
        "color": r"transparent|#...0|#......00|.*\(.*/ ?0*\.?0+%?\)|"
        r"(rgb|hsl)a?\(([^,/]*,){3} ?0*\.?0+%?\)",
        "text-indent": r"-\d{3,}(\.\d+)?[a-z%]+",
        "clip": r"rect\( ?(0|1px)\D.*",
        "clip-path": r"inset\( ?(50|100)%.*|circle\( ?0\D.*|polygon\([0px%, ]*\)",
        "transform": r"(.* )?(scale[xy]?\( ?0*\.?0+ ?[,)].*|translate[xy3d]*\( ?-\d{3,}.*)",
    }.items()
}
_AWAY: Final = re.compile(r"-\d{3,}(\.\d+)?[a-z%]+")
_NOTHING: Final = re.compile(r"(0*\.?0+|1)(px)?|0[a-z%]*")
_ZERO_HEIGHT: Final = ("height", "max-height", "width", "max-width")
_CLIPPED: Final = ("hidden", "clip")
_TELLTALE: Final = re.compile(
    r"display|visib|opacity|font|color|indent|clip|transform|position|overflow|margin|\\", re.I
)
_MEASURES: Final = re.compile(r"left|right|top|bottom|inset|height|width|background|float")
_QUERY: Final = re.compile(r"\(\s*(min|max)-width\s*:\s*([\d.]+)(px|em|rem)\s*\)")

_WITHOUT_SPACE: Final = {"skip_comments": True, "skip_whitespace": True}

Effects = dict[str, str]


@functools.lru_cache(maxsize=4096)
def effects(style: str) -> Effects:
    """Return the declarations of a ``style`` attribute: names to values, both normalised."""
    import tinycss2  # noqa: PLC0415 - only in the worker

    if not _TELLTALE.search(style):
        return {}
    return _effects(tinycss2.parse_blocks_contents(style, **_WITHOUT_SPACE))


def _effects(nodes: Iterable[Any]) -> Effects:
    import tinycss2  # noqa: PLC0415

    found: dict[str, tuple[bool, str]] = {}
    for node in nodes:
        if node.type != "declaration":
            continue
        tokens = [token for token in node.value if token.type != "comment"]
        value = " ".join(tinycss2.serialize(tokens).casefold().split())
        if node.important or not found.get(node.lower_name, (False, ""))[0]:
            found[node.lower_name] = (node.important, value)
    return {name: value for name, (_, value) in found.items()}


def hides(style: Effects) -> bool:
    """Say whether an element with these declarations shows nothing of its text."""
    if any(name in style and rule.fullmatch(style[name]) for name, rule in _INVISIBLE.items()):
        return True
    if style.get("position") in ("absolute", "fixed") or style.get("float", "none") != "none":
        sides = ("left", "right", "top", "bottom", "inset", "margin-left", "margin-top", "margin")
        if any(_AWAY.search(style.get(side, "")) for side in sides):
            return True
    if _clipped(style) and any(_NOTHING.fullmatch(style.get(n, "")) for n in _ZERO_HEIGHT):
        return True
    colour = style.get("color", "")
    return bool(colour) and colour in (style.get("background-color"), style.get("background"))


def _clipped(style: Effects) -> bool:
    overflows = (style.get(name, "") for name in ("overflow", "overflow-x", "overflow-y"))
    return any(value in _CLIPPED for value in overflows)


class Sheets:
    """The rules of a page's own style sheets that bear on sight."""

    def __init__(self, sheets: Iterable[str]) -> None:
        import cssselect2  # noqa: PLC0415 - only in the worker

        self._matcher = cssselect2.Matcher()
        self.rules = 0
        for sheet in sheets:
            for selectors, style in _rules(sheet):
                self._add(selectors, style)

    def _add(self, prelude: Any, style: Effects) -> None:  # noqa: ANN401 - tokens
        import cssselect2  # noqa: PLC0415

        try:
            selectors = cssselect2.compile_selector_list(prelude)
        except cssselect2.SelectorError:
            return  # a selector that this library does not know, such as :focus-visible
        self.rules += 1
        for selector in selectors:
            if selector.pseudo_element is None:
                self._matcher.add_selector(selector, style)

    def effects(self, element: Any) -> Effects:  # noqa: ANN401 - a cssselect2.ElementWrapper
        """Return what the sheets declare for ``element``, the strongest rule last."""
        found: Effects = {}
        for *_, style in self._matcher.match(element):
            found |= style
        return found


def _rules(sheet: str) -> Iterator[tuple[Any, Effects]]:
    import tinycss2  # noqa: PLC0415

    if not _TELLTALE.search(sheet):
        return
    yield from _inside(tinycss2.parse_stylesheet(sheet, **_WITHOUT_SPACE))


def _inside(nodes: Iterable[Any]) -> Iterator[tuple[Any, Effects]]:
    import tinycss2  # noqa: PLC0415

    pending = [iter(nodes)]
    while pending:
        node = next(pending[-1], None)
        if node is None:
            pending.pop()
        elif node.type == "qualified-rule":
            style = _effects(tinycss2.parse_blocks_contents(node.content, **_WITHOUT_SPACE))
            told = {n: v for n, v in style.items() if _TELLTALE.search(n) or _MEASURES.search(n)}
            if told:
                yield node.prelude, told
        elif node.type == "at-rule" and node.content and _applies(node):
            pending.append(iter(tinycss2.parse_rule_list(node.content, **_WITHOUT_SPACE)))


def _applies(rule: Any) -> bool:  # noqa: ANN401 - a token
    """Say whether the rules inside an at-rule hold on a common screen."""
    import tinycss2  # noqa: PLC0415

    if rule.lower_at_keyword in ("supports", "layer", "container", "scope"):
        return True
    if rule.lower_at_keyword != "media":
        return False
    query = tinycss2.serialize(rule.prelude).casefold()
    for side, number, unit in _QUERY.findall(query):
        pixels = float(number) * (1 if unit == "px" else 16)
        if (pixels > WIDTH) if side == "min" else (pixels < WIDTH):
            return False
    rest = _QUERY.sub("", query)
    return not re.search(r"print|speech|not|\(", rest)
