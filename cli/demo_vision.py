"""neurogloss demo --vision: channels of a small image classifier, drawn with the images that excite them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

import neurogloss as ng
from neurogloss.cli.demo import TextDemo, detection_excess
from neurogloss.protocols import Progress
from neurogloss.records import Example, Label
from neurogloss.sources.vision import masks
from neurogloss.sources.vision.pictures import open_picture

HOOKPOINT = "resnet.encoder.stages.2"
"""The last block: 64 channels, 4 x 4 cells."""
SHEET = "units.png"
UNITS = 3
"""Units on the contact sheet."""
SIDE = 128
"""Pixels of an image's side."""
COLUMNS = 8
GAP, HEAD = 6, 34
"""Pixels between images, and for the text above a row."""
OUTLINE = (255, 128, 0)
DIMMED = 0.25
"""Brightness outside the mask, as in MILAN's masked views."""


class VisionDemo(TextDemo):
    """Collects from rendered images, labels by captions and draws a contact sheet."""

    title: ClassVar[str] = "Channels drawn at random, none picked."
    query: ClassVar[str] = "round things"

    def label(self, progress: Progress) -> ng.results.Summary:
        ng.collect_images(self.run, hookpoints=(HOOKPOINT,), progress=progress)
        return ng.label(self.run, units=self.units, scorers=("detection",), progress=progress)

    def tell(self, opened: ng.Run, labels: Sequence[Label]) -> tuple[str, Sequence[str]]:
        best = sorted(labels, key=detection_excess, reverse=True)[:UNITS]
        contact_sheet(opened, best, self.run / SHEET)
        return f"Images that excite {len(best)} units most: {self.run / SHEET}. ", (
            f"search 'red things' --run {self.run}",
            f"ablate {self.run} --where 'explanation ~ \"red\"'",
            f"show {best[0].unit} --run {self.run}",
        )


def contact_sheet(run: ng.Run, labels: Sequence[Label], path: Path) -> None:
    """Write a PNG with a row per label: unit and explanation above its top images, each as it is and masked."""
    width, height = GAP + COLUMNS * (SIDE + GAP), len(labels) * (HEAD + SIDE + GAP) + GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, label in enumerate(labels):
        top = GAP + row * (HEAD + SIDE + GAP)
        text = label.explanation.text if label.explanation else label.state.value
        draw.text(
            (GAP, top),
            f"{label.unit.hookpoint} {label.unit.index}{'-' if label.unit.sign < 0 else ''}",
            "gray",
            font,
        )
        draw.text((GAP, top + 15), text, "black", font)
        above, geometry = masks.threshold(run.cache, label.unit), masks.geometry(run.cache, label.unit)
        examples = run.evidence(label.unit).explain.top[: COLUMNS // 2]
        for i, example in enumerate(examples):
            left = GAP + 2 * i * (SIDE + GAP)
            plain = _picture(example)
            sheet.paste(Image.fromarray(plain), (left, top + HEAD))
            masked = _masked(plain, masks.mask(example, above, (SIDE, SIDE), geometry))
            sheet.paste(Image.fromarray(masked), (left + SIDE + GAP, top + HEAD))
    sheet.save(path, "PNG")


def _picture(example: Example) -> Any:
    """(SIDE, SIDE, 3) uint8."""
    return np.asarray(open_picture(Path(example.context.picture)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _masked(pixels: Any, inside: Any) -> Any:
    """The image with its mask outlined, and dark outside."""
    out = np.where(inside[..., None], pixels, (pixels * DIMMED).astype(np.uint8))
    out[inside & ~binary_erosion(inside, iterations=2, border_value=1)] = OUTLINE
    return out
