"""Label units in a node of a LangGraph graph. The graph's checkpointer keeps the label.

    python examples/in_langgraph.py
    python examples/in_langgraph.py --llm http://127.0.0.1:8000

A toy detector of own_source.py stands in for your measurements.
"""

from __future__ import annotations

import argparse
from typing import Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from own_source import TEXTS, measure

import neurogloss as ng


class Report(TypedDict, total=False):
    """State of the pipeline. The labelling node reads texts, activations and unit, and writes label."""

    detector: str
    texts: list[str]
    activations: list[list[float]]
    unit: str
    label: dict[str, Any]
    report: str


def measured(state: Report) -> Report:
    """Adds the texts and their activations."""
    detector = state["detector"]
    activations = [measure(detector, text) for text in TEXTS]
    return {"texts": TEXTS, "activations": activations, "unit": f"toy/{detector}/detector/0"}


def label(state: Report) -> Report:
    """Adds the label as text and numbers, which every checkpointer can store."""
    return {"label": ng.label_rows([state], llm=llm)[0]}


def report(state: Report) -> Report:
    """Adds a line for the reader."""
    label = state["label"]
    score, floor = label["detection_score"], label["detection_floor"]
    return {"report": f"{label['explanation'] or label['reason']} (detection {score:.2f}, floor {floor:.2f})"}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--llm", help="URL of an OpenAI-compatible server, or scripted:FILE (optional)")
llm = parser.parse_args().llm

graph = StateGraph(Report)
graph.add_node("measure", measured)
graph.add_node("label", label)
graph.add_node("report", report)
graph.add_edge(START, "measure")
graph.add_edge("measure", "label")
graph.add_edge("label", "report")
graph.add_edge("report", END)
app = graph.compile(checkpointer=InMemorySaver())

thread = {"configurable": {"thread_id": "colours"}}
for update in app.stream({"detector": "colours"}, thread, stream_mode="updates"):
    for node, values in update.items():
        print(node + (f": {values['label']['state']}" if "label" in values else ""))
print(app.get_state(thread).values["report"])
