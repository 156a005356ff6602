"""How plots of a report look: colours by name, sizes, and SVG that may stand in a page.

A colour is drawn as a placeholder and replaced by a variable of the style sheet, so a plot follows
the reader's light or dark theme; its text stays text. Base is drawn hollow or dashed and adapted
filled or solid, so that no plot rests on colour alone.
"""

from __future__ import annotations

import io
import re
import textwrap
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
LABEL: Final = 20  # letters of a line of a label

STYLE: Final[dict[Any, Any]] = {
    "font.size": 9.5, "font.family": "sans-serif", "svg.fonttype": "none", "text.parse_math": False,
    "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": LINE, "axes.labelsize": 9.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.axisbelow": True, "axes.unicode_minus": True, "grid.color": LINE, "grid.linewidth": 0.8,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.major.size": 0, "ytick.major.size": 0,
    "xtick.major.pad": 6, "lines.linewidth": 1.8, "legend.frameon": False, "legend.fontsize": 9.0,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
}  # fmt: skip


def axes_of(height: float) -> tuple[Figure, Axes]:
    """Return a figure of the usual width, ``height`` inches high, and its axes."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second that only a report needs

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def legend(figure: Figure, columns: int = 2) -> None:
    """Put the legend above the plot, where it hides nothing."""
    figure.legend(loc="outside upper left", ncols=columns, handlelength=1.8, columnspacing=1.2)


def wrapped(label: str) -> str:
    """Return a label in lines that leave room for the plot."""
    return "\n".join(textwrap.wrap(label, LABEL))


def svg_of(figure: Figure, name: str, title: str) -> Markup:
    """Return ``figure`` as SVG that may stand in a page: no ids to clash, no size of its own."""
    import matplotlib as mpl  # noqa: PLC0415 - see axes_of

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
