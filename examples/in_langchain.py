"""Label units in a step of a LangChain chain.

    python examples/in_langchain.py
    python examples/in_langchain.py --llm http://127.0.0.1:8000

The toy detectors of own_source.py stand in for your measurements.
"""

from __future__ import annotations

import argparse
from typing import Any

from langchain_core.runnables import RunnableLambda
from own_source import DETECTORS, TEXTS, measure

import neurogloss as ng


def measured(detector: str) -> dict[str, Any]:
    """Returns the input of the labelling step."""
    activations = [measure(detector, text) for text in TEXTS]
    return {"texts": TEXTS, "activations": activations, "unit": f"toy/{detector}/detector/0"}


def told(label: ng.Label) -> str:
    """Formats a label as a line."""
    scores = ", ".join(f"{s.scorer} {s.score.value:.2f}, floor {s.floor.value:.2f}" for s in label.scores)
    words = label.explanation.text if label.explanation else label.reason
    return f"{label.unit}: {words} ({label.state}; {scores})"


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--llm", help="URL of an OpenAI-compatible server, or scripted:FILE (optional)")
llm = parser.parse_args().llm

label = RunnableLambda(
    lambda unit: ng.label_contexts(**unit, llm=llm), afunc=lambda unit: ng.label_contexts_async(**unit, llm=llm)
)
chain = RunnableLambda(measured) | label | RunnableLambda(told)

for line in chain.batch(list(DETECTORS), {"max_concurrency": 2}):
    print(line)
