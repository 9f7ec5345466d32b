"""How far scorers agree on real units: Spearman correlation of two scorers' scores over units, for every pair.

    python -m benchmarks.agreement [--run RUN] [--units 32] [--json]

Units are features of the packaged SAE, collected from the demo corpus, explained and judged by the embedded
default; the scorers are all that need no LLM. Intervals are those of Bonett & Wright (2000). Beside each
pair stands what Paulo et al. 2024 (arXiv:2410.13928) find over 800 explanations that an LLM wrote and judged. With
--run it is the labels that are there, of its newest method and whatever units and scorers it has.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import neurogloss as ng
from benchmarks.table import Row, report
from neurogloss.scorers import answering, registry

SAE, HOOKPOINT, TOKENS, QUESTIONS = "sae-0", "model.layers.14", 64_000, 60
PAPER: Mapping[frozenset[str], float] = {
    frozenset(pair): value
    for pair, value in {
        ("fuzzing", "detection"): 0.73,
        ("fuzzing", "simulation"): 0.75,
        ("fuzzing", "embedding"): 0.41,
        ("fuzzing", "surprisal"): 0.30,
        ("detection", "simulation"): 0.44,
        ("detection", "embedding"): 0.71,
        ("detection", "surprisal"): 0.62,
        ("simulation", "embedding"): 0.28,
        ("simulation", "surprisal"): 0.15,
        ("embedding", "surprisal"): 0.79,
    }.items()
}
FEWEST = 4
"""Units below which a rank correlation has no interval."""


def without_llm() -> tuple[str, ...]:
    """The package's scorers that ask no chat model."""
    names = tuple(registry.REGISTRY.own)
    asked = zip(names, registry.get(names, QUESTIONS), strict=True)
    return tuple(name for name, scorer in asked if "chat" not in answering.needs(scorer))


def label(run: Path, units: int) -> None:
    """Collect and label the packaged SAE's units, with all scorers that need no LLM."""
    ng.collect(run, hookpoints=(HOOKPOINT,), dictionaries=(SAE,), tokens=TOKENS)
    ng.label(run, units=f"sample:{units}", scorers=without_llm(), questions=QUESTIONS)


def scores(run: Path) -> dict[str, dict[str, float]]:
    """By scorer and unit, of the newest method; undefined ones left out."""
    found: dict[str, dict[str, float]] = {}
    for each in ng.open_run(run).labels():
        for score in each.scores:
            if score.score.defined:
                found.setdefault(score.scorer, {})[str(each.unit)] = score.score.value
    return found


def agreement(found: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """A row a pair, those that the paper has first."""
    pairs = sorted(combinations(sorted(found), 2), key=lambda pair: frozenset(pair) not in PAPER)
    return [_row(one, other, found[one], found[other]) for one, other in pairs]


def _row(one: str, other: str, of_one: Mapping[str, float], of_other: Mapping[str, float]) -> Row:
    units = sorted(of_one.keys() & of_other.keys())
    r, low, high = spearman([of_one[u] for u in units], [of_other[u] for u in units])
    beside = PAPER.get(frozenset((one, other)), math.nan)
    return Row(f"{one} ~ {other}, {len(units)} units", r, beside, low=low, high=high)


def spearman(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Rank correlation with its 95 % interval; NaN where one does not vary, or for fewer than FEWEST."""
    from scipy.stats import spearmanr

    n = len(x)
    if n < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan, math.nan, math.nan
    r = float(spearmanr(x, y).statistic)
    if abs(r) >= 1:
        return r, r, r
    reach = 1.96 * math.sqrt((1 + r * r / 2) / (n - 3))
    return r, math.tanh(math.atanh(r) - reach), math.tanh(math.atanh(r) + reach)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run with labels, in place of one made here")
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        run = arguments.run or Path(folder) / "run"
        if arguments.run is None:
            label(run, arguments.units)
        return report("agreement of scorers (Spearman) beside the paper's", agreement(scores(run)), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
