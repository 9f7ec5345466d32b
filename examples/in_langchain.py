"""A step of a LangChain chain: what comes before it measures, what comes after it gets the label.

    python examples/in_langchain.py
    python examples/in_langchain.py --llm http://127.0.0.1:8000

The toy detectors of own_source.py stand in for what was measured.
"""

from __future__ import annotations

import argparse
from typing import Any

from langchain_core.runnables import RunnableLambda
from own_source import DETECTORS, TEXTS, measure

import neurogloss as ng


def measured(detector: str) -> dict[str, Any]:
    """What the labelling step takes."""
    activations = [measure(detector, text) for text in TEXTS]
    return {"texts": TEXTS, "activations": activations, "unit": f"toy/{detector}/detector/0"}


def told(label: ng.Label) -> str:
    """A line for the reader."""
    scores = ", ".join(f"{s.scorer} {s.score.value:.2f}, floor {s.floor.value:.2f}" for s in label.scores)
    words = label.explanation.text if label.explanation else label.reason
    return f"{label.unit}: {words} ({label.state}; {scores})"


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--llm", help="URL of an OpenAI-compatible server, or scripted:FILE; none is needed")
llm = parser.parse_args().llm

chain = RunnableLambda(measured) | ng.label_runnable(llm=llm) | RunnableLambda(told)

for line in chain.batch(list(DETECTORS), {"max_concurrency": 2}):
    print(line)
