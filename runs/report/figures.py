"""Draws the report's plots as SVG with matplotlib. The same numbers give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neurogloss.errors import imported
from neurogloss.runs.report.numbers import DECILES, ScorerNumbers

POINTS = 4000
"""Most units in a scatter plot, evenly spaced among all."""
GREY = "#8a8a8a"


def distributions(scorers: Sequence[ScorerNumbers]) -> str:
    """Histograms of scores and floors, one panel per scorer. An outline shows the scores of a floor run."""

    def draw(axes: Any, scorer: ScorerNumbers) -> None:
        score, floor, _ = scorer.values.T
        known = np.concatenate([score, floor, scorer.others])
        known = known[np.isfinite(known)]
        edges = np.linspace(known.min(), known.max() + 1e-6, 21) if len(known) else np.linspace(0, 1, 21)
        axes.hist(floor[np.isfinite(floor)], edges, color=GREY, alpha=0.6, label="floor")
        axes.hist(score[np.isfinite(score)], edges, color="C0", alpha=0.6, label="score")
        others = scorer.others[np.isfinite(scorer.others)]
        if len(others):
            # Scaled to the number of scores, so that the areas compare.
            weights = np.full(len(others), np.isfinite(score).sum() / len(others))
            axes.hist(others, edges, weights=weights, histtype="step", color="black", label="floor run")
        axes.set_xlabel(f"{scorer.name} ({scorer.summary.metric})")
        axes.set_ylabel("units")
        axes.legend(fontsize=7)

    return _panels(scorers, draw)


def densities(scorers: Sequence[ScorerNumbers]) -> str:
    """Score minus floor against the unit's density, one panel per scorer."""

    def draw(axes: Any, scorer: ScorerNumbers) -> None:
        score, floor, density = scorer.values[:: max(1, len(scorer.values) // POINTS)].T
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.scatter(np.maximum(density, 1e-6), score - floor, s=8, alpha=0.6)
        axes.set_xscale("log")
        axes.set_xlabel("share of contexts that activate the unit")
        axes.set_ylabel(f"{scorer.name} above its floor")

    return _panels(scorers, draw)


def recalls(scorers: Sequence[ScorerNumbers]) -> str:
    """Mean recall by decile of the peak. Empty if no scorer has recalls."""
    with_recall = [scorer for scorer in scorers if np.isfinite(scorer.recalls).any()]
    if not with_recall:
        return ""
    figure, axes = _figure(5.0, 3.0)
    for scorer in with_recall:
        axes.plot(range(1, 11), scorer.recalls, marker="o", markersize=3, label=scorer.name)
    axes.set_xticks(range(1, 11), DECILES)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("decile of the peak (10: strongest)")
    axes.set_ylabel("recall, mean over units")
    axes.legend(fontsize=7)
    return _svg(figure)


def _panels(scorers: Sequence[ScorerNumbers], draw: Callable[[Any, ScorerNumbers], None]) -> str:
    figure, first = _figure(3.4 * len(scorers), 2.8, len(scorers))
    for axes, scorer in zip(np.atleast_1d(first), scorers, strict=True):
        draw(axes, scorer)
    return _svg(figure)


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    install = "pip install 'neurogloss[plots]'"
    imported("matplotlib", install).rcParams["svg.hashsalt"] = "neurogloss"
    figure = imported("matplotlib.figure", install).Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def _svg(figure: Any) -> str:
    """The SVG element without the XML declaration before it."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, transparent=False)
    text = file.getvalue()
    return text[text.index("<svg") :]
