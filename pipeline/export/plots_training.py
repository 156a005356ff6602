"""Plots of training: the loss and its terms by step, dev pairs, and what more labels bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pipeline.export.plot_style import ADAPTED, BASE, INK, SECOND, THIRD, axes_of, legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAR_APART: Final = 20.0  # largest to least, from which norms are drawn on a logarithmic scale

# The terms of the objective: name in the curve, colour, line style, name in the legend.
_TERMS: Final = (
    ("loss", INK, "-", "total"),
    ("cosine", ADAPTED, "--", "cosine"),
    ("in_batch", SECOND, "-.", "in-batch"),
    ("angle", THIRD, ":", "angle"),
)


def loss(curve: Sequence[Mapping[str, float]]) -> Figure:
    """Draw the loss and its terms by step."""
    figure, axes = axes_of(2.5)
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
    legend(figure, 4)
    return figure


def dev(training: Mapping[str, Any]) -> Figure:
    """Draw the agreement with the dev pairs by step, the base, and the step that was kept."""
    figure, axes = axes_of(2.5)
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
        legend(figure)
    return figure


def norms(points: Sequence[Mapping[str, float]]) -> Figure:
    """Draw how much each term changes for a radian that a text's vector turns, by step."""
    figure, axes = axes_of(2.5)
    steps = [point["step"] for point in points]
    marks = {"cosine": "o", "in_batch": "s", "angle": "^"}
    drawn: list[float] = []
    for name, colour, line, label in _TERMS:
        values = [point[name] for point in points if point.get(name) is not None]
        if name in marks and len(values) == len(steps) and any(values):
            axes.plot(steps, values, color=colour, linestyle=line, marker=marks[name], markersize=5,
                      label=label)  # fmt: skip
            drawn += values
    if drawn and min(drawn) > 0 and max(drawn) > FAR_APART * min(drawn):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel("step")
    axes.set_ylabel("change for a radian")
    axes.grid(axis="y")
    legend(figure, 3)
    return figure


def learning(curve: Mapping[str, Any]) -> Figure:
    """Draw ρ on dev and test pairs by the pairs that were trained on, with intervals."""
    figure, axes = axes_of(2.6)
    pairs: list[float] = []
    for name, colour, line, mark, aside in (
        ("dev", ADAPTED, "-", "o", 0.98),
        ("test", SECOND, "--", "s", 1.02),
    ):
        points = curve[name]["points"]
        pairs = [point["pairs"] for point in points]
        places = [count * aside for count in pairs]  # so that no interval hides another
        for place, point in zip(places, points, strict=True):
            axes.plot([place] * 2, point["interval"], color=colour, linewidth=1.2)
        axes.plot(places, [point["rho"] for point in points], color=colour, linestyle=line,
                  marker=mark, markersize=5, label=f"{name} pairs")  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(pairs, [f"{count:,}" for count in pairs])
    axes.minorticks_off()
    axes.set_xlabel("pairs trained on")
    axes.set_ylabel("Spearman's ρ")
    axes.grid(axis="y")
    legend(figure)
    return figure
