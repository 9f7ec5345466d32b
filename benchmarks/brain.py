"""Whether voxels are labelled by what they are tuned to, as noise grows; and an encoding study of a real model.

    python -m benchmarks.brain [--sentences N] [--json]

Simulated: voxels tuned to one of 12 things, to two, or to nothing, over sentences of the shipped corpus. A label
is right where, of the 12, its sentence vector is nearest to the thing tuned to (of two, to either); beside it
stands the share that labels of other voxels reach there. Of untuned voxels the figure is the share that is
labelled at all, which the false discovery rate bounds. Voxels that count words of a kind have no direction in the
embedding space; in the scanner each scan holds the blurred responses to several sentences, and its stimulus is the
words before it.

Real: hidden units of SmolLM2 as voxels, their mean over each sentence, predicted from MiniLM sentence vectors. The
figure of voxel prediction is Spearman's r of the explanation on held-out sentences, beside it that of explanations
of other units; of the encoding model, its r.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.table import Row, report
from neurogloss.agent.explainers.lavca import LaVCa
from neurogloss.agent.explainers.pmi import PMIExplainer
from neurogloss.agent.graph import explain_graph
from neurogloss.engines.embedder import MiniLM
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, derive_seed, hash64
from neurogloss.protocols import Explainer, Float32, HeldOut, Instruments, TokenVectors
from neurogloss.records import Passage
from neurogloss.runs.stages import explain_unit
from neurogloss.scorers.judges.embedded import SimilarityJudge
from neurogloss.scorers.measure import METRICS
from neurogloss.scorers.metrics import mean_interval
from neurogloss.scorers.voxels import VoxelPrediction
from neurogloss.settings import ResponseSettings
from neurogloss.sources.brain.collect import collect_experiment, collect_responses
from neurogloss.sources.brain.experiment import Experiment
from neurogloss.sources.brain.reading import Row as Stimulus
from neurogloss.sources.brain.simulate import Simulation, named, sentences, simulate
from neurogloss.sources.brain.voxels import Voxels
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import evidence

CEILINGS = (0.4, 0.1, 0.03)
LAYER = "model.layers.15"
UNITS = 24
BACKGROUND = 64


class Remembered:
    """An embedder that embeds each text once."""

    def __init__(self) -> None:
        self._inner = MiniLM()
        self.name, self.dimension = self._inner.name, self._inner.dimension
        self._known: dict[str, Float32] = {}

    def embed(self, texts: Sequence[str]) -> Float32:
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if missing:
            self._known |= dict(zip(missing, self._inner.embed(missing), strict=True))
        return np.stack([self._known[text] for text in texts])

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        return self._inner.embed_tokens(texts)


class Study:
    """A run with responses; its voxels explained without a language model."""

    def __init__(self, run: RunFolder, embedder: Remembered, place: str = "measured") -> None:
        self.embedder, self.run, self._place = embedder, run, place
        self.cache = Cache(run.cache)
        found = Voxels.of(self.cache)
        assert found is not None
        self.voxels = found
        first = self.cache.hashes("explain")[:BACKGROUND]
        self.judge = SimilarityJudge(embedder, [Passage(self.cache.context(int(h)).tokens) for h in first])

    @classmethod
    def of(cls, folder: Path, experiment: Experiment, embedder: Remembered) -> Study:
        """Of measured responses."""
        run = RunFolder(folder)
        collect_experiment(run, ResponseSettings(subject="study", stimuli="in memory"), experiment, embedder)
        return cls(run, embedder)

    def predicted(self, folder: Path, texts: Sequence[str]) -> Study:
        """Of what this one predicts to other sentences."""
        table = folder.with_suffix(".jsonl")
        table.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts), encoding="utf-8")
        settings = ResponseSettings(
            subject="study", stimuli=str(table), predicted_by=str(self.run.path), hookpoints=("predicted",)
        )
        collect_responses(RunFolder(folder), settings, self.embedder)
        return Study(RunFolder(folder), self.embedder, "predicted")

    def explained(self, explainer: Explainer, units: Sequence[int]) -> dict[int, str]:
        """The explanations of the positive sides of voxels that have one."""
        return asyncio.run(self._explained(explainer, units))

    async def _explained(self, explainer: Explainer, units: Sequence[int]) -> dict[int, str]:
        compiled, found = explain_graph(explainer, self.judge, explainer.name, 10, 0), {}
        for index in units:
            seen = evidence(self.cache, self.unit(index))
            result = await explain_unit(compiled, seen, explainer.name, self.voxels.shortfall(seen.unit))
            if result.label.explanation:
                found[index] = result.label.explanation.text
        return found

    def unit(self, index: int) -> UnitId:
        return UnitId("study", self._place, "voxels", index)

    def lavca(self) -> LaVCa:
        return LaVCa(self.embedder, self.voxels.readout)

    def spearman(self, index: int, explanation: str) -> float:
        """Of an explanation's prediction, on held-out stimuli."""
        scorer, seen = VoxelPrediction(), evidence(self.cache, self.unit(index))
        instruments = Instruments(embedder=self.embedder, responses=self.voxels.measured)
        answered = asyncio.run(scorer.answered(explanation, HeldOut(seen.unit, seen.score, (), 0), instruments))
        kind = METRICS[scorer.metric]
        return kind.value(kind.tables(answered, 0.1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=800)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    embedder, drawn = Remembered(), sentences(2 * arguments.sentences)
    texts, pool = drawn[: arguments.sentences], drawn[arguments.sentences :]
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        rows = [
            *simulated(Path(folder), texts, pool, embedder),
            *variants(Path(folder), texts, embedder),
            *real(Path(folder), texts[: len(texts) // 2], embedder),
        ]
    return report(f"voxels over {len(texts)} sentences; MiniLM features, no language model", rows, arguments.json)


def simulated(folder: Path, texts: Sequence[str], pool: Sequence[str], embedder: Remembered) -> list[Row]:
    """Shares by noise ceiling, of words mined from the best stimuli, and of LaVCa: from measured responses, from
    those predicted to a pool of other sentences, and of its keywords alone.
    """
    simulation = simulate(texts, embedder, CEILINGS)
    study = Study.of(folder / "meaning", simulation.experiment(), embedder)
    other = study.predicted(folder / "pool", pool)
    everyone, rows = range(len(simulation.tunings)), []
    ways: dict[str, tuple[Study, Explainer]] = {
        "PMI's words": (study, PMIExplainer(None)),
        "LaVCa": (study, study.lavca()),
        "LaVCa, predicted": (other, other.lavca()),
        "its keywords": (other, LaVCa(embedder, other.voxels.readout, keywords_only=True)),
    }
    for name, (seen, explainer) in ways.items():
        rows += shares(name, simulation, seen.explained(explainer, everyone), embedder)
    for ceiling in CEILINGS:
        mine = [i for i in everyone if simulation.ceilings[i] == ceiling and simulation.tunings[i]]
        r = float(np.mean(study.voxels.table["r"][mine]))
        limit = float(np.mean([study.voxels.ceiling(i) for i in mine]))
        rows.append(Row(f"held-out r, ceiling {ceiling:g}; beside it the ceiling of r", r, limit, r / limit))
    return rows


def shares(name: str, simulation: Simulation, told: Mapping[int, str], embedder: Remembered) -> list[Row]:
    """A row for each ceiling and kind of voxel."""
    nearest = {i: names[0] for i, names in zip(told, named(list(told.values()), embedder), strict=True)}
    rows = []
    for ceiling in dict.fromkeys(simulation.ceilings):
        for n, kind in ((1, "one thing"), (2, "two things"), (0, "nothing")):
            mine = [
                i
                for i, tuning in enumerate(simulation.tunings)
                if len(tuning) == n and simulation.ceilings[i] == ceiling
            ]
            labelled = [i for i in mine if i in told]
            what = f"{name}, tuned to {kind}, ceiling {ceiling:g}"
            if n == 0 and mine:
                rows.append(Row(f"{what}: labelled", len(labelled) / len(mine)))
            elif mine:
                hits = sum(nearest[i] in simulation.tunings[i] for i in labelled)
                luck = [other in simulation.tunings[i] for i in labelled for j, other in nearest.items() if j != i]
                rows.append(
                    Row(
                        f"{what}: right ({len(labelled)} of {len(mine)} labelled)",
                        hits / len(labelled) if labelled else float("nan"),
                        float(np.mean(luck)) if luck else float("nan"),
                    )
                )
    return rows


def variants(folder: Path, texts: Sequence[str], embedder: Remembered) -> list[Row]:
    """Voxels that count words, and voxels in the scanner, at the best ceiling."""
    rows = []
    kinds = (
        ("counting words", "words", False, texts),
        ("in the scanner", "meaning", True, texts[: len(texts) // 2]),
    )
    for name, by, scanned, some in kinds:
        simulation = simulate(some, embedder, CEILINGS[:1], mixed=0, untuned=6, by=by, scanned=scanned)
        study = Study.of(folder / by / name, simulation.experiment(), embedder)
        told = study.explained(study.lavca(), range(len(simulation.tunings)))
        rows += shares(f"LaVCa, {name}", simulation, told, embedder)
    return rows


def real(folder: Path, texts: Sequence[str], embedder: Remembered) -> list[Row]:
    """Hidden units of SmolLM2 as voxels."""
    responses = hidden(texts)
    drawn = np.random.default_rng(derive_seed(0, "hidden units")).permutation(responses.shape[1])[:100]
    rows = tuple(Stimulus(text, content=hash64(text)) for text in texts)
    n = len(texts)
    experiment = Experiment(rows, responses[:, drawn], np.ones(n, np.int64), np.full(len(drawn), np.nan))
    study = Study.of(folder / "real", experiment, embedder)
    q, r = study.voxels.table["q"], study.voxels.table["r"]
    chosen = [i for i in range(len(drawn)) if q[i] <= 0.05][:UNITS]
    told = study.explained(study.lavca(), chosen)
    own = [study.spearman(i, text) for i, text in told.items()]
    others = [np.mean([study.spearman(i, other) for j, other in told.items() if j != i][:5]) for i in told]
    gain = mean_interval([a - float(b) for a, b in zip(own, others, strict=True)], np.random.default_rng(0))
    return [
        Row(f"SmolLM2, {LAYER}: hidden units predicted above chance, of {len(drawn)}", float((q <= 0.05).mean())),
        Row("mean held-out r of the encoding model", float(np.nanmean(r))),
        Row(
            f"voxel prediction of {len(told)} labels, LaVCa",
            float(np.mean(own)),
            float(np.mean(others)),
            difference=gain.value,
            low=gain.low,
            high=gain.high,
            goal="interval above 0",
            met=gain.low > 0,
        ),
    ]


def hidden(texts: Sequence[str]) -> Float32:
    """(S, width): what SmolLM2 holds after the layer, mean over each text's tokens, z-scored by unit."""
    import torch

    from neurogloss.settings import CollectSettings
    from neurogloss.sources.subject import Subject

    torch.set_num_threads(1)
    subject = Subject.of(CollectSettings(hookpoints=(LAYER,)))
    place = subject.hookpoint(LAYER)
    means = []
    for start in range(0, len(texts), 16):
        ids = [
            subject.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts[start : start + 16]
        ]
        found = subject.vectors(ids, [place])[place]
        means += [found[i, : len(row)].mean(0).float().numpy() for i, row in enumerate(ids)]
    values = np.stack(means)
    scaled: Float32 = ((values - values.mean(0)) / values.std(0)).astype(np.float32)
    return scaled


if __name__ == "__main__":
    sys.exit(main())
