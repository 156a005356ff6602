"""The plots of a report as inline SVG, drawn by matplotlib and coloured by the report's style.

A colour is drawn as a placeholder and replaced by a variable of the style sheet, so a plot follows
the reader's light or dark theme; its text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholder -> variable of report.css.
INK, MUTED, LINE, CARD = "#010101", "#020202", "#030303", "#040404"
BASE, ADAPTED, SECOND, THIRD = "#050505", "#060606", "#070707", "#080808"
COLOURS: Final = {
    INK: "ink", MUTED: "muted", LINE: "line", CARD: "card",
    BASE: "base", ADAPTED: "adapted", SECOND: "second", THIRD: "third",
}  # fmt: skip

WIDTH: Final = 4.2  # inches: legible on a phone, where a plot is shown at about this size

_STYLE: Final[dict[Any, Any]] = {
    "font.size": 9.5, "font.family": "sans-serif", "svg.fonttype": "none", "text.parse_math": False,
    "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": LINE, "axes.labelsize": 9.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.axisbelow": True, "axes.unicode_minus": True, "grid.color": LINE, "grid.linewidth": 0.8,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.major.size": 0, "ytick.major.size": 0,
    "xtick.major.pad": 6, "lines.linewidth": 1.8, "legend.frameon": False, "legend.fontsize": 9.0,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
}  # fmt: skip
# The terms of the objective: name in the curve, colour, line style, name in the legend.
_TERMS: Final = (
    ("loss", INK, "-", "total"),
    ("cosine", ADAPTED, "--", "cosine"),
    ("in_batch", SECOND, "-.", "in-batch"),
    ("angle", THIRD, ":", "angle"),
)


def draw(data: Mapping[str, Any]) -> dict[str, Markup]:
    """Return the plots that ``data`` has figures for, by name."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second that only a report needs

    labels, training = data["labels"], data["training"]
    wanted = {
        "differences": (_differences, data["comparisons"], "Differences with their intervals"),
        "histogram": (_histogram, labels["histogram"], "Distribution of the labels"),
        "coverage": (_coverage, data["mined"], "Mined pairs by expected label"),
        "agreement": (_agreement, labels if labels["agreement"] else None,
                      "Agreement of annotators with gold"),
        "calibration": (_calibration, _calibrated(labels["calibration"]),
                        "Scores against gold, before and after calibration"),
        "loss": (_loss, training.get("curve"), "Training loss by step"),
        "dev": (_dev, training if training.get("dev_curve") else None, "Dev agreement by step"),
        "levels": (_levels, data["gold"]["levels"], "Positions of gold pairs by gold score"),
    }  # fmt: skip
    with mpl.rc_context(_STYLE):
        return {
            name: _svg(plot(figures), name, title)  # type: ignore[operator]
            for name, (plot, figures, title) in wanted.items()
            if figures
        }


def _axes(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # noqa: PLC0415 - see draw

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure, name: str, title: str) -> Markup:
    """Return ``figure`` as SVG that may stand in a page: no ids to clash, no size of its own."""
    import matplotlib as mpl  # noqa: PLC0415 - see draw

    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"font:[^;\"]*?([\d.]+)px[^;\"]*", r"font-size: \1px", text)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    for placeholder, variable in COLOURS.items():
        text = text.replace(placeholder, f"var(--{variable})")
    label = f'<svg role="img" aria-label="{escape(title)}" '
    return Markup(text.replace("<svg ", label, 1))  # noqa: S704 - matplotlib escapes its text


def _differences(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw each difference as a point with its interval, and the line of no difference."""
    figure, axes = _axes(0.8 + 0.42 * len(rows))
    places = range(len(rows))
    axes.axvline(0, color=MUTED, linewidth=1)
    for place, row in zip(places, rows, strict=True):
        axes.plot([row["low"], row["high"]], [place, place], color=ADAPTED, linewidth=2.4,
                  solid_capstyle="round")  # fmt: skip
        axes.plot(row["difference"], place, "o", color=ADAPTED, markersize=7)
    axes.set_yticks(places, [row["measure"] for row in rows], color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("adapted less base, with interval")
    axes.grid(axis="x")
    return figure


def _histogram(counts: Sequence[int]) -> Figure:
    """Draw the labels between 0 and 1 as bars."""
    figure, axes = _axes(2.4)
    width = 1 / len(counts)
    axes.bar([(place + 0.5) * width for place in range(len(counts))], counts, width * 0.86,
             color=ADAPTED)  # fmt: skip
    axes.set_xlabel("label")
    axes.set_ylabel("pairs")
    axes.set_xlim(0, 1)
    axes.grid(axis="y")
    return figure


def _coverage(mined: Mapping[str, Any]) -> Figure:
    """Draw the mined pairs by expected label, and as many as they would be by chance."""
    figure, axes = _axes(2.5)
    pairs, candidates = mined["pairs"], mined["candidates"]
    width = 1 / len(pairs)
    axes.bar([(place + 0.5) * width for place in range(len(pairs))], pairs, width * 0.86,
             color=ADAPTED, label="mined")  # fmt: skip
    if sum(candidates):
        drawn = [count * sum(pairs) / sum(candidates) for count in candidates]
        edges = [place * width for place in range(len(pairs) + 1)]
        axes.stairs(drawn, edges, color=BASE, linewidth=1.6, baseline=None, label="by chance")
        figure.legend(loc="outside upper left", ncols=2, handlelength=1.4)
    axes.set_xlabel("expected label")
    axes.set_ylabel("pairs")
    axes.set_xlim(0, 1)
    axes.grid(axis="y")
    return figure


def _agreement(labels: Mapping[str, Any]) -> Figure:
    """Draw the agreement of each annotator as a bar with its interval, the labels set off."""
    found: Mapping[str, Mapping[str, float]] = labels["agreement"]
    figure, axes = _axes(0.8 + 0.44 * len(found))
    for place, (name, row) in enumerate(found.items()):
        axes.barh(place, row["spearman"], 0.56,
                  color=ADAPTED if name == labels["combine"] else BASE)  # fmt: skip
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


def _calibrated(calibration: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotators that were calibrated to gold."""
    found = calibration.get("annotators", {}) if calibration.get("method") == "isotonic" else {}
    return {name: both for name, both in found.items() if both.get("before") and both.get("after")}


def _calibration(annotators: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw a field for each annotator: mean gold score by its scores; the diagonal is perfect."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - see draw

    columns = min(3, len(annotators))
    rows = -(-len(annotators) // columns)
    figure = Figure(
        figsize=(WIDTH, 0.95 + rows * (0.25 + min(1.9, 3.5 / columns))), layout="constrained"
    )
    fields = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for field, (name, both) in zip(fields, annotators.items(), strict=False):
        field.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
        for when, colour in (("before", BASE), ("after", ADAPTED)):
            bins = both[when]["curve"]
            places, gold = [b["predicted"] for b in bins], [b["gold"] for b in bins]
            field.vlines(places, [b["low"] for b in bins], [b["high"] for b in bins], color=colour,
                         linewidth=1)  # fmt: skip
            field.plot(places, gold, color=colour, marker="o", markersize=3, linewidth=1.2,
                       label=when if field is fields[0] else None)  # fmt: skip
        field.set_title(name.replace("_", " "), fontsize=8.5)
        field.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        field.set_xticks((0, 1), ("0", "1"))
        field.set_yticks((0, 1), ("0", "1"))
        field.set_aspect("equal")
    for field in fields[len(annotators) :]:
        field.set_visible(False)
    figure.supxlabel("score", color=MUTED, fontsize=9.5)
    figure.supylabel("mean gold score", color=MUTED, fontsize=9.5)
    figure.legend(loc="outside upper left", ncols=2, handlelength=1.8)
    return figure


def _loss(curve: Sequence[Mapping[str, float]]) -> Figure:
    """Draw the loss and its terms by step."""
    figure, axes = _axes(2.5)
    steps = [point["step"] for point in curve]
    for name, colour, line, label in _TERMS:
        values = [point[name] for point in curve if point.get(name) is not None]
        if len(values) == len(steps) and any(values):
            axes.plot(steps, values, color=colour, linestyle=line, label=label,
                      marker="o" if len(steps) == 1 else None)  # fmt: skip
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    figure.legend(loc="outside upper left", ncols=4, handlelength=1.8, columnspacing=1.0)
    return figure


def _dev(training: Mapping[str, Any]) -> Figure:
    """Draw the agreement with the dev pairs by step, the base, and the step that was kept."""
    figure, axes = _axes(2.5)
    curve = training["dev_curve"]
    steps, values = [p["step"] for p in curve], [p["spearman"] for p in curve]
    axes.plot(steps, values, color=ADAPTED, marker="o", markersize=4.5)
    if training.get("base_dev") is not None:
        axes.axhline(training["base_dev"], color=BASE, linestyle="--", label="base")
    if training.get("best_step") in steps:
        place = steps.index(training["best_step"])
        axes.plot(steps[place], values[place], "o", markersize=11, markerfacecolor="none",
                  markeredgecolor=SECOND, markeredgewidth=2, linestyle="none",
                  label=f"chosen, step {steps[place]}")  # fmt: skip
    axes.margins(x=0.06, y=0.18)
    axes.set_xlabel("step")
    axes.set_ylabel("Spearman's ρ")
    axes.grid(axis="y")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper left", ncols=2, handlelength=1.8)
    return figure


def _levels(levels: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw where base and adapted place the pairs of each gold score: middle half and 90 %."""
    figure, axes = _axes(2.8)
    for offset, system, colour in ((-0.17, "base", BASE), (0.17, "adapted", ADAPTED)):
        for place, level in enumerate(levels):
            found, x = level[system], place + offset
            axes.plot([x, x], [found["low"], found["high"]], color=colour, linewidth=1.3)
            axes.bar(x, found["upper"] - found["lower"], 0.26, bottom=found["lower"], color=colour,
                     label=system if place == 0 else None)  # fmt: skip
            axes.plot([x - 0.13, x + 0.13], [found["middle"]] * 2, color=CARD, linewidth=1.8,
                      solid_capstyle="butt")  # fmt: skip
    axes.set_xticks(range(len(levels)), [level["level"] for level in levels])
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("gold score")
    axes.set_ylabel("position among all pairs")
    axes.grid(axis="y")
    figure.legend(loc="outside upper left", ncols=2, handlelength=1.2)
    return figure
