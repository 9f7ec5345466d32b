"""The brain demo: simulated voxels over real sentences. Are they labelled by what was planted in them?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurogloss.protocols import Embedder
    from neurogloss.records import Label
    from neurogloss.sources.brain.simulate import Simulation
    from neurogloss.sources.brain.voxels import Voxels

SENTENCES = 900
CEILINGS = (0.4, 0.1, 0.03)
"""Share of the variance of mean responses that is signal: of good, ordinary and poor voxels."""
QUERY = "eating and drinking"
PICTURE = "voxels.png"
SCORERS = ("detection", "voxel-prediction")


def demo(run: Path, units: str, json: bool) -> int:
    """Simulate, collect, label by LaVCa, search and draw; the command's exit code."""
    import neurogloss as ng
    from neurogloss.cli import progress, render
    from neurogloss.cli.demo import UNITS
    from neurogloss.engines.embedder import MiniLM
    from neurogloss.folder import RunFolder
    from neurogloss.settings import ResponseSettings
    from neurogloss.sources.brain.collect import collect_responses
    from neurogloss.sources.brain.simulate import sentences, simulate

    began, embedder, files = time.monotonic(), MiniLM(), run / "simulated"
    simulation = simulate(sentences(SENTENCES), embedder, CEILINGS, mixed=4, untuned=4)
    simulation.save(files)
    settings = ResponseSettings(
        subject="simulated",
        stimuli=str(files / "stimuli.csv"),
        responses=(str(files / "responses.npy"),),
        rois=str(files / "rois.json"),
    )
    chosen = f"0-{len(simulation.tunings) - 1}" if units == UNITS else units
    with progress.shown() as bars:
        collect_responses(RunFolder(run), settings, embedder, bars)
        summary = ng.label(run, units=chosen, explainer="lavca", scorers=SCORERS, progress=bars)
    labels = list(ng.open_run(run).labels(method=summary.method))
    if json:
        render.print_json(labels)
    else:
        _tell(run, simulation, labels, embedder, time.monotonic() - began)
    return 1 if summary.waiting else 0


def _tell(run: Path, simulation: Simulation, labels: list[Label], embedder: Embedder, seconds: float) -> None:
    import neurogloss as ng
    from neurogloss.cli import render
    from neurogloss.cli.search import results_table
    from neurogloss.cli.units import names
    from neurogloss.sources.brain.voxels import Voxels

    opened, out = ng.open_run(run), render.console()
    explained = [label for label in labels if label.explanation is not None]
    shown = [label for label in explained if simulation.tunings[label.unit.index]][:12]
    out.print(render.labels_table(shown, title="The first simulated voxels; voxel-prediction is Spearman's r."))
    out.print("bold: the score lies above its floor (what other voxels' explanations score there)\n", style="dim")
    found = right(simulation, labels, embedder)
    table = render.new_table("Voxels by noise ceiling: labelled, and named rightly")
    for heading in ("ceiling (share of variance)", "tuned to", "voxels", "labelled", "right"):
        table.add_column(heading)
    for ceiling, kind, n, labelled, hits in found:
        table.add_row(f"{ceiling:g}", kind, str(n), str(labelled), str(hits) if kind != "nothing" else "–")
    out.print(table)
    out.print()
    out.print(results_table(QUERY, opened.search(QUERY, 3)))
    voxels = Voxels.of(opened.cache)
    assert voxels is not None
    where = draw(run / PICTURE, voxels, simulation, found)
    first = names(label.unit for label in labels).of(shown[0].unit) if shown else "0"
    out.print(
        f"\n{seconds:.0f} seconds. {where}Next:\n"
        f"  neurogloss search 'money and business' --run {run}\n"
        f"  neurogloss show {first} --run {run}\n"
        f"  neurogloss status {run} --labels",
        soft_wrap=True,
    )


Found = tuple[float, str, int, int, int]
"""Ceiling, kind, voxels of that kind, labelled ones, rightly labelled ones."""


def right(simulation: Simulation, labels: Sequence[Label], embedder: Embedder) -> list[Found]:
    """How many positive sides are explained by what they are tuned to: of two things, by either."""
    from neurogloss.sources.brain.simulate import named

    told = {each.unit.index: each.explanation.text for each in labels if each.explanation and each.unit.sign > 0}
    asked = {each.unit.index for each in labels if each.unit.sign > 0}
    nearest = dict(zip(told, named(list(told.values()), embedder), strict=True)) if told else {}
    found: list[Found] = []
    for ceiling in dict.fromkeys(simulation.ceilings):
        for n_tunings, kind in enumerate(("nothing", "one thing", "two things")):
            mine = [
                i
                for i, tuning in enumerate(simulation.tunings)
                if i in asked and len(tuning) == n_tunings and simulation.ceilings[i] == ceiling
            ]
            hits = sum(i in told and nearest[i][0] in simulation.tunings[i] for i in mine)
            if mine:
                found.append((ceiling, kind, len(mine), sum(i in told for i in mine), hits))
    return found


def draw(path: Path, voxels: Voxels, simulation: Simulation, found: Sequence[Found]) -> str:
    """Held-out r beside the ceiling, and the share that is named rightly. Returns what to say of it."""
    try:
        import matplotlib
    except ImportError:
        return ""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, second) = pyplot.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    r = voxels.table["r"]
    for n, (kind, colour) in enumerate((("nothing", "0.6"), ("one thing", "C0"), ("two things", "C1"))):
        mine = [i for i, tuning in enumerate(simulation.tunings) if len(tuning) == n]
        left.scatter([voxels.ceiling(i) for i in mine], r[mine], s=18, color=colour, label=f"tuned to {kind}")
    left.plot((0, 1), (0, 1), color="0.8", linewidth=1, zorder=0)
    left.set(
        xlabel="noise ceiling of r", ylabel="held-out r of the encoding model", xlim=(0, 0.8), ylim=(-0.15, 0.8)
    )
    left.legend(fontsize=8, frameon=False)
    _bars(second, found)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return f"r beside its ceiling, and what was recovered: {path}. "


def _bars(axes: Any, found: Sequence[Found]) -> None:
    ceilings = list(dict.fromkeys(each[0] for each in found))
    for n, (kind, colour) in enumerate((("one thing", "C0"), ("two things", "C1"))):
        for i, ceiling in enumerate(ceilings):
            for _, _, n_voxels, labelled, hits in (e for e in found if e[0] == ceiling and e[1] == kind):
                at = i + 0.4 * n - 0.2
                axes.bar(at, labelled / n_voxels, 0.36, color=colour, alpha=0.25)
                axes.bar(at, hits / n_voxels, 0.36, color=colour, label=kind if i == 0 else None)
    axes.set_xticks(range(len(ceilings)), [f"{each:g}" for each in ceilings])
    axes.set(xlabel="noise ceiling (share of variance)", ylabel="share of voxels", ylim=(0, 1.05))
    axes.set_title("named rightly (dark) of those labelled (light)", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
