"""What a run keeps of its voxels beside their evidence, and how it is read by unit.

    voxels/voxels.safetensors   ncsnr, and of the encoding model r, p, q and stability, by voxel
    voxels/readout.safetensors  intercepts, and the mean of the features
    voxels/weights.npy          (V, F): the encoding model, a row a voxel
    voxels/held_out.npy         (V, S): measured responses to the stimuli of the score half, a row a voxel
    voxels/about.json           the texts of those stimuli, their repeats, the feature space, flaws and regions

The encoding model is fitted on the explain half alone, so that nothing that comes of it knows the score half.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from neurogloss.errors import UserError
from neurogloss.folder import replace_file, replacing
from neurogloss.ids import UnitId, canonical_json, derive_seed
from neurogloss.protocols import Float32, Measured, Readout
from neurogloss.sources.brain import encoding
from neurogloss.sources.brain.encoding import Encoding
from neurogloss.sources.brain.experiment import Experiment, explainable
from neurogloss.sources.cache import Cache, read_arrays
from neurogloss.sources.contexts import damaged

NAME = "voxels"
"""Of the dictionary whose units they are, and of the folder in the cache."""
OTHERS = 8
"""Voxels of the region that an explanation is told apart from."""


def write(
    cache: Path,
    experiment: Experiment,
    is_score: NDArray[np.bool_],
    model: Encoding | None,
    space: str,
    alpha: float,
) -> None:
    """Write the folder.

    Args:
        is_score: (S,): which stimuli are in the score half.
        space: what the features are, an embedder's name where they are its sentence vectors.
        alpha: false discovery rate at which a voxel counts as predicted.
    """
    folder, score = cache / NAME, np.flatnonzero(is_score)
    tables = {"ncsnr": experiment.ncsnr}
    if model is not None:
        tables |= {"r": model.r, "p": model.p, "q": model.q}
        if model.stability is not None:
            tables["stability"] = model.stability
        arrays = {"intercept": model.intercept, "mean": model.mean}
        replace_file(folder / "readout.safetensors", save(arrays))
        _write_array(folder / "weights.npy", model.weights.T)
    replace_file(folder / "voxels.safetensors", save(tables))
    _write_array(folder / "held_out.npy", experiment.responses[score].T)
    about = {
        "texts": [experiment.stimuli[i].text for i in score],
        "contents": [f"{experiment.stimuli[i].content:016x}" for i in score],
        "repeats": experiment.repeats[score].tolist(),
        "space": space,
        "alpha": alpha,
        "flaws": {str(voxel): reason for voxel, reason in experiment.flaws.items()},
        "rois": {name: voxels.tolist() for name, voxels in experiment.rois.items()},
    }
    replace_file(folder / "about.json", canonical_json(about).encode())


def copy(source: Path, cache: Path) -> None:
    """The folder of one cache into another."""
    shutil.copytree(source / NAME, cache / NAME, dirs_exist_ok=True)


def _write_array(path: Path, array: NDArray[Any]) -> None:
    with replacing(path) as file:
        np.save(file, np.ascontiguousarray(array, np.float32), allow_pickle=False)


@dataclass(frozen=True)
class Voxels:
    """The folder, read by unit."""

    folder: Path

    @classmethod
    def of(cls, cache: Cache) -> Voxels | None:
        """Those of a cache; None where it was not collected from responses."""
        folder = cache.path / NAME
        return cls(folder) if folder.is_dir() else None

    def measured(self, unit: UnitId) -> Measured:
        """Held-out responses. Raises UserError where the unit is no voxel."""
        voxel = self._voxel(unit)
        sign = np.float32(unit.sign)
        others = self._others(voxel)
        return Measured(
            tuple(self.about["texts"]),
            sign * self._held_out[voxel],
            sign * self._held_out[others],
            self.ceiling(voxel),
            float(self.table["stability"][voxel]) if "stability" in self.table else math.nan,
        )

    def readout(self, unit: UnitId) -> Readout:
        """What the encoding model reads the voxel from. Raises UserError where there is none."""
        voxel = self._voxel(unit)
        if self._weights is None:
            raise UserError(
                f"Expected an encoding model of {unit}, found none: the responses were collected with "
                "--no-predict. Collect them again without it."
            )
        return Readout(self.about["space"], unit.sign * self._weights[voxel], self._readout["mean"])

    def ceiling(self, voxel: int) -> float:
        """The largest correlation with the held-out responses that noise allows; NaN where unknown."""
        ratio = self.table["ncsnr"][[voxel]].astype(float)
        return float(np.sqrt(explainable(ratio, np.array(self.about["repeats"]))[0]))

    def shortfall(self, unit: UnitId) -> str:
        """Why this voxel is not labelled; empty where nothing speaks against it."""
        if unit.dictionary != NAME:
            return ""
        flaw = self.about["flaws"].get(str(unit.index))
        if flaw:
            return f"voxel not measured: {flaw}"
        if "q" not in self.table:
            return ""
        r, q = (float(self.table[name][unit.index]) for name in ("r", "q"))
        if math.isnan(q) or q > self.about["alpha"]:
            return f"not predicted above chance: held-out r {r:.2f}, q {q:.2g} over {len(self.table['q'])} voxels"
        return ""

    def within(self, regions: Sequence[str]) -> NDArray[np.int64]:
        """Indices of the voxels in any of the regions. Raises UserError where one is not known."""
        known = self.about["rois"]
        unknown = ", ".join(name for name in regions if name not in known)
        if unknown:
            there = ", ".join(sorted(known)) or "none, since the responses were collected without --rois"
            raise UserError(f"Expected regions that the run has ({there}), found {unknown}. Name one of those.")
        found: NDArray[np.int64] = np.unique(np.concatenate([known[name] for name in regions]).astype(np.int64))
        return found

    def predict(self, features: Float32) -> Float32:
        """(n, F) to (n, V). Raises UserError where there is no encoding model, or it has other features."""
        if self._weights is None or features.shape[1] != self._weights.shape[1]:
            width = "none" if self._weights is None else f"one of {self._weights.shape[1]} features"
            raise UserError(f"Expected an encoding model of {features.shape[1]} features, found {width}.")
        return encoding.predict(features, self._weights.T, self._readout["intercept"], self._readout["mean"])

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """The texts of held-out stimuli, the feature space, flaws and regions."""
        path = self.folder / "about.json"
        try:
            found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise damaged(path, error) from None
        return found

    @cached_property
    def table(self) -> Mapping[str, NDArray[np.float64]]:
        """(V,) each: ncsnr; r, p, q where responses were predicted; stability where there were two spaces."""
        return read_arrays(self.folder / "voxels.safetensors")

    def _voxel(self, unit: UnitId) -> int:
        if unit.dictionary != NAME or not 0 <= unit.index < len(self.table["ncsnr"]):
            raise UserError(f"Expected one of {len(self.table['ncsnr'])} voxels, found {unit}.")
        return unit.index

    def _others(self, voxel: int) -> list[int]:
        """Of the smallest region that the voxel is in, drawn; of all, where it is in none."""
        held = [region for region in self.about["rois"].values() if voxel in region]
        pool = min(held, key=len, default=list(range(len(self.table["ncsnr"]))))
        flawed = {int(each) for each in self.about["flaws"]}
        pool = [each for each in pool if each != voxel and each not in flawed]
        rng = np.random.default_rng(derive_seed(0, "region", voxel))
        return [pool[i] for i in rng.permutation(len(pool))[:OTHERS]]

    @cached_property
    def _held_out(self) -> Float32:
        return _read_array(self.folder / "held_out.npy")

    @cached_property
    def _weights(self) -> Float32 | None:
        path = self.folder / "weights.npy"
        return _read_array(path) if path.is_file() else None

    @cached_property
    def _readout(self) -> Mapping[str, Float32]:
        return read_arrays(self.folder / "readout.safetensors")


def shortfalls(cache: Cache) -> Callable[[UnitId], str]:
    """Why a unit of the cache is not labelled, whatever is seen of it; empty where nothing speaks against it."""
    voxels = Voxels.of(cache)
    return voxels.shortfall if voxels else lambda unit: ""


def _read_array(path: Path) -> Float32:
    try:
        found: Float32 = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, error) from None
    return found
