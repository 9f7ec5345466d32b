"""Your own scorer: detection on a unit's strongest contexts only, next to the built-in detection.

    python examples/own_scorer.py              in the demo's run, runs/demo
    python examples/own_scorer.py RUN --units 0-9

A scorer is a frozen dataclass that makes questions with known answers. neurogloss asks the judge, computes the
floor and the interval, and stores them. The public modules that it imports are stable.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

import neurogloss as ng
from neurogloss.ids import derive_seed
from neurogloss.protocols import HeldOut
from neurogloss.records import Passage, Question


@dataclass(frozen=True)
class StrongestTenth:
    """Can the strongest contexts be told from silent ones? Easier than detection over the whole range."""

    share: float = 0.1
    name: str = "strongest-tenth"
    task: str = "detection"  # the judge is asked what detection asks
    needs_subject: bool = False

    def questions(self, held_out: HeldOut) -> list[Question]:
        """As many silent contexts as strong ones, in an order that says nothing of the answer."""
        half = held_out.half
        n = min(max(2, round(self.share * len(half.uniform))), len(half.negatives))
        strong = [Passage(example.context.tokens) for example in half.uniform[:n]]  # by descending peak
        silent = [Passage(context.tokens) for context in half.negatives[:n]]
        questions = [Question((p,), True, "strong") for p in strong]
        questions += [Question((p,), False, "silent") for p in silent]
        order = np.random.default_rng(derive_seed(held_out.seed, self.name)).permutation(len(questions))
        return [questions[i] for i in order]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="runs/demo", help="a collected run")
    parser.add_argument("--units", default="sample:3")
    parser.add_argument("--llm", help="URL of an OpenAI-compatible server, or scripted:FILE; none is needed")
    options = parser.parse_args()

    summary = ng.label(
        options.run,
        units=options.units,
        llm=options.llm,
        scorers=("detection",),
        own_scorers=[StrongestTenth()],
    )
    for label in ng.open_run(options.run).labels(method=summary.method):
        scores = ", ".join(f"{s.scorer} {s.score.value:.2f} (floor {s.floor.value:.2f})" for s in label.scores)
        print(f"{label.unit}  {label.explanation.text if label.explanation else label.reason}:  {scores}")


if __name__ == "__main__":
    main()
