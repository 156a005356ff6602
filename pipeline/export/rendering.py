"""Cards and reports from the template files beside this module.

What a text contains is only ever a value: in HTML every value is escaped, and no value is rendered
as a template again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

TEMPLATES: Final = Path(__file__).parent / "templates"

MISSING: Final = "–"
SMALLEST: Final = 0.001  # p-value that is stated

_SCALES: Final = {
    "rank": "Each annotator's scores are brought to [0, 1] by rank; ",
    "isotonic": "Each annotator's scores are brought to the scale of the gold dev pairs by "
    "centred isotonic regression; ",
}
_COMBINED: Final = {
    "mean": "the label is their mean",
    "median": "the label is their median",
    "gold_weighted": "the label is their mean, each weighted by how well it orders the gold dev "
    "pairs",
}
_BY_ORDER: Final = {
    "blend": "Each annotator's scores are brought to [0, 1] by rank; the label, the blend, is the "
    "rank of their mean",
    "dawid_skene": "Each annotator's scores are cut into six grades by rank; the label is the true "
    "grade to be expected after the model of Dawid and Skene, which finds how each annotator errs",
}


def render(template: str, **values: Any) -> str:  # noqa: ANN401 - whatever the template shows
    """Return ``template`` filled in; HTML templates escape every value."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": number, "signed": signed, "count": count, "words": words, "duration": duration,
        "cell": cell, "front_matter": front_matter, "percent": percent, "chance": chance,
        "size": size, "dollars": dollars, "how_labelled": how_labelled,
    }  # fmt: skip
    return environment.get_template(template).render(values)


def number(value: float | None, digits: int = 3) -> str:
    """Return ``value`` with a true minus, or a dash when there is none."""
    return MISSING if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """Return ``value`` with its sign, or a dash when there is none."""
    return MISSING if value is None else f"{value:+.{digits}f}".replace("-", "−")


def count(value: int | None) -> str:
    """Return a whole number in groups of three digits, or a dash when there is none."""
    return MISSING if value is None else f"{value:,}"


def chance(value: float | None) -> str:
    """Return a p-value: "0.031", "< 0.001" below that, or a dash when there is none."""
    return f"< {SMALLEST:g}" if value is not None and value < SMALLEST else number(value)


def percent(value: float | None, digits: int | None = None) -> str:
    """Return a share as per cent, by default with a decimal below ten, or a dash."""
    if value is None:
        return MISSING
    shown = digits if digits is not None else int(0 < abs(value) < 0.0995)
    return f"{100 * value:.{shown}f}\u00a0%"


def size(value: int | None) -> str:
    """Return a number of bytes: "640 B", "1.2 MB", "3.4 GB"; a dash when there is none."""
    if value is None:
        return MISSING
    unit = min(len(str(max(value, 1))) - 1, 9) // 3
    return f"{value / 1000**unit:.{0 if unit == 0 else 1}f} {('B', 'kB', 'MB', 'GB')[unit]}"


def dollars(value: float | None) -> str:
    """Return a sum of money: "$0.0031", "$1.20"; a dash where nobody knows a price."""
    if value is None:
        return MISSING
    return f"${value:.2f}" if value == 0 or value >= 1 else f"${value:.4f}"


def words(name: str) -> str:
    """Return an identifier as words: ``near_duplicate`` as "near duplicate"."""
    return name.replace("_", " ")


def duration(seconds: float | None) -> str:
    """Return a time a reader takes in at once: "0.4 s", "52 s", "4 min 05 s", "1 h 02 min"."""
    if seconds is None:
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def how_labelled(curate: Mapping[str, Any]) -> str:
    """Return how opinions became labels, from the summary of curate."""
    way = curate.get("combine", "blend")
    method = curate.get("calibration", {}).get("method", "rank")
    made = _BY_ORDER.get(way) or _SCALES[method] + _COMBINED[way]
    scaled = method == "isotonic" and way != "blend"
    return f"{made}, on the scale of gold." if scaled else f"{made}."


def cell(value: object) -> str:
    """Return ``value`` as the text of one cell of a Markdown table."""
    return " ".join(str(value).replace("|", "\\|").split())


def front_matter(values: dict[str, Any]) -> str:
    """Return ``values`` as YAML between the lines that mark a card's front matter."""
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---"
