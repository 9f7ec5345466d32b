"""How good pattern explanations are: executable programs over text, found without a language model.

    python -m benchmarks.patterns [--run runs/demo] [--json] [--show]

It takes the demo's run (and collects it first if it is not there), learns patterns from the explain split alone,
and runs them on the score split. A unit without a pattern counts as a correlation of 0. `correlation` is Pearson's
at the unit's density, over the uniform sample of active contexts and the first 128 certified silent ones; the rows
`all certified` use every certified context. Planted units have rules that are known by construction
(`benchmarks.planted`).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

import neurogloss as ng
from benchmarks.planted import run as planted_run
from benchmarks.planted.units import Unit, units
from benchmarks.table import Row, report
from neurogloss.agent.patterns.kin import Kin
from neurogloss.agent.patterns.search import Found, Search, correlation
from neurogloss.cli.demo import DICTIONARIES, HOOKPOINTS, TOKENS
from neurogloss.engines.embedder import MiniLM
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, derive_seed
from neurogloss.records import Evidence, EvidenceHalf, Example
from neurogloss.scorers.patterns.english import describe
from neurogloss.scorers.patterns.language import Pattern
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import evidence_of

DRAWN = (("model.layers.14", "sae-0", 34), ("model.layers.14", "sae-1", 33), (HOOKPOINTS[2], "neurons", 33))
"""Hookpoints and dictionaries of the units drawn at random, and how many of each."""
SEED = 5
LEAST = 10
"""Active contexts that a unit must have in each split."""
SILENT = 128
"""Certified silent contexts by which units are compared with the goals."""
ALL = 1_000_000
SUBJECT = "smollm2-135m-instruct"
SAYABLE = ("single token", "token family", "phrase", "two-facet", "rare", "dense", "noisy 10 %")
"""Families of planted units whose rules the language can say."""
PLACES = (
    "the first word after a comma",
    "the first word of a sentence",
    "the first word after an opening bracket",
)
"""Places that the language can say; others depend on what follows."""
RIGHT = 0.9
"""Least F1 of a recovered rule on the contexts of the score split."""

CLEAR = {
    "model.layers.14.mlp.down_proj.input/neurons/764": (
        "pieces inside words",
        ("is:later-piece", "piece:*", "base:*"),
    ),
    "model.layers.14/sae-0/2123": ("the word here", ("word:here", "form:here", "like:here")),
    "model.layers.14/sae-0/3365": ("the ending -ic", ("ends:*ic",)),
    "model.layers.14/sae-0/3715": ("the word this", ("word:this", "form:this", "after:this")),
    "model.layers.14/sae-1/178": ("commas or and", ("word:,", "mark:,", "word:and")),
    "model.layers.14/sae-1/4400": ("corner or month", ("*:corner", "*:month", "begins:corn", "begins:mont")),
    "model.layers.14/sae-1/789": (
        "'d or would",
        ("piece:'d", "ends:'d", "word:would", "form:would", "like:would"),
    ),
    "model.layers.24.mlp.down_proj.input/neurons/1291": ("the letter J", ("word:j", "begins:j", "base:j")),
    "model.layers.24.mlp.down_proj.input/neurons/204": (
        "digits or years",
        ("is:*digit", "is:year", "word:[0-9]*", "begins:[0-9]*", "base:[0-9]*"),
    ),
    "model.layers.24.mlp.down_proj.input/neurons/287": (
        "words of astronomy and physics",
        tuple(
            f"*:{word}" for word in "sun moon star stars mars earth planet planets light motion gravity".split()
        ),
    ),
    "model.layers.24.mlp.down_proj.input/neurons/623-": ("line breaks", ("is:line-break", "is:blank-line")),
    "model.layers.24.mlp.down_proj.input/neurons/92-": (
        "names of English places and nobles",
        tuple(f"*:{word}" for word in "king north black ash cambridge wool lord england british london".split()),
    ),
    "model.layers.4.mlp.down_proj.input/neurons/431-": (
        "verbs of making and combining",
        tuple(f"*:{word}" for word in "merg* creat* add* blend* combin* mix* replac* join* mak*".split()),
    ),
}
"""The demo's units that a reader marked clear: what the reader saw, and the tests of which the surest half of a
pattern's conditions must have one (`kind:value`, with * for anything)."""
NONE = (
    "model.layers.14/sae-1/3515",
    "model.layers.24.mlp.down_proj.input/neurons/487",
    "model.layers.4.mlp.down_proj.input/neurons/1294",
    "model.layers.4.mlp.down_proj.input/neurons/1375",
    "model.layers.4.mlp.down_proj.input/neurons/1399-",
    "model.layers.4.mlp.down_proj.input/neurons/17",
)
"""Those in which a reader saw no pattern."""
WEAK = (
    "model.layers.14.mlp.down_proj.input/neurons/483",
    "model.layers.14/sae-1/589",
    "model.layers.4.mlp.down_proj.input/neurons/694",
    "model.layers.4.mlp.down_proj.input/neurons/897-",
    "model.layers.4.mlp.down_proj.input/neurons/952-",
)
"""Those in which a reader saw a weak one."""


@dataclass(frozen=True)
class Result:
    """What was found of one unit, and how it holds on the score split."""

    evidence: Evidence
    found: Found
    r: float
    """Correlation at density, over the first silent contexts."""
    r_all: float
    """The same over all certified contexts."""
    cost: float
    """CPU-milliseconds of the search, with the first reading of contexts that no earlier unit had."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", action="store_true", help="print every pattern")
    parser.add_argument("--seed", type=int, default=SEED, help="draws the random units")
    arguments = parser.parse_args()
    if not (arguments.run / "cache" / "manifest.json").is_file():
        ng.collect(arguments.run, hookpoints=HOOKPOINTS, dictionaries=DICTIONARIES, tokens=TOKENS)
    cache = ng.open_run(arguments.run).cache
    kin = Kin(*MiniLM().words())
    random_units = list(evidence_of(cache, draw(cache, arguments.seed), ALL))
    demo = list(evidence_of(cache, [UnitId.parse(f"{SUBJECT}/{name}") for name in (*CLEAR, *NONE, *WEAK)], ALL))
    drawn, shown = _results(random_units, kin), _results(demo, kin)
    cost = _mean(result.cost for result in drawn)
    rows = [*_of_drawn(drawn, cost), *_of_demo(shown), *_of_shuffled(random_units, kin), *_of_planted(kin)]
    if arguments.show:
        for result in (*drawn, *shown):
            pattern = result.found.pattern
            text = describe(pattern) if pattern else f"no pattern (z {result.found.z:.1f}, r {result.found.r:.2f})"
            print(f"{result.r:+.2f} {str(result.evidence.unit).removeprefix(SUBJECT + '/')}: {text}")
    return report(f"patterns, {len(drawn)} random units (seed {arguments.seed})", rows, arguments.json)


def draw(cache: Cache, seed: int) -> list[UnitId]:
    """Units drawn at random from those with enough active contexts."""
    rng, alive = random.Random(seed), cache.alive(LEAST)
    found = []
    for hookpoint, dictionary, n in DRAWN:
        some = [u for u in alive if (u.hookpoint, u.dictionary, u.sign) == (hookpoint, dictionary, 1)]
        found += rng.sample(some, n)
    return found


def _results(evidence: Sequence[Evidence], kin: Kin) -> list[Result]:
    """Each unit searched, and its pattern run on the score split."""
    search, results = Search(kin), []
    for each in evidence:
        if min(len(each.explain.uniform), len(each.score.uniform)) >= LEAST and each.explain.negatives:
            began = time.process_time()
            found = search.find(each.explain, derive_seed(0, str(each.unit)))
            cost = (time.process_time() - began) * 1000
            scores = [held_out(found.pattern, each, n) for n in (SILENT, ALL)]
            results.append(Result(each, found, *scores, cost))
    return results


def held_out(pattern: Pattern | None, evidence: Evidence, silent: int) -> float:
    """Correlation at density on the score split; 0 without a pattern."""
    half, density = evidence.score, evidence.statistics.density
    negatives = half.negatives[:silent]
    if pattern is None or not negatives:
        return 0.0
    contexts = [*(example.context for example in half.uniform), *negatives]
    truth = np.repeat([1.0, 0.0], [len(half.uniform), len(negatives)])
    weights = np.where(truth > 0, density / len(half.uniform), (1 - density) / len(negatives))
    return correlation(np.array([pattern.chance(context.tokens) for context in contexts]), truth, weights)


def _of_drawn(results: Sequence[Result], cost: float) -> list[Row]:
    mean = _mean(result.r for result in results)
    rows = [
        Row("random units: correlation", mean, goal=">= 0.36", met=mean >= 0.36),
        Row("random units: correlation, all certified", _mean(result.r_all for result in results)),
    ]
    for _, dictionary, _ in DRAWN:
        some = [result.r for result in results if result.evidence.unit.dictionary == dictionary]
        rows.append(Row(f"random units: correlation, {dictionary}", _mean(some)))
    none = _mean(result.found.pattern is None for result in results)
    return [
        *rows,
        Row("random units: share without pattern", none),
        Row("random units: search, CPU-ms a unit", cost, goal="<= 60", met=cost <= 60),
    ]


def _of_demo(results: Sequence[Result]) -> list[Row]:
    by_name = {str(result.evidence.unit).removeprefix(f"{SUBJECT}/"): result for result in results}
    clear = sum(is_found(by_name[name].found.pattern, tests) for name, (_, tests) in CLEAR.items())
    none = sum(by_name[name].found.pattern is None for name in NONE)
    mean = _mean(result.r for result in results)
    return [
        Row("demo's 24 units: correlation", mean, goal=">= 0.29", met=mean >= 0.29),
        Row("demo's 24 units: correlation, all certified", _mean(result.r_all for result in results)),
        Row("13 clear units: found", clear, goal=">= 9", met=clear >= 9),
        Row("6 units without a pattern: said so", none, goal=">= 4", met=none >= 4),
    ]


def is_found(pattern: Pattern | None, tests: Sequence[str]) -> bool:
    """Whether a condition at least half as sure as the surest has one of the tests."""
    if pattern is None:
        return False
    least = 0.5 * max(condition.chance for condition in pattern.conditions)
    said = [
        f"{test.kind}:{value}"
        for condition in pattern.conditions
        if condition.chance >= least
        for test in condition.tests
        for value in test.values
    ]
    return any(fnmatchcase(one, wanted) for one in said for wanted in tests)


def _of_shuffled(evidence: Sequence[Evidence], kin: Kin) -> list[Row]:
    """The same units, their active contexts and tokens drawn anew."""
    search, none = Search(kin), []
    for each in evidence:
        if len(each.explain.uniform) >= LEAST and each.explain.negatives:
            seed = derive_seed(1, str(each.unit))
            none.append(search.find(shuffled(each.explain, seed), seed).pattern is None)
    share = _mean(none)
    return [Row("shuffled explain splits: no pattern", share, goal=">= 0.95", met=share >= 0.95)]


def shuffled(half: EvidenceHalf, seed: int) -> EvidenceHalf:
    """The split with its contexts in other places, and as many active tokens as before, on any tokens."""
    rng = np.random.default_rng(seed)
    uniform = {example.context.id for example in half.uniform}
    examples = list({e.context.id: e for e in (*half.uniform, *half.top)}.values())
    contexts = [*(example.context for example in examples), *half.negatives]
    order = rng.permutation(len(contexts))
    fakes = []
    for example, place in zip(examples, order, strict=False):
        context = contexts[place]
        values = np.resize(np.asarray(example.activations, float), len(context.tokens))
        values[0] = example.peak
        fakes.append((example.context.id in uniform, Example(context, tuple(rng.permutation(values).tolist()))))
    return EvidenceHalf(
        tuple(fake for kept, fake in fakes if not kept),
        tuple(fake for kept, fake in fakes if kept),
        tuple(contexts[place] for place in order[len(examples) :]),
        n_certified=half.n_certified,
    )


def _of_planted(kin: Kin) -> list[Row]:
    """Rules known by construction, of the kinds that the language can say."""
    chosen = [unit for unit in units() if unit.family in SAYABLE or unit.rule.words in PLACES]
    with tempfile.TemporaryDirectory() as folder:
        cache = planted_run.collect(RunFolder(Path(folder)), chosen)
        texts = [cache.context(digest) for digest in cache.hashes("score").tolist()]
        tokens = [context.tokens for context in texts]
        search, right = Search(kin), []
        for unit, each in zip(chosen, _planted_evidence(cache, chosen), strict=True):
            if min(len(each.explain.uniform), len(each.score.uniform)) < LEAST:
                continue
            pattern = search.find(each.explain, derive_seed(0, unit.rule.words)).pattern
            right.append(agreement(pattern, unit, tokens) >= RIGHT)
    share = _mean(right)
    return [Row(f"{len(right)} planted rules: recovered", share, goal=">= 0.95", met=share >= 0.95)]


def _planted_evidence(cache: Cache, chosen: Sequence[Unit]) -> Iterable[Evidence]:
    return evidence_of(cache, [planted_run.unit_id(i) for i in range(len(chosen))], ALL)


def agreement(pattern: Pattern | None, unit: Unit, texts: Sequence[Sequence[str]]) -> float:
    """F1 of the texts in which the surer conditions hold against those in which the rule is active."""
    if pattern is None:
        return 0.0
    least = 0.5 * max(condition.chance for condition in pattern.conditions)
    said = np.array([pattern.chance(tokens) >= least for tokens in texts])
    true = np.array([unit.rule.fires("".join(tokens)) for tokens in texts])
    return float(2 * (said & true).sum() / max(said.sum() + true.sum(), 1))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


if __name__ == "__main__":
    sys.exit(main())
