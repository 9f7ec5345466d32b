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
    from neurogloss.agent.batch import label
    from neurogloss.agent.contexts import label_contexts
    from neurogloss.agent.run import Run, collect, merge, open_run, search, similar
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
    "label_contexts": "agent.contexts",
    "Run": "agent.run",
    "collect": "agent.run",
    "merge": "agent.run",
    "open_run": "agent.run",
    "search": "agent.run",
    "similar": "agent.run",
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
    "label",
    "label_contexts",
    "merge",
    "open_run",
    "search",
    "similar",
)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'neurogloss' has no attribute {name!r}")
    return getattr(importlib.import_module(f"neurogloss.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
