"""A source of one's own: label what another pipeline has measured, without a model and without a run folder.

    python examples/own_source.py
    python examples/own_source.py --llm http://127.0.0.1:8000

Here a toy detector of colours stands in for the pipeline: one activation for each word of each text.
"""

from __future__ import annotations

import argparse

import neurogloss as ng

DETECTORS = {
    "colours": {"red": 3.0, "green": 2.5, "blue": 2.0, "yellow": 1.5},
    "sizes": {"large": 3.0, "small": 2.5, "tiny": 2.0, "huge": 1.5},
}
THINGS = ("coat", "boat", "door", "kite", "lamp", "bag")
TEXTS = [
    f"She bought a {word} {thing} in town." for words in DETECTORS.values() for word in words for thing in THINGS
]


def measure(detector: str, text: str) -> list[float]:
    """The detector's activation on each word."""
    return [DETECTORS[detector].get(word, 0.0) for word in text.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llm", help="URL of an OpenAI-compatible server, or scripted:FILE; none is needed")
    llm = parser.parse_args().llm

    label = ng.label_contexts(
        TEXTS, [measure("colours", text) for text in TEXTS], unit="toy/colours/detector/0", llm=llm
    )

    print(f"{label.unit} is {label.state}")
    print(f"explanation: {label.explanation.text if label.explanation else label.reason}")
    for score in label.scores:
        print(f"{score.scorer}: {score.score.value:.2f}, floor {score.floor.value:.2f}")


if __name__ == "__main__":
    main()
