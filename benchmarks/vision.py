"""Whether labels of image units name what the units respond to.

    python -m benchmarks.vision [--images N] [--real N] [--json]

Planted detectors: a frozen network whose channels respond to one factor of the rendered images (a colour, a shape,
a texture, a position, a size) or to two at once, wherever the shape covers a cell, and some that respond to images
at random. They are collected as any model is, and labelled from captions in varied words (PMI, embedded judge).
Counted are the labels that name the right value of the right factor, beside what labels of other units name of it.
Labels of detectors of nothing should not be accepted.

Real channels: of the packaged CNN and of the packaged vision transformer. Nothing is known of them, so the figure
is how well their labels are told on held-out images, beside its floor.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from threadpoolctl import threadpool_limits

import neurogloss as ng
from benchmarks.table import Row, report
from neurogloss.folder import RunFolder
from neurogloss.ids import derive_seed, hash64
from neurogloss.records import Label, State
from neurogloss.settings import ImageSettings
from neurogloss.sources.vision import shipped
from neurogloss.sources.vision.images import collect_images
from neurogloss.sources.vision.preprocess import Preprocess
from neurogloss.sources.vision.subject import VisionSubject

Rule = Mapping[str, str]
"""Factor to the value that is responded to; empty: images at random."""
GRID = 8
RANDOM_RATE = 0.05
SIDES = ("colour", "shape"), ("colour", "texture"), ("shape", "texture")
"""Pairs of factors that conjunctions are of."""
CONJUNCTIONS, NOTHING = 18, 8
REAL = {
    "shapes-cnn": "resnet.encoder.stages.2",
    "shapes-vit": "vit.layers.2",
}
GOALS = {"one factor": 0.9, "two factors": 0.7}
PREPROCESS = Preprocess((shipped.SIZE, shipped.SIZE), (0.0,) * 3, (1.0,) * 3)


class Detectors(torch.nn.Module):
    """One channel a rule, on a grid of cells; it knows the images by their pixels."""

    def __init__(self, rules: Sequence[Rule], shapes: Sequence[shipped.Shape]) -> None:
        super().__init__()
        self.detectors = torch.nn.Identity()
        self._rules = rules
        self._known = {_key(PREPROCESS([shipped.draw(shape)])[0]): shape for shape in shapes}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = np.stack([_maps(self._rules, self._known.get(_key(image))) for image in images.numpy()])
        return self.detectors(torch.from_numpy(maps))


def _key(pixels: Any) -> int:
    return hash64(np.ascontiguousarray(pixels).tobytes())


def _maps(rules: Sequence[Rule], shape: shipped.Shape | None) -> Any:
    """(rules, GRID, GRID) float32: above 0 in the cells that the shape covers, where the rule holds."""
    if shape is None:
        return np.zeros((len(rules), GRID, GRID), np.float32)
    rng = np.random.default_rng(derive_seed(shape.seed, "response"))
    strengths, draws = rng.uniform(0.5, 1, len(rules)), rng.random(len(rules))
    middles = (np.arange(GRID) + 0.5) * shipped.SIZE / GRID
    far = np.hypot(middles[:, None] - shape.centre[0], middles[None, :] - shape.centre[1])
    covered = (far < shape.radius).astype(np.float32)
    active = [
        all(shape.factors[factor] == value for factor, value in rule.items()) if rule else draw < RANDOM_RATE
        for rule, draw in zip(rules, draws, strict=True)
    ]
    return (strengths * active)[:, None, None].astype(np.float32) * covered


def rules() -> list[Rule]:
    """One factor each, conjunctions drawn at random, then detectors of nothing."""
    single: list[Rule] = [{factor: value} for factor, values in shipped.WORDS.items() for value in values]
    pairs: list[Rule] = [
        {a: x, b: y} for a, b in SIDES for x, y in itertools.product(shipped.WORDS[a], shipped.WORDS[b])
    ]
    chosen = np.random.default_rng(0).permutation(len(pairs))[:CONJUNCTIONS].tolist()
    return [*single, *(pairs[i] for i in chosen), *({} for _ in range(NOTHING))]


def names(text: str, factor: str, value: str) -> bool:
    """Whether a label says this value of the factor, in any of its words; a position as both of its sides."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    return any(set(said.split()) <= words for said in shipped.WORDS[factor][value])


def planted(folder: Path, n_images: int) -> list[Row]:
    """Rows on planted detectors."""
    found, shapes = rules(), [shipped.shape(seed) for seed in range(n_images)]
    for path, data, caption in shipped.shapes(n_images):
        file = folder / "pictures" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data())
        with open(folder / "captions.csv", "a", encoding="utf-8") as table:
            table.write(f'{path},"{caption}"\n' if table.tell() else f'path,caption\n{path},"{caption}"\n')
    axes = torch.eye(len(found))
    save_file({"W_enc": axes, "W_dec": axes.clone()}, folder / "detectors.safetensors")
    settings = ImageSettings(
        subject="planted",
        hookpoints=("detectors",),
        dictionaries=(str(folder / "detectors.safetensors"),),
        pictures=str(folder / "pictures"),
        captions=str(folder / "captions.csv"),
        images=n_images,
    )
    collect_images(
        RunFolder(folder / "run"), settings, VisionSubject("planted", Detectors(found, shapes), PREPROCESS)
    )
    ng.label(folder / "run", units="all", scorers=("detection",))
    labels = {label.unit.index: label for label in ng.open_run(folder / "run").labels()}
    rows = []
    for kind, size in (("one factor", 1), ("two factors", 2)):
        mine = [i for i, rule in enumerate(found) if len(rule) == size]
        right = [_names_all(labels[i], found[i]) for i in mine]
        others = [
            _names_all(labels[j], found[i]) for i in mine for j in labels if found[j] and found[j] != found[i]
        ]
        share, goal = float(np.mean(right)), GOALS[kind]
        what = f"{kind}: labels of {len(mine)} detectors that name it, beside other labels"
        rows.append(Row(what, share, float(np.mean(others)), goal=f">= {goal}", met=share >= goal))
        rows.append(_detection(kind, [labels[i] for i in mine]))
    either = [
        any(names(_text(labels[i]), *item) for item in rule.items())
        for i, rule in enumerate(found)
        if len(rule) == 2
    ]
    rows.append(Row("two factors: labels that name one at least", float(np.mean(either))))
    none = [labels[i].state is State.ACCEPTED for i, rule in enumerate(found) if not rule]
    what = f"detectors of nothing: share of {len(none)} accepted"
    rows.append(Row(what, float(np.mean(none)), goal="<= 0.2", met=float(np.mean(none)) <= 0.2))
    return rows


def real(folder: Path, n_images: int, n_units: int) -> list[Row]:
    """A row for each packaged classifier."""
    rows = []
    for subject, hookpoint in REAL.items():
        run = folder / subject
        collect_images(RunFolder(run), ImageSettings(subject=subject, hookpoints=(hookpoint,), images=n_images))
        ng.label(run, units=f"sample:{n_units}", scorers=("detection",))
        labels = list(ng.open_run(run).labels())
        accepted = float(np.mean([label.state is State.ACCEPTED for label in labels]))
        rows.append(_detection(f"{subject}, {len(labels)} channels", labels))
        rows.append(Row(f"{subject}: share accepted", accepted))
    return rows


def _detection(whose: str, labels: Sequence[Label]) -> Row:
    """The mean headline of detection beside the mean floor."""
    scores = [score for label in labels for score in label.scores]
    values, floors = ([getattr(score, end).value for score in scores] for end in ("score", "floor"))
    return Row(f"{whose}: {scores[0].metric} of detection", float(np.nanmean(values)), float(np.nanmean(floors)))


def _names_all(label: Label, rule: Rule) -> bool:
    return all(names(_text(label), factor, value) for factor, value in rule.items())


def _text(label: Label) -> str:
    return label.explanation.text if label.explanation else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_500, help="rendered images")
    parser.add_argument("--real", type=int, default=12, help="channels of each packaged classifier")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        torch.set_num_threads(1)
        rows = planted(Path(folder) / "planted", arguments.images)
        if arguments.real:
            rows += real(Path(folder), arguments.images, arguments.real)
    return report(f"image units, labelled from captions; {arguments.images} images", rows, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
