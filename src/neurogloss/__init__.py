"""neurogloss: find out what the parts of a neural network respond to, in words you can trust.

import neurogloss as ng
ng.collect("runs/mine", hookpoints=["model.layers.14.mlp.down_proj.input"])
ng.label("runs/mine", units="sample:24")
ng.search("words for parts of the day", "runs/mine")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurogloss.agent.batch import label, label_async
    from neurogloss.agent.contexts import ContextSettings, label_contexts, label_contexts_async
    from neurogloss.agent.exchange import diff, export, import_labels
    from neurogloss.agent.plan import plan
    from neurogloss.agent.report.page import report
    from neurogloss.agent.run import Run, collect, collect_images, collect_responses, merge, open_run, search
    from neurogloss.agent.scoring import score, score_async
    from neurogloss.agent.similarity import similar
    from neurogloss.agent.steps.runnable import label_runnable
    from neurogloss.agent.steps.subgraph import label_subgraph
    from neurogloss.agent.steps.tables import label_frame, label_row, label_rows
    from neurogloss.errors import AnswerError, NeuroglossError, UserError
    from neurogloss.ids import UnitId
    from neurogloss.records import (
        Answer,
        Context,
        Evidence,
        Example,
        Explanation,
        Label,
        Passage,
        Question,
        Score,
        State,
    )

# Names are looked up on first use: `import neurogloss` loads neither torch nor chromadb nor langgraph.
_HOME = {
    "label": "agent.batch",
    "label_async": "agent.batch",
    "plan": "agent.plan",
    "report": "agent.report.page",
    "score": "agent.scoring",
    "score_async": "agent.scoring",
    "ContextSettings": "agent.contexts",
    "label_contexts": "agent.contexts",
    "label_contexts_async": "agent.contexts",
    "label_frame": "agent.steps.tables",
    "label_row": "agent.steps.tables",
    "label_rows": "agent.steps.tables",
    "label_runnable": "agent.steps.runnable",
    "label_subgraph": "agent.steps.subgraph",
    "diff": "agent.exchange",
    "export": "agent.exchange",
    "import_labels": "agent.exchange",
    "Run": "agent.run",
    "collect": "agent.run",
    "collect_images": "agent.run",
    "collect_responses": "agent.run",
    "merge": "agent.run",
    "open_run": "agent.run",
    "search": "agent.run",
    "similar": "agent.similarity",
    "AnswerError": "errors",
    "NeuroglossError": "errors",
    "UserError": "errors",
    "UnitId": "ids",
    "Answer": "records",
    "Context": "records",
    "Evidence": "records",
    "Example": "records",
    "Explanation": "records",
    "Label": "records",
    "Passage": "records",
    "Question": "records",
    "Score": "records",
    "State": "records",
}

__all__ = (
    "Answer",
    "AnswerError",
    "Context",
    "ContextSettings",
    "Evidence",
    "Example",
    "Explanation",
    "Label",
    "NeuroglossError",
    "Passage",
    "Question",
    "Run",
    "Score",
    "State",
    "UnitId",
    "UserError",
    "collect",
    "collect_images",
    "collect_responses",
    "diff",
    "export",
    "import_labels",
    "label",
    "label_async",
    "label_contexts",
    "label_contexts_async",
    "label_frame",
    "label_row",
    "label_rows",
    "label_runnable",
    "label_subgraph",
    "merge",
    "open_run",
    "plan",
    "report",
    "score",
    "score_async",
    "search",
    "similar",
)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'neurogloss' has no attribute {name!r}")
    return getattr(importlib.import_module(f"neurogloss.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
