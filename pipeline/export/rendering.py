"""Cards and reports from the template files beside this module.

What a text contains is only ever a value: in HTML every value is escaped, and no value is rendered
as a template again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

TEMPLATES: Final = Path(__file__).parent / "templates"

MISSING: Final = "–"


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
        "cell": cell, "front_matter": front_matter,
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


def cell(value: object) -> str:
    """Return ``value`` as the text of one cell of a Markdown table."""
    return " ".join(str(value).replace("|", "\\|").split())


def front_matter(values: dict[str, Any]) -> str:
    """Return ``values`` as YAML between the lines that mark a card's front matter."""
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---"
