"""The pages ``docs/benchmarks.md`` and ``docs/results.md``, made from stored results alone."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks._record import RESULTS, Benchmark, Figure, Result, load
from pipeline.config import CHECKOUT
from pipeline.disk import write_atomically

BEGINNING: Final = """\
# {title}

Made by `python -m benchmarks --tables` from the results in `benchmarks/results/`; not edited by
hand. {about} To measure again:

    python -m benchmarks --list
    python -m benchmarks NAME --json benchmarks/results/NAME.json
    python -m benchmarks --tables
"""


class Page(NamedTuple):
    """A page, and the benchmarks on it by how their names begin (or do not)."""

    title: str
    about: str
    path: Path
    results: bool


PAGES: Final = (
    Page("Benchmarks", "Speed, memory and behaviour; what models gain is in "
         "[results.md](results.md).",
         CHECKOUT / "docs" / "benchmarks.md", results=False),
    Page("Results", "What models gain on sets that people labelled; a measure without a unit is "
         "Spearman's ρ of the cosines, or nDCG@10 where a search is measured.",
         CHECKOUT / "docs" / "results.md", results=True),
)  # fmt: skip
RESULT: Final = "results_"  # begins the names of benchmarks about what models gain
PARTS: Final = 3  # of a name "system, set, measure", which is a place in a table
WIDTH: Final = 100
SIGNS: Final = {"<=": "≤", ">=": "≥"}


def write(benchmarks: Mapping[str, Benchmark]) -> list[Path]:
    """Write the pages anew and return where they are."""
    for one in PAGES:
        write_atomically(one.path, page(one, benchmarks, stored()))
    return [one.path for one in PAGES]


def stored(folder: Path = RESULTS) -> list[Result]:
    """Return all stored results, by file name."""
    return [load(path) for path in sorted(folder.glob("*.json"))]


def page(one: Page, benchmarks: Mapping[str, Benchmark], results: Sequence[Result]) -> str:
    """Return the page's text."""
    about = textwrap.fill(one.about, WIDTH)
    parts = [BEGINNING.format(title=one.title, about=about)]
    for name, benchmark in benchmarks.items():
        if name.startswith(RESULT) is not one.results:
            continue
        own = [result for result in results if result.name == name]
        parts.append(f"## {name}\n\n{textwrap.fill(benchmark.claim, WIDTH)}\n")
        parts += [_section(result) for result in own] or ["Not measured yet.\n"]
    return "\n".join(parts)


def number(value: float) -> str:
    """Return ``value`` as people read it, never in powers of ten."""
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3}f}"


def row(figure: Figure) -> tuple[str, str, str, str]:
    """Return a figure's name, value with unit, target and whether it holds, for people."""
    unit = f" {figure.unit}" if figure.unit else ""
    if figure.target is None:
        return figure.name, number(figure.value) + unit, "", ""
    target = f"{SIGNS[figure.comparison]} {number(figure.target)}{unit}"
    return figure.name, number(figure.value) + unit, target, "yes" if figure.holds else "no"


def _section(result: Result) -> str:
    quick = ["A quick instance (`--quick`), smaller than what is claimed.", ""]
    return "\n".join([
        *(quick if result.quick else []), *_crossed(result), *_rows(result),
        f"{result.date}, seed {result.seed}.", "",
        f"* Hardware: {_listed(result.hardware)}",
        f"* Versions: {_listed(result.versions)}", "",
    ])  # fmt: skip


def _rows(result: Result) -> list[str]:
    """Return a table of the figures that have no place in another."""
    own = [figure for figure in result.figures if not _place(result, figure)]
    if not own:
        return []
    lines = ["| figure | value | target | holds |", "|---|--:|--:|---|"]
    return [*lines, *("| " + " | ".join(row(figure)) + " |" for figure in own), ""]


def _place(result: Result, figure: Figure) -> tuple[str, str, str] | None:
    """Return table, row and column of a figure, read off its name."""
    parts = figure.name.split(", ", PARTS - 1)
    if not result.name.startswith(RESULT) or len(parts) < PARTS:
        return None
    return parts[0], parts[1], parts[2]


def _crossed(result: Result) -> list[str]:
    """Return a table for each system: sets by measures."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for figure in result.figures:
        if place := _place(result, figure):
            system, given, what = place
            tables.setdefault(system, {}).setdefault(given, {})[what] = row(figure)[1]
    lines = []
    for system, rows in tables.items():
        columns = list(dict.fromkeys(what for cells in rows.values() for what in cells))
        lines += [f"| {system} | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
        lines += [
            f"| {given} | " + " | ".join(cells.get(what, "") for what in columns) + " |"
            for given, cells in rows.items()
        ]
        lines.append("")
    return lines


def _listed(values: Mapping[str, str] | Mapping[str, str | int | float]) -> str:
    shown = {
        name.replace("_", " "): value if isinstance(value, str) else f"{value:g}"
        for name, value in values.items()
    }
    return "; ".join(f"{name} {value}" for name, value in shown.items())
