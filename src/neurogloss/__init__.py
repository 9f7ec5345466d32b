"""neurogloss: find out what the parts of a neural network respond to, in words you can trust.

import neurogloss as ng
ng.collect("runs/mine", hookpoints=["model.layers.14.mlp.down_proj.input"])
ng.label("runs/mine", units="sample:24")
ng.search("words for parts of the day", "runs/mine")

The verbs, `Run`, the main records and the errors are here. Public modules hold the rest: `neurogloss.records`,
`settings`, `results` (what the verbs return), `protocols` and `llm` (what a plug-in implements), `ids`, `errors`.
Everything below `neurogloss.runs`, `agent`, `store` and so on may change.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurogloss import errors as errors
    from neurogloss import ids as ids
    from neurogloss import llm as llm
    from neurogloss import protocols as protocols
    from neurogloss import records as records
    from neurogloss import results as results
    from neurogloss import settings as settings
    from neurogloss.errors import AnswerError, NeuroglossError, UserError
    from neurogloss.ids import UnitId
    from neurogloss.records import Evidence, Explanation, Label, Score, State
    from neurogloss.runs.contexts import label_contexts, label_contexts_async
    from neurogloss.runs.exchange import diff, export, import_labels
    from neurogloss.runs.label import label, label_async
    from neurogloss.runs.plan import plan
    from neurogloss.runs.report.page import report
    from neurogloss.runs.run import Run, collect, collect_images, collect_responses, merge, open_run, search
    from neurogloss.runs.score import score, score_async
    from neurogloss.runs.similarity import similar
    from neurogloss.runs.steps import label_rows

    __version__: str

# Names are looked up on first use: `import neurogloss` loads neither torch nor chromadb nor langgraph.
_HOME = {
    "AnswerError": "errors",
    "Evidence": "records",
    "Explanation": "records",
    "Label": "records",
    "NeuroglossError": "errors",
    "Run": "runs.run",
    "Score": "records",
    "State": "records",
    "UnitId": "ids",
    "UserError": "errors",
    "collect": "runs.run",
    "collect_images": "runs.run",
    "collect_responses": "runs.run",
    "diff": "runs.exchange",
    "export": "runs.exchange",
    "import_labels": "runs.exchange",
    "label": "runs.label",
    "label_async": "runs.label",
    "label_contexts": "runs.contexts",
    "label_contexts_async": "runs.contexts",
    "label_rows": "runs.steps",
    "merge": "runs.run",
    "open_run": "runs.run",
    "plan": "runs.plan",
    "report": "runs.report.page",
    "score": "runs.score",
    "score_async": "runs.score",
    "search": "runs.run",
    "similar": "runs.similarity",
}
_MODULES = ("errors", "ids", "llm", "protocols", "records", "results", "settings")

__all__ = (
    "AnswerError",
    "Evidence",
    "Explanation",
    "Label",
    "NeuroglossError",
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
    if name in _HOME:
        return getattr(importlib.import_module(f"neurogloss.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"neurogloss.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("neurogloss")
    raise AttributeError(f"module 'neurogloss' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*__all__, *_MODULES, "__version__"))
