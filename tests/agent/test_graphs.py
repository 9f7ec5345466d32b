"""The graphs as drawn: the edges in the code are those in the documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurogloss.agent.graph import explain_graph, score_graph
from neurogloss.agent.methods import Scoring
from neurogloss.agent.models import Hard
from neurogloss.agent.state import Effort, ExplainState, Found
from neurogloss.protocols import Instruments, LiveSubject, Material
from neurogloss.records import Answer, Candidate
from neurogloss.settings import LabelSettings

PAGE = Path(__file__).parents[2] / "docs" / "design" / "agent.md"


class Nobody:
    """An explainer, a judge and a round that are never asked."""

    name = "nobody"
    settings: Mapping[str, Any] = {}

    async def candidates(self, material: Material) -> list[Candidate]:
        raise NotImplementedError

    async def ask(self, *given: Any) -> list[Answer]:
        raise NotImplementedError

    async def __call__(self, state: ExplainState) -> Found:
        raise NotImplementedError


def edges(drawing: str) -> set[str]:
    return set(re.findall(r"^\s*(\w+ (?:-->|-\.->) \w+);$", drawing, re.MULTILINE))


def no_subject() -> LiveSubject:
    raise NotImplementedError


def test_the_documentation_draws_the_graphs_as_they_are() -> None:
    nobody = Nobody()
    effort = Effort(("experiment", "refine"), {"experiment": nobody, "refine": nobody})
    explain = explain_graph(nobody, nobody, "method", 4, 0, effort)
    scoring = Scoring(nobody, (), Instruments(), 1, Hard(), {})
    score = score_graph(scoring, no_subject, lambda unit: (), LabelSettings())
    drawn = re.findall(r"```mermaid\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    for graph, drawing in zip((explain, score), drawn, strict=True):
        assert edges(drawing) == edges(graph.get_graph().draw_mermaid()) != set()
