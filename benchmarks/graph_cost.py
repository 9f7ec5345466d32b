"""What LangGraph costs a unit: both graphs with a free explainer and a free judge, beside their nodes alone.

python -m benchmarks.graph_cost [--units 24] [--json]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.planted.run import collect, unit_id
from benchmarks.planted.units import units as planted
from benchmarks.table import Row, report
from neurogloss.agent.graph import explain_graph, score_graph
from neurogloss.agent.methods import Scoring
from neurogloss.agent.nodes.explain import Explain, Gather, Settle
from neurogloss.agent.nodes.score import Prepare, Score, Verdict
from neurogloss.agent.nodes.screen import Screen
from neurogloss.agent.state import Effort
from neurogloss.folder import RunFolder
from neurogloss.protocols import Instruments, LiveSubject, Material
from neurogloss.records import Answer, Candidate, Evidence, Question
from neurogloss.scorers import choice
from neurogloss.scorers.detection import Detection, Fuzzing
from neurogloss.settings import LabelSettings
from neurogloss.sources.evidence import evidence
from neurogloss.tasks import wait

MOST_MS = 10.0
"""CPU of LangGraph a unit."""
TURNS = 3
"""The least counts: what disturbs a machine only adds."""
SCORERS = (Detection(), Fuzzing())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = planted()[: options.units]
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        cache = collect(RunFolder(Path(folder)), chosen)
        found = [evidence(cache, unit_id(i)) for i in range(len(chosen))]
        # On the loop that labelling runs on.
        rows = [wait(partial(row, found))]
    return report(f"LangGraph, {len(found)} units, one thread", rows, options.json)


@dataclass(frozen=True)
class Free:
    """An explainer and a judge that cost nothing."""

    name: str = "free"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {}

    async def candidates(self, material: Material) -> list[Candidate]:
        return [Candidate("anything"), Candidate("nothing")]

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        return [Answer(float(question.truth)) for question in questions]


def _no_subject() -> LiveSubject:
    raise NotImplementedError("nothing is steered here")


async def row(units: Sequence[Evidence]) -> Row:
    """The median unit's CPU time by either way, of each the least of some turns, and the median difference."""
    free = Free()
    explain = explain_graph(free, free, "free", 2, 0)
    scoring = Scoring(free, SCORERS, Instruments(), 1, 0, {})
    score = score_graph(scoring, _no_subject, lambda unit: (), LabelSettings(prompts=2))
    explaining = (Gather(2, False, 0), Explain(free), Screen(free), Settle(free, "free", Effort()))
    prepare, asking, verdict = Prepare(SCORERS, _no_subject, 2, 0), Score(free), Verdict(0.05)

    async def by_graph(found: Evidence) -> None:
        await score.ainvoke(_to_score(found, await explain.ainvoke(_to_explain(found))))

    async def by_hand(found: Evidence) -> None:
        state: Any = _to_explain(found)
        for node in explaining:
            state |= await node(state)
        state = _to_score(found, state)
        state |= await prepare(state)
        sent: list[Any] = [{**state, "scorer": scorer} for scorer in SCORERS]
        parts = [await asking(each) for each in sent]
        state["scores"] = [each for part in parts for each in part["scores"]]
        await verdict(state)

    for work in (by_graph, by_hand):
        await work(units[0])  # what is imported and compiled at first use
    turns = [[[await _ms(work(found)) for work in (by_graph, by_hand)] for found in units] for _ in range(TURNS)]
    taken = np.min(turns, axis=0)
    graph, hand = np.median(taken, axis=0).tolist()
    own = float(np.median(taken[:, 0] - taken[:, 1]))
    return Row(
        "LangGraph, CPU ms a unit: both graphs, beside their nodes alone",
        graph,
        hand,
        difference=own,
        goal=f"difference < {MOST_MS:.0f}",
        met=own < MOST_MS,
    )


async def _ms(work: Coroutine[Any, Any, None]) -> float:
    began = time.process_time()
    await work
    return 1000 * (time.process_time() - began)


def _to_explain(found: Evidence) -> dict[str, Any]:
    return {
        "unit": found.unit,
        "statistics": found.statistics,
        "half": found.explain,
        "score_active": len(found.score.uniform),
        "output_tokens": None,
    }


def _to_score(found: Evidence, state: Mapping[str, Any]) -> dict[str, Any]:
    explanation = state["explanations"][0]
    return {
        "explanation": explanation,
        "half": found.score,
        "tuning_prompts": (),
        "density": found.statistics.density,
        "floors": choice.draw(explanation, (), 1, 0),
    }


if __name__ == "__main__":
    sys.exit(main())
