"""Plots of pairs and labels: what was mined, what was labelled, what the labels are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.export.plot_style import ADAPTED, BASE, CARD, INK, MUTED, WIDTH, axes_of, legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def histogram(counts: Sequence[int]) -> Figure:
    """Draw the labels between 0 and 1 as bars."""
    figure, axes = axes_of(2.4)
    width = 1 / len(counts)
    axes.bar([(place + 0.5) * width for place in range(len(counts))], counts, width * 0.86,
             color=ADAPTED)  # fmt: skip
    axes.set_xlabel("label")
    axes.set_ylabel("pairs")
    axes.set_xlim(0, 1)
    axes.grid(axis="y")
    return figure


def coverage(mined: Mapping[str, Any]) -> Figure:
    """Draw the mined pairs by expected label, and as many as they would be by chance."""
    figure, axes = axes_of(2.5)
    pairs, candidates = mined["pairs"], mined["candidates"]
    width = 1 / len(pairs)
    axes.bar([(place + 0.5) * width for place in range(len(pairs))], pairs, width * 0.86,
             color=ADAPTED, label="mined")  # fmt: skip
    if sum(candidates):
        drawn = [count * sum(pairs) / sum(candidates) for count in candidates]
        edges = [place * width for place in range(len(pairs) + 1)]
        axes.stairs(drawn, edges, color=INK, linewidth=1.6, baseline=None, linestyle="--",
                    label="by chance")  # fmt: skip
        legend(figure)
    axes.set_xlabel("expected label")
    axes.set_ylabel("pairs")
    axes.set_xlim(0, 1)
    axes.grid(axis="y")
    return figure


def agreement(labels: Mapping[str, Any]) -> Figure:
    """Draw the agreement of each annotator as a bar with its interval, the labels set off."""
    found: Mapping[str, Mapping[str, float]] = labels["agreement"]
    figure, axes = axes_of(0.8 + 0.44 * len(found))
    for place, (name, row) in enumerate(found.items()):
        chosen = name == labels["combine"]
        axes.barh(place, row["spearman"], 0.56, color=ADAPTED if chosen else CARD,
                  edgecolor=ADAPTED if chosen else BASE, linewidth=1.4)  # fmt: skip
        axes.plot([row["low"], row["high"]], [place, place], color=INK, linewidth=1.6)
        for end in (row["low"], row["high"]):
            axes.plot([end, end], [place - 0.12, place + 0.12], color=INK, linewidth=1.6)
        axes.text(1.0, place, f"{row['spearman']:.2f}", ha="right", va="center",
                  transform=axes.get_yaxis_transform())  # fmt: skip
    axes.set_yticks(range(len(found)), [name.replace("_", " ") for name in found], color=INK)
    axes.set_ylim(len(found) - 0.5, -0.5)
    lowest = min(0.0, *(row["low"] for row in found.values()))
    axes.set_xlim(lowest, 1.12 * max(row["high"] for row in found.values()) + 0.02)
    axes.set_xlabel("Spearman's ρ with gold dev pairs")
    axes.grid(axis="x")
    return figure


def calibrated(calibration: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotators that were calibrated to gold."""
    found = calibration.get("annotators", {}) if calibration.get("method") == "isotonic" else {}
    return {name: both for name, both in found.items() if both.get("before") and both.get("after")}


def calibration(annotators: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw a field for each annotator: mean gold score by its scores; the diagonal is perfect."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - see axes_of

    columns = min(3, len(annotators))
    rows = -(-len(annotators) // columns)
    figure = Figure(
        figsize=(WIDTH, 0.95 + rows * (0.25 + min(1.9, 3.5 / columns))), layout="constrained"
    )
    fields = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for field, (name, both) in zip(fields, annotators.items(), strict=False):
        field.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
        for when, colour, line in (("before", BASE, "--"), ("after", ADAPTED, "-")):
            bins = both[when]["curve"]
            places, gold = [b["predicted"] for b in bins], [b["gold"] for b in bins]
            field.vlines(places, [b["low"] for b in bins], [b["high"] for b in bins], color=colour,
                         linewidth=1)  # fmt: skip
            field.plot(places, gold, color=colour, marker="o", markersize=3, linewidth=1.2,
                       linestyle=line, label=when if field is fields[0] else None)  # fmt: skip
        field.set_title(name.replace("_", " "), fontsize=8.5)
        field.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        field.set_xticks((0, 1), ("0", "1"))
        field.set_yticks((0, 1), ("0", "1"))
        field.set_aspect("equal")
    for field in fields[len(annotators) :]:
        field.set_visible(False)
    figure.supxlabel("score", color=MUTED, fontsize=9.5)
    figure.supylabel("mean gold score", color=MUTED, fontsize=9.5)
    legend(figure)
    return figure
