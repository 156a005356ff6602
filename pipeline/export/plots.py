"""The plots of a report by name: what each is drawn from, and what it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from markupsafe import Markup

from pipeline.export import plots_labels, plots_models, plots_training
from pipeline.export.plot_style import STYLE, svg_of


class _Plot(NamedTuple):
    """A plot: how it is drawn, from which figures (none: it is left out), and its text."""

    draw: Callable[[Any], Any]
    figures: Any
    text: str


def draw(data: Mapping[str, Any]) -> dict[str, Markup]:
    """Return the plots that ``data`` has figures for, by name."""
    every = _of_models(data) | _of_labels(data) | _of_training(data)
    wanted = {name: plot for name, plot in every.items() if plot.figures}
    if not wanted:
        return {}
    import matplotlib as mpl  # noqa: PLC0415 - half a second that only a plot needs

    with mpl.rc_context(STYLE):
        return {
            name: svg_of(plot.draw(plot.figures), name, plot.text) for name, plot in wanted.items()
        }


def _of_models(data: Mapping[str, Any]) -> dict[str, _Plot]:
    scores, saturation = data["scores"], data["saturation"]
    told = ". ".join(
        f"{row['name']}, {row['measure']}: {row['difference']:+.3f}, interval {row['low']:+.3f} "
        f"to {row['high']:+.3f}"
        for row in data["comparisons"]
        if row["first"]
    )
    strength = data["strength"] if data["strength"].get("points") else {}
    ranked = len(strength.get("points", ())) > 1
    return {
        "differences": _Plot(
            plots_models.differences, [row for row in data["comparisons"] if row["first"]],
            f"Differences with their intervals. {told}",
        ),
        "levels": _Plot(plots_models.levels, data["gold"]["levels"],
                        "Positions of gold pairs by gold score, base and adapted"),
        "strength": _Plot(plots_models.strength, strength if ranked else {},
                          f"Spearman's ρ by strength of the adapter. {strength.get('reason', '')}"),
        "scores": _Plot(plots_models.scores, scores,
                        f"Histograms of cosines, base and adapted. {scores.get('warning', '')}"),
        "mapped": _Plot(plots_models.mapped, scores,
                        "Map from scores of the base to scores of the adapted model"),
        "angles": _Plot(plots_models.angles, saturation,
                        f"Pairs by angle. {saturation.get('told', '')}"),
    }  # fmt: skip


def _of_labels(data: Mapping[str, Any]) -> dict[str, _Plot]:
    labels = data["labels"]
    return {
        "histogram": _Plot(plots_labels.histogram, labels["histogram"],
                           "Distribution of the labels"),
        "coverage": _Plot(plots_labels.coverage, data["mined"], "Mined pairs by expected label"),
        "agreement": _Plot(plots_labels.agreement, labels if labels["agreement"] else {},
                           "Agreement of annotators with gold"),
        "calibration": _Plot(plots_labels.calibration,
                             plots_labels.calibrated(labels["calibration"]),
                             "Scores against gold, before and after calibration"),
    }  # fmt: skip


def _of_training(data: Mapping[str, Any]) -> dict[str, _Plot]:
    training = data["training"]
    return {
        "loss": _Plot(plots_training.loss, training.get("curve"), "Training loss by step"),
        "dev": _Plot(plots_training.dev, training if training.get("dev_curve") else {},
                     "Dev agreement by step"),
        "norms": _Plot(plots_training.norms, training.get("gradient_norms"),
                       f"Gradient norms by step. {data['saturation'].get('pulled', '')}"),
        "learning": _Plot(plots_training.learning, data["learning"], "Learning curve"),
    }  # fmt: skip
