"""neurogloss demo --vision: channels of a small image classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from neurogloss.cli.demo import TextDemo, detection_excess

if TYPE_CHECKING:
    from neurogloss.protocols import Progress
    from neurogloss.records import Label
    from neurogloss.runs.run import Run
    from neurogloss.runs.sweep import Summary

HOOKPOINT = "resnet.encoder.stages.2"
"""The last block: 64 channels, 4 x 4 cells."""
SHEET = "units.png"
UNITS = 3
"""Units on the contact sheet."""


class VisionDemo(TextDemo):
    """Collects from rendered images, labels by captions and draws a contact sheet."""

    title: ClassVar[str] = "Channels drawn at random, none picked."
    query: ClassVar[str] = "round things"

    def label(self, progress: Progress) -> Summary:
        import neurogloss as ng

        ng.collect_images(self.run, hookpoints=(HOOKPOINT,), progress=progress)
        return ng.label(self.run, units=self.units, scorers=("detection",), progress=progress)

    def tell(self, opened: Run, labels: Sequence[Label]) -> tuple[str, Sequence[str]]:
        from neurogloss.cli.contact_sheet import contact_sheet

        best = sorted(labels, key=detection_excess, reverse=True)[:UNITS]
        contact_sheet(opened, best, self.run / SHEET)
        return f"Images that excite {len(best)} units most: {self.run / SHEET}. ", (
            f"search 'red things' --run {self.run}",
            f"ablate {self.run} --where 'explanation ~ \"red\"'",
            f"show {best[0].unit} --run {self.run}",
        )
