"""The page ``docs/benchmarks.md``, made from stored results and from nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks._record import RESULTS, Benchmark, Figure, Result, load
from pipeline.config import CHECKOUT
from pipeline.disk import write_atomically

PAGE: Final = CHECKOUT / "docs" / "benchmarks.md"
INTRODUCTION: Final = """\
# Benchmarks

Made by `python -m benchmarks --tables` from the results in `benchmarks/results/`; not edited by
hand. To measure again:

    python -m benchmarks --list
    python -m benchmarks NAME --json benchmarks/results/NAME.json
    python -m benchmarks --tables
"""
WIDTH: Final = 100
SIGNS: Final = {"<=": "≤", ">=": "≥"}


def write(benchmarks: Mapping[str, Benchmark]) -> Path:
    """Write the page anew and return where it is."""
    write_atomically(PAGE, page(benchmarks, stored()))
    return PAGE


def stored(folder: Path = RESULTS) -> list[Result]:
    """Return all stored results, by file name."""
    return [load(path) for path in sorted(folder.glob("*.json"))]


def page(benchmarks: Mapping[str, Benchmark], results: Sequence[Result]) -> str:
    """Return the page's text."""
    parts = [INTRODUCTION]
    for name, benchmark in benchmarks.items():
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
    lines = ["| figure | value | target | holds |", "|---|--:|--:|---|"]
    lines += ["| " + " | ".join(row(figure)) + " |" for figure in result.figures]
    quick = ["A quick instance (`--quick`), smaller than what is claimed.", ""]
    return "\n".join([
        *(quick if result.quick else []), *lines, "",
        f"{result.date}, seed {result.seed}.", "",
        f"* Hardware: {_listed(result.hardware)}",
        f"* Versions: {_listed(result.versions)}", "",
    ])  # fmt: skip


def _listed(values: Mapping[str, str] | Mapping[str, str | int | float]) -> str:
    shown = {
        name.replace("_", " "): value if isinstance(value, str) else f"{value:g}"
        for name, value in values.items()
    }
    return "; ".join(f"{name} {value}" for name, value in shown.items())
