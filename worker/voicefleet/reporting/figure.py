"""Figures by matplotlib, as SVG to stand inside an HTML page."""

from __future__ import annotations

import io
import re

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure that keeps its labels and legends inside."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def svg(figure: Figure) -> Markup:
    """The figure as an ``<svg>`` element: text stays text, and the same data gives the same bytes."""
    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "voicefleet"}):
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return Markup(re.sub(r"^.*?(?=<svg)", "", out.getvalue(), count=1, flags=re.DOTALL))
