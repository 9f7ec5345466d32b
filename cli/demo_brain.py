"""neurogloss demo --brain: simulated voxels over real sentences, compared with what was planted in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import neurogloss as ng
from neurogloss.cli import render
from neurogloss.cli.demo import UNITS, TextDemo
from neurogloss.cli.units import names
from neurogloss.engines.embedder import MiniLM
from neurogloss.protocols import Embedder, Progress
from neurogloss.records import Label
from neurogloss.sources.brain.simulate import Simulation, named, sentences, simulate
from neurogloss.sources.brain.voxels import Voxels

SENTENCES = 900
CEILINGS = (0.4, 0.1, 0.03)
"""Share of the variance of mean responses that is signal, of good, ordinary and poor voxels."""
PICTURE = "voxels.png"
SCORERS = ("detection", "voxel-prediction")


class BrainDemo(TextDemo):
    """Simulates voxels, labels them by LaVCa, and counts the labels that name what was planted."""

    title: ClassVar[str] = "The first simulated voxels; voxel-prediction is Spearman's r."
    query: ClassVar[str] = "eating and drinking"

    @cached_property
    def embedder(self) -> Embedder:
        return MiniLM()

    @cached_property
    def simulation(self) -> Simulation:
        return simulate(sentences(SENTENCES), self.embedder, CEILINGS, mixed=4, untuned=4)

    def label(self, progress: Progress) -> ng.results.Summary:
        files = self.run / "simulated"
        self.simulation.save(files)
        ng.collect_responses(
            self.run,
            subject="simulated",
            stimuli=str(files / "stimuli.csv"),
            responses=(str(files / "responses.npy"),),
            rois=str(files / "rois.json"),
            embedder=self.embedder,
            progress=progress,
        )
        units = f"0-{len(self.simulation.tunings) - 1}" if self.units == UNITS else self.units
        return ng.label(self.run, units=units, explainer="lavca", scorers=SCORERS, progress=progress)

    def shown(self, labels: Sequence[Label]) -> Sequence[Label]:
        return [each for each in labels if each.explanation and self.simulation.tunings[each.unit.index]][:12]

    def tell(self, opened: ng.Run, labels: Sequence[Label]) -> tuple[str, Sequence[str]]:
        found, shown = right(self.simulation, labels, self.embedder), self.shown(labels)
        headings = ("ceiling (share of variance)", "tuned to", "voxels", "labelled", "right")
        table = render.new_table("Voxels by noise ceiling: labelled, and named rightly", headings=headings)
        for ceiling, kind, n, labelled, hits in found:
            table.add_row(f"{ceiling:g}", kind, str(n), str(labelled), str(hits) if kind != "nothing" else "–")
        render.console().print(table)
        voxels = Voxels.of(opened.cache)
        assert voxels is not None
        first = names(label.unit for label in labels).of(shown[0].unit) if shown else "0"
        return draw(self.run / PICTURE, voxels, self.simulation, found), (
            f"search 'money and business' --run {self.run}",
            f"show {first} --run {self.run}",
            f"status {self.run} --labels",
        )


Found = tuple[float, str, int, int, int]
"""Ceiling, kind, voxels of that kind, labelled ones, rightly labelled ones."""


def right(simulation: Simulation, labels: Sequence[Label], embedder: Embedder) -> list[Found]:
    """Count the positive sides whose explanation names what they are tuned to (either of two things)."""
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
    """Draw held-out r against the ceiling, and the share named rightly. Returns a sentence about the picture."""
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
    return f"r against its ceiling, and the share named rightly: {path}. "


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
