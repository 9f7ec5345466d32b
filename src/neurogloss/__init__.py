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
    from neurogloss.runs.contexts import label_contexts, label_contexts_async
    from neurogloss.runs.exchange import diff, export, import_labels
    from neurogloss.runs.label import label, label_async
    from neurogloss.runs.plan import plan
    from neurogloss.runs.report.page import report
    from neurogloss.runs.run import Run, collect, collect_images, collect_responses, merge, open_run, search
    from neurogloss.runs.score import score, score_async
    from neurogloss.runs.similarity import similar
    from neurogloss.runs.steps import label_rows
    from neurogloss.settings import ContextSettings

# Names are looked up on first use: `import neurogloss` loads neither torch nor chromadb nor langgraph.
_HOME = {
    "label": "runs.label",
    "label_async": "runs.label",
    "plan": "runs.plan",
    "report": "runs.report.page",
    "score": "runs.score",
    "score_async": "runs.score",
    "ContextSettings": "settings",
    "label_contexts": "runs.contexts",
    "label_contexts_async": "runs.contexts",
    "label_rows": "runs.steps",
    "diff": "runs.exchange",
    "export": "runs.exchange",
    "import_labels": "runs.exchange",
    "Run": "runs.run",
    "collect": "runs.run",
    "collect_images": "runs.run",
    "collect_responses": "runs.run",
    "merge": "runs.run",
    "open_run": "runs.run",
    "search": "runs.run",
    "similar": "runs.similarity",
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
    "label_rows",
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
