"""Pictures of a comparison, in SVG or PNG by the name of the file (matplotlib)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError, imported
from neurogloss.store.exchange.files import new_file, require_new
from neurogloss.store.similarity import Similarity

SUFFIXES = (".svg", ".png")
INSTALL = "pip install 'neurogloss[plots]'"
BINS = 40


def check(path: Path) -> None:
    """Whether a picture can be drawn there, before hours are spent on what it shows.

    Raises:
        UserError: another suffix, or something is at `path` already.
        MissingExtra: matplotlib is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"Expected a picture's name to end in {' or '.join(SUFFIXES)}, found {path.name}.")
    require_new(path)
    imported("matplotlib.figure", INSTALL)


def distributions(similarity: Similarity, path: Path) -> None:
    """How often pairs of the matching have which value, and how often the floor, by kind. Raises as `check`."""
    levels = similarity.levels
    with _figure(path, 4.0 * len(levels), 3.0) as figure:
        for i, level in enumerate(levels, 1):
            axes = figure.add_subplot(1, len(levels), i)
            values = [pair.values[level.kind] for pair in similarity.pairs]
            known = np.array([value for value in values if not np.isnan(value)])
            floor = similarity.floors[level.kind]
            both = np.concatenate([known, floor])
            edges = np.linspace(both.min(), both.max() + 1e-6, BINS + 1) if len(both) else [0.0, 1.0]
            for shown, name in ((floor, f"floor: {level.floor_is}"), (known, f"{similarity.match} pairs")):
                # As shares: there are not as many of the one as of the other.
                axes.hist(shown, edges, weights=np.full(len(shown), 1 / max(1, len(shown))), alpha=0.6, label=name)
            axes.axvline(level.limit, color="black", linewidth=0.8)
            axes.set_xlabel(level.kind)
            axes.set_ylabel("share")
            axes.legend(fontsize=7)


def heat_map(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], title: str, path: Path
) -> None:
    """(rows, columns) values as colours and figures; NaN stays empty. Raises as `check`."""
    with _figure(path, 3.0 + 0.9 * len(columns), 2.0 + 0.6 * len(rows)) as figure:
        axes = figure.add_subplot()
        image = axes.imshow(values, cmap="viridis")
        axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=7)
        axes.set_yticks(range(len(rows)), rows, fontsize=7)
        middle = (np.nanmin(values) + np.nanmax(values)) / 2 if np.isfinite(values).any() else 0.0
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if value < middle else "black"
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=7)
        axes.set_title(title, fontsize=9)
        figure.colorbar(image)


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator[Any]:
    """A figure to draw on that becomes the file at `path`; the same drawing gives the same bytes."""
    check(path)
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "neurogloss"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with new_file(path) as file:
            kind = path.suffix[1:]
            figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else None, dpi=150)
