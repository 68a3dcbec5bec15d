"""How the guide's figures look: matplotlib's settings, sent to every chapter's process.

The colours differ in lightness too, so that they can be told apart in grey and by colour-blind
readers; lines differ in their dashes as well. Text is drawn as paths, in a font that matplotlib
ships, so a figure looks the same everywhere.
"""

from typing import Any

COLOURS = ("#12355b", "#c8452d", "#4fa8c9", "#d9ae3c")
"""Navy, brick, sky, gold: from dark to light."""

STYLE: dict[str, Any] = {
    "axes.prop_cycle": {"color": COLOURS, "linestyle": ("-", (0, (6, 2)), "-.", ":")},
    "axes.edgecolor": "#444444",
    "axes.labelcolor": "#222222",
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "figure.figsize": (6.4, 3.2),
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "image.cmap": "cividis",
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "mathtext.fontset": "dejavusans",
    "path.simplify": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "guide",
    "text.color": "#222222",
    "xtick.color": "#444444",
    "xtick.labelsize": 8.5,
    "xtick.major.width": 0.6,
    "ytick.color": "#444444",
    "ytick.labelsize": 8.5,
    "ytick.major.width": 0.6,
}
