"""The scorers by name: those of the package, those that installed packages offer, and classes by their place.

A package offers scorers in the entry-point group `neurogloss.scorers`; its own name for one is `module:Class` as
well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from inspect import signature
from typing import Any

from neurogloss import own
from neurogloss.errors import UserError
from neurogloss.protocols import DirectScorer, QuestionScorer, Scorer
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.discrimination import Discrimination
from neurogloss.scorers.embedding import Embedding
from neurogloss.scorers.fuzzing import Fuzzing
from neurogloss.scorers.intervention import Intervention
from neurogloss.scorers.intervention_likelihood import InterventionLikelihood
from neurogloss.scorers.intruder import Intruder
from neurogloss.scorers.output import Output
from neurogloss.scorers.rated import Faithfulness, Responsiveness
from neurogloss.scorers.simulation import Simulation, WrittenSimulation
from neurogloss.scorers.surprisal import Surprisal
from neurogloss.scorers.voxels import VoxelPrediction
from neurogloss.scorers.voxels_written import VoxelWriting
from neurogloss.scorers.written import Clarity, Sensitivity

GROUP = "neurogloss.scorers"

Factory = Callable[[int], Scorer]
"""From the number of questions to a scorer."""

FACTORIES: Mapping[str, Factory] = {
    "detection": lambda n: Detection(n),
    "detection-hard": lambda n: Detection(n, hard=0.5),
    "discrimination": lambda n: Discrimination(n),
    "discrimination-lexical": lambda n: Discrimination(n, "lexical"),
    "discrimination-look_alikes": lambda n: Discrimination(n, "look_alikes"),
    "fuzzing": lambda n: Fuzzing(n),
    "fuzzing-active": lambda n: Fuzzing(n, "active"),
    "intervention": lambda n: Intervention(),
    "intervention-nats": lambda n: InterventionLikelihood(),
    "output": lambda n: Output(),
    "simulation": lambda n: Simulation(min(n, 20)),
    "simulation-written": lambda n: WrittenSimulation(min(n, 20)),
    "surprisal": lambda n: Surprisal(n),
    "embedding": lambda n: Embedding(n),
    "intruder": lambda n: Intruder(min(n, 20)),
    "clarity": lambda n: Clarity(),
    "clarity-silent": lambda n: Clarity(against="silent"),
    "sensitivity": lambda n: Sensitivity(),
    "responsiveness": lambda n: Responsiveness(n),
    "faithfulness": lambda n: Faithfulness(),
    "voxel-prediction": lambda n: VoxelPrediction(),
    "voxel-writing": lambda n: VoxelWriting(),
}
"""Those that make or write texts, or ask for a number a token, ask fewer questions than there are for a judge."""


def names() -> tuple[str, ...]:
    """Of the package's scorers, and of those that installed packages offer."""
    return (*FACTORIES, *sorted(set(entry_points(group=GROUP).names) - set(FACTORIES)))


def get(names: Sequence[str], n_questions: int) -> list[Scorer]:
    """The named scorers, in that order.

    Raises:
        UserError: an unknown name, with those that are known, or a class that cannot be had or is no scorer.
    """
    return [_get(name, n_questions) for name in names]


def _get(name: str, n_questions: int) -> Scorer:
    if name in FACTORIES:
        return FACTORIES[name](n_questions)
    if ":" in name:
        return _make(name, own.load(name, "a scorer"), n_questions)
    for offered in entry_points(group=GROUP, name=name):
        return _make(name, own.load(offered.value, "a scorer"), n_questions)
    raise UserError(f"Expected scorers among {', '.join(names())}, or module:Class; found {name}.")


def _make(name: str, kind: Any, n_questions: int) -> Scorer:
    """An object of the class, told the number of questions where it takes one."""
    try:
        takes = "n_questions" in signature(kind).parameters
        scorer = kind(n_questions=n_questions) if takes else kind()
    except (TypeError, ValueError) as error:
        raise UserError(f"Expected {name} to be made without arguments, or of n_questions: {error}.") from error
    if not isinstance(scorer, (QuestionScorer, DirectScorer)):
        raise UserError(
            f"Expected {name} to have name, needs_subject, task and questions, or name, needs_subject, "
            "needs, metric, chance and answered. See docs/design/scorers.md."
        )
    return scorer
