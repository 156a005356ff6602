"""Plots of base against adapted: differences, positions, strengths, scores and angles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pipeline.export.plot_style import (
    ADAPTED,
    BASE,
    CARD,
    INK,
    MUTED,
    SECOND,
    WIDTH,
    axes_of,
    legend,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TURN: Final = 180  # degrees


def differences(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the difference of each set with its interval, 0, and what a guard may lose."""
    labels = [wrapped(row["name"]) + f"\n{row['measure']}" for row in rows]
    figure, axes = axes_of(0.8 + sum(0.26 + 0.15 * label.count("\n") for label in labels))
    axes.axvline(0, color=MUTED, linewidth=1)
    for place, row in enumerate(rows):
        general = row["role"] == "general"
        axes.plot([row["low"], row["high"]], [place, place], color=ADAPTED, linewidth=2.4,
                  solid_capstyle="round")  # fmt: skip
        axes.plot(row["difference"], place, "s" if general else "o", color=ADAPTED, markersize=7,
                  markerfacecolor=CARD if general else ADAPTED, markeredgewidth=1.8)  # fmt: skip
        if place and row["allowed_loss"]:
            axes.plot([-row["allowed_loss"]] * 2, [place - 0.3, place + 0.3], color=SECOND,
                      linewidth=1.6, linestyle=(0, (2, 1)))  # fmt: skip
    axes.set_yticks(range(len(rows)), labels, color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("adapted less base")
    axes.grid(axis="x")
    return figure


def levels(found: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw where base and adapted place the pairs of each gold score: middle half and 90 %."""
    figure, axes = axes_of(2.8)
    systems = ((-0.17, "base", BASE, CARD), (0.17, "adapted", ADAPTED, ADAPTED))
    for offset, system, colour, filled in systems:
        for place, level in enumerate(found):
            row, x = level[system], place + offset
            axes.plot([x, x], [row["low"], row["high"]], color=colour, linewidth=1.3, zorder=2)
            axes.bar(x, row["upper"] - row["lower"], 0.26, bottom=row["lower"], color=filled,
                     edgecolor=colour, linewidth=1.4, zorder=3,
                     label=system if place == 0 else None)  # fmt: skip
            axes.plot([x - 0.13, x + 0.13], [row["middle"]] * 2, linewidth=1.8, zorder=4,
                      color=colour if filled == CARD else CARD,
                      solid_capstyle="butt")  # fmt: skip
    axes.set_xticks(range(len(found)), [level["level"] for level in found])
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("gold score")
    axes.set_ylabel("position among all pairs")
    axes.grid(axis="y")
    legend(figure)
    return figure


def strength(found: Mapping[str, Any]) -> Figure:
    """Draw ρ of both kinds of dev pairs by strength, the chosen one, and what is allowed."""
    figure, axes = axes_of(2.7)
    points = found["points"]
    for name, colour, line, mark, label in (
        ("domain", ADAPTED, "-", "o", "domain"),
        ("general", SECOND, "--", "s", "general"),
    ):
        known = [(point["strength"], point[name]) for point in points if point[name] is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=colour, linestyle=line, marker=mark,
                      markersize=5, label=label)  # fmt: skip
        if known and name == "general":
            axes.axhline(known[0][1] - found["allowed_loss"], color=MUTED, linestyle=":",
                         linewidth=1.2, label="lowest allowed")  # fmt: skip
        axes.plot([s for s, _ in known if s == found["chosen"]],
                  [rho for s, rho in known if s == found["chosen"]], "o", markersize=12,
                  markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.6)  # fmt: skip
    axes.axvline(found["chosen"], color=INK, linewidth=0.8, zorder=0,
                 label=f"chosen, {found['chosen']:g}")  # fmt: skip
    axes.set_xticks([point["strength"] for point in points])
    axes.margins(y=0.18)
    axes.set_xlabel("strength of the adapter")
    axes.set_ylabel("Spearman's ρ, dev pairs")
    axes.grid(axis="y")
    legend(figure)
    return figure


def scores(found: Mapping[str, Any]) -> Figure:
    """Draw the cosines of both models on the same bins, one above the other."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - see axes_of

    figure = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    fields = figure.subplots(2, 1, sharex=True)
    edges = found["edges"]
    for field, name, colour in zip(fields, ("base", "adapted"), (BASE, ADAPTED), strict=True):
        first = name == "base"
        field.stairs(found[name]["counts"], edges, color=colour, linewidth=1.4,
                     label="all pairs" if first else None)  # fmt: skip
        if any(found[name]["positives"]):
            field.stairs(found[name]["positives"], edges, fill=True, color=colour, alpha=0.55,
                         label="of the same meaning" if first else None)  # fmt: skip
        place = (found["recommended"] or {}).get(name, {}).get("threshold")
        if place is not None:
            field.axvline(place, color=SECOND, linestyle="--", linewidth=1.6,
                          label="recommended threshold" if first else None)  # fmt: skip
        field.set_ylabel(f"{name}, pairs")
        field.grid(axis="y")
    _ticks(fields[-1], edges)
    fields[-1].set_xlabel("cosine of a pair")
    legend(figure)
    return figure


def _ticks(axes: Axes, edges: Sequence[float]) -> None:
    room = (edges[-1] - edges[0]) * 0.02
    axes.set_xlim(edges[0] - room, edges[-1] + room)


def mapped(found: Mapping[str, Any]) -> Figure:
    """Draw the map from old scores to new ones, and the line on which nothing would change."""
    figure, axes = axes_of(2.9)
    old, new = found["table"]["old"], found["table"]["new"]
    low, high = (found["base"]["quantiles"][level] for level in ("0.01", "0.99"))
    room = max(0.25 * (high - low), 0.02)
    axes.plot([-1, 1], [-1, 1], color=MUTED, linestyle=":", linewidth=1.2, label="unchanged")
    axes.plot(old, new, color=ADAPTED, label="takes its place")
    rows = found["rows"]
    axes.plot([row["old"] for row in rows], [row["new"] for row in rows], "o", color=ADAPTED,
              markersize=4.5)  # fmt: skip
    axes.set_xlim(max(-1.0, low - room), min(1.0, high + room))
    shown = [n for o, n in zip(old, new, strict=True) if low - room <= o <= high + room]
    shown += [low, high]
    axes.set_ylim(max(-1.02, min(shown) - 0.05), min(1.02, max(shown) + 0.05))
    axes.set_xlabel("score of the base")
    axes.set_ylabel("score of the adapted model")
    axes.grid()
    legend(figure)
    return figure


def angles(found: Mapping[str, Any]) -> Figure:
    """Draw the pairs by angle for both models, and the zone where the cosine hardly changes."""
    figure, axes = axes_of(2.6)
    counts = {name: found[name]["angles"] for name in ("base", "adapted")}
    width = TURN / len(counts["base"])
    edges = [place * width for place in range(len(counts["base"]) + 1)]
    zone = math.degrees(math.asin(found["bound"]))
    for place, ends in enumerate(((0, zone), (TURN - zone, TURN))):
        axes.axvspan(*ends, facecolor=SECOND, alpha=0.18, edgecolor="none",
                     label="saturated" if place == 0 else None)  # fmt: skip
    axes.stairs(counts["base"], edges, color=BASE, linestyle="--", linewidth=1.8, label="base")
    axes.stairs(counts["adapted"], edges, color=ADAPTED, linewidth=1.8, label="adapted")
    axes.set_xlim(0, TURN)
    axes.set_xticks(range(0, TURN + 1, 45), [f"{place}°" for place in range(0, TURN + 1, 45)])
    axes.set_xlabel("angle between the vectors of a pair")
    axes.set_ylabel("pairs")
    axes.grid(axis="y")
    legend(figure, 3)
    return figure
