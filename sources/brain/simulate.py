"""Simulated voxels over real sentences: what each is tuned to is known, because it was planted.

1. Sentences are drawn from the shipped corpus.
2. A voxel's signal is how near a sentence lies to what it is tuned to, in an embedding space, or how many words of
   a kind it holds. Some voxels are tuned to two things, some to nothing. Signals are z-scored.
3. Each sentence is presented several times. Noise is as large as a given noise ceiling has it: of the variance of
   the means over n repeats a share c is signal where the noise variance is n (1 - c) / c.
4. Or sentences are read one after another in a scanner: what each scan holds is the signal convolved with the
   canonical hemodynamic response (two gamma densities with peaks after 5 and 15 seconds), and noise.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import canonical_json, derive_seed, hash64
from neurogloss.protocols import Embedder, Float32
from neurogloss.settings import DEMO_CORPUS
from neurogloss.sources.brain.experiment import Experiment, average, ncsnr
from neurogloss.sources.brain.matrix import windows
from neurogloss.sources.brain.reading import Row
from neurogloss.sources.corpus import read_documents

TUNINGS: Mapping[str, tuple[str, ...]] = {
    name: tuple(words.split())
    for name, words in {
        "food and cooking": "food cooking kitchen recipe soup bread cheese sauce chef meal fruit sugar delicious",
        "music and dance": "music song songs dance dancing guitar piano concert melody singer rhythm band",
        "medicine and health": "health doctor medical hospital patient patients disease medicine treatment "
        "nurse pain",
        "law and courts": "law court legal judge lawyer rights contract justice crime police trial evidence",
        "weather and storms": "weather storm rain snow wind clouds sunny cold winter summer thunder temperature",
        "war and soldiers": "war battle army soldiers military weapons enemy fought peace troops victory",
        "computers and programs": "computer software code program data function python algorithm website digital",
        "family and parents": "family mother father parents children daughter son brother sister grandmother baby",
        "schools and teaching": "school students teacher class learning education university lesson exam study "
        "college",
        "seas and rivers": "sea ocean river water lake beach island boat waves fish ship coast",
        "planets and space": "space planet planets stars moon sun galaxy earth astronomers telescope orbit "
        "universe",
        "sport and games": "game games team sport players football match win ball race coach championship",
    }.items()
}
"""What voxels are tuned to, and words of that kind."""
SENTENCE = re.compile(r"[A-Z][^.!?\n]{30,180}[.!?](?=\s|$)")
EVERY = 6.0
"""Seconds in which a sentence is read in the scanner."""
TR = 2.0
SESSION = 60
"""Sentences in a session."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """Responses of V voxels to R presentations, and what each voxel is tuned to."""

    rows: tuple[Row, ...]
    """(R)"""
    responses: Float32
    """(R, V)"""
    tunings: tuple[tuple[str, ...], ...]
    """V names, or pairs of names, of TUNINGS; empty where a voxel is tuned to nothing."""
    ceilings: tuple[float, ...]
    """(V): share of the variance of the means over repeats that is signal."""
    continuous: bool = False

    @property
    def rois(self) -> dict[str, NDArray[np.int64]]:
        """The voxels tuned to one thing, by its name."""
        return {name: np.flatnonzero([tuning == (name,) for tuning in self.tunings]) for name in TUNINGS}

    def experiment(self) -> Experiment:
        """As it is worked with: repeats averaged."""
        n = len(set(row.content for row in self.rows))
        which = np.arange(len(self.rows)) % n
        means, repeats = average(self.responses, which)
        ratio = ncsnr(self.responses, which)
        return Experiment(self.rows[:n], means, repeats, ratio, rois=self.rois, continuous=self.continuous)

    def save(self, folder: Path) -> None:
        """As files: responses.npy, stimuli.csv, rois.json."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "responses.npy", self.responses)
        with open(folder / "stimuli.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "session"))
            writer.writerows((row.text, row.session) for row in self.rows)
        rois = {name: voxels.tolist() for name, voxels in self.rois.items()}
        (folder / "rois.json").write_text(canonical_json(rois), encoding="utf-8")


def sentences(n: int, seed: int = 0) -> list[str]:
    """n sentences of the shipped corpus, fewer where it has no more."""
    found = {text for document in read_documents(DEMO_CORPUS) for text in SENTENCE.findall(document.text)}
    return sorted(found, key=lambda text: hash64(text, seed))[:n]


def simulate(
    texts: Sequence[str],
    embedder: Embedder,
    ceilings: Sequence[float],
    each: int = 1,
    mixed: int = 6,
    untuned: int = 6,
    repeats: int = 3,
    seed: int = 0,
    by: str = "meaning",
    scanned: bool = False,
) -> Simulation:
    """Voxels that respond to sentences.

    Args:
        texts: distinct.
        ceilings: in (0, 1]; all kinds of voxels once for each.
        each: voxels tuned to each one of TUNINGS.
        mixed: voxels tuned to two of them; `untuned`: to none.
        by: `meaning` (nearness in the embedding space) or `words` (how many of a kind there are).
        scanned: whether sentences are read one after another, and blurred by the hemodynamic response.
    """
    rng = np.random.default_rng(derive_seed(seed, "simulated"))
    names = list(TUNINGS)
    pairs = [tuple(names[i] for i in rng.permutation(len(names))[:2]) for _ in range(mixed)]
    tunings = (*((name,) for name in names for _ in range(each)), *pairs, *((),) * untuned) * len(ceilings)
    share = np.repeat(ceilings, len(tunings) // len(ceilings))
    parts = _standard(_by_words(texts) if by == "words" else _by_meaning(texts, embedder))
    signal = np.zeros((len(texts), len(tunings)), np.float32)
    for voxel, tuning in enumerate(tunings):
        for name in tuning:
            signal[:, voxel] += parts[:, names.index(name)]
    rows: Sequence[Row] = [Row(text, content=hash64(text)) for text in texts]
    if scanned:
        rows, signal = _scanned(rows, signal)
    noise = np.sqrt(repeats * (1 - share) / share).astype(np.float32)
    clean = _standard(signal)
    presented = [clean + noise * rng.standard_normal(clean.shape, np.float32) for _ in range(repeats)]
    return Simulation(tuple(rows) * repeats, np.concatenate(presented), tunings, tuple(share.tolist()), scanned)


def named(explanations: Sequence[str], embedder: Embedder) -> list[list[str]]:
    """Of each explanation the names of TUNINGS, that which it is nearest to first."""
    near = _by_meaning(explanations, embedder)
    names = list(TUNINGS)
    return [[names[i] for i in np.argsort(-row, kind="stable")] for row in near]


def _by_meaning(texts: Sequence[str], embedder: Embedder) -> Float32:
    """(S, tunings) cosines with what is tuned to, described by its name and words."""
    targets = embedder.embed([f"{name}: {', '.join(words)}" for name, words in TUNINGS.items()])
    found: Float32 = embedder.embed(texts) @ targets.T
    return found


def _by_words(texts: Sequence[str]) -> Float32:
    """(S, tunings) counts of words of each kind."""
    kinds = [set(words) for words in TUNINGS.values()]
    held = [re.findall(r"\w+", text.lower()) for text in texts]
    return np.array([[sum(word in kind for word in words) for kind in kinds] for words in held], np.float32)


def _standard(values: Float32) -> Float32:
    spread = values.std(0)
    found: Float32 = (values - values.mean(0)) / np.where(spread > 0, spread, 1)
    return found


def hemodynamic(step: float, seconds: float = 32.0) -> NDArray[np.float64]:
    """The canonical response to an impulse, sampled every `step` seconds; it sums to 1."""
    from scipy.stats import gamma

    t = np.arange(0, seconds, step)
    response: NDArray[np.float64] = gamma.pdf(t, 6) - gamma.pdf(t, 16) / 6
    response /= response.sum()
    return response


def _scanned(rows: Sequence[Row], signal: Float32) -> tuple[list[Row], Float32]:
    """Sessions of 60 sentences: each scan's words, and what it holds."""
    kernel = hemodynamic(TR)
    stimuli: list[Row] = []
    parts: list[Float32] = []
    for start in range(0, len(rows), SESSION):
        mine, session = rows[start : start + SESSION], f"session{start // SESSION:02}"
        spoken = [(row.text.split(), i * EVERY) for i, row in enumerate(mine)]
        words = [(onset + EVERY * j / len(said), word) for said, onset in spoken for j, word in enumerate(said)]
        drive = np.repeat(signal[start : start + SESSION], int(EVERY / TR), axis=0)
        blurred = np.apply_along_axis(lambda column: np.convolve(column, kernel)[: len(column)], 0, drive)
        times: NDArray[np.float64] = TR * np.arange(len(drive), dtype=np.float64)
        heard = windows([onset for onset, _ in words], [word for _, word in words], times)
        kept = [i for i, text in enumerate(heard) if text]
        stimuli += [
            Row(heard[i], session=session, onset=float(times[i]), content=hash64(session, i, heard[i]))
            for i in kept
        ]
        parts.append(blurred[kept].astype(np.float32))
    return stimuli, np.concatenate(parts)
