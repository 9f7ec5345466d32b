"""The vision demo: what do channels of a small image classifier respond to?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurogloss.records import Label
    from neurogloss.runs.run import Run

HOOKPOINT = "resnet.encoder.stages.2"
"""The last block: 64 channels, 4 x 4 cells."""
QUERY = "round things"
SHEET = "units.png"
UNITS = 3
"""On the contact sheet."""
SCORERS = ("detection",)


def demo(run: Path, units: str, json: bool) -> int:
    """Collect from rendered images, label by captions, search, draw a contact sheet; returns the exit code."""
    import neurogloss as ng
    from neurogloss.cli import progress, render

    began = time.monotonic()
    with progress.shown() as bars:
        ng.collect_images(run, hookpoints=(HOOKPOINT,), progress=bars)
        summary = ng.label(run, units=units, scorers=SCORERS, progress=bars)
    opened = ng.open_run(run)
    labels = list(opened.labels(method=summary.method))
    if json:
        render.print_json(labels)
    else:
        _tell(run, opened, labels, time.monotonic() - began)
    return 1 if summary.failed or summary.waiting else 0


def _tell(run: Path, opened: Run, labels: list[Label], seconds: float) -> None:
    from neurogloss.cli import render
    from neurogloss.cli.contact_sheet import contact_sheet
    from neurogloss.cli.demo import detection_excess
    from neurogloss.cli.search import results_table

    out = render.console()
    out.print(render.labels_table(labels, title="Channels drawn at random, none picked."))
    out.print("bold: the score lies above its floor (what other units' explanations score there)\n", style="dim")
    out.print(results_table(QUERY, opened.search(QUERY, 3)))
    best = sorted(labels, key=detection_excess, reverse=True)[:UNITS]
    contact_sheet(opened, best, run / SHEET)
    out.print(
        f"\n{seconds:.0f} seconds. What excites {len(best)} units most, and where: {run / SHEET}. Next:\n"
        f"  neurogloss search 'red things' --run {run}\n"
        f"  neurogloss ablate {run} --where 'explanation ~ \"red\"'\n"
        f"  neurogloss show {best[0].unit} --run {run}",
        soft_wrap=True,
    )
