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
    from neurogloss.errors import AnswerError as AnswerError
    from neurogloss.errors import NeuroglossError as NeuroglossError
    from neurogloss.errors import UserError as UserError
    from neurogloss.ids import UnitId as UnitId
    from neurogloss.records import Evidence as Evidence
    from neurogloss.records import Explanation as Explanation
    from neurogloss.records import Label as Label
    from neurogloss.records import Score as Score
    from neurogloss.records import State as State
    from neurogloss.runs.collect import collect as collect
    from neurogloss.runs.collect import collect_images as collect_images
    from neurogloss.runs.collect import collect_responses as collect_responses
    from neurogloss.runs.collect import merge as merge
    from neurogloss.runs.compare import similar as similar
    from neurogloss.runs.contexts import label_contexts as label_contexts
    from neurogloss.runs.contexts import label_contexts_async as label_contexts_async
    from neurogloss.runs.exchange import diff as diff
    from neurogloss.runs.exchange import export as export
    from neurogloss.runs.exchange import import_labels as import_labels
    from neurogloss.runs.label import label as label
    from neurogloss.runs.label import label_async as label_async
    from neurogloss.runs.label import score as score
    from neurogloss.runs.label import score_async as score_async
    from neurogloss.runs.plan import plan as plan
    from neurogloss.runs.report.page import report as report
    from neurogloss.runs.run import Run as Run
    from neurogloss.runs.run import open_run as open_run
    from neurogloss.runs.run import search as search
    from neurogloss.runs.steps import label_rows as label_rows

    __version__: str

# Names are looked up on first use: `import neurogloss` loads neither torch nor chromadb nor langgraph.
_NAMES = {
    "errors": ("AnswerError", "NeuroglossError", "UserError"),
    "ids": ("UnitId",),
    "records": ("Evidence", "Explanation", "Label", "Score", "State"),
    "runs.collect": ("collect", "collect_images", "collect_responses", "merge"),
    "runs.contexts": ("label_contexts", "label_contexts_async"),
    "runs.exchange": ("diff", "export", "import_labels"),
    "runs.label": ("label", "label_async", "score", "score_async"),
    "runs.plan": ("plan",),
    "runs.report.page": ("report",),
    "runs.run": ("Run", "open_run", "search"),
    "runs.compare": ("similar",),
    "runs.steps": ("label_rows",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = ("errors", "ids", "llm", "protocols", "records", "results", "settings")
__all__ = sorted(_HOME)


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
