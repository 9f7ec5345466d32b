"""Scorers by name: the package's own, those of installed packages, and `module:Class`.

A package offers scorers in the entry-point group `neurogloss.scorers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from inspect import signature

from neurogloss.errors import UserError
from neurogloss.protocols import DirectScorer, QuestionScorer, Scorer
from neurogloss.registry import Registry
from neurogloss.scorers.choosing import Intruder, Output
from neurogloss.scorers.detection import Detection, Discrimination, Fuzzing
from neurogloss.scorers.embedding import Embedding, Surprisal
from neurogloss.scorers.intervention import Intervention, InterventionLikelihood
from neurogloss.scorers.rated import Faithfulness, Responsiveness
from neurogloss.scorers.simulation import Simulation, WrittenSimulation
from neurogloss.scorers.voxels import VoxelPrediction, VoxelWriting
from neurogloss.scorers.written import Clarity, Sensitivity

FEW = 20
"""Questions at most for scorers whose questions cost much: they write texts, or rate each token."""

REGISTRY = Registry(
    "a scorer",
    {
        "detection": Detection,
        "detection-hard": partial(Detection, hard=0.5),
        "discrimination": Discrimination,
        "discrimination-lexical": partial(Discrimination, against="lexical"),
        "discrimination-look_alikes": partial(Discrimination, against="look_alikes"),
        "fuzzing": Fuzzing,
        "fuzzing-active": partial(Fuzzing, negatives="active"),
        "intervention": Intervention,
        "intervention-nats": InterventionLikelihood,
        "output": Output,
        "simulation": lambda n_questions: Simulation(min(n_questions, FEW)),
        "simulation-written": lambda n_questions: WrittenSimulation(min(n_questions, FEW)),
        "surprisal": Surprisal,
        "embedding": Embedding,
        "intruder": lambda n_questions: Intruder(min(n_questions, FEW)),
        "clarity": Clarity,
        "clarity-silent": partial(Clarity, against="silent"),
        "sensitivity": Sensitivity,
        "responsiveness": Responsiveness,
        "faithfulness": Faithfulness,
        "voxel-prediction": lambda: VoxelPrediction(),
        "voxel-writing": VoxelWriting,
    },
    group="neurogloss.scorers",
)
names = REGISTRY.names


def get(names: Sequence[str], n_questions: int) -> list[Scorer]:
    """The named scorers, in that order.

    Raises:
        UserError: a name is unknown, or its class cannot be imported or is not a scorer.
    """
    return [_make(name, n_questions) for name in names]


def _make(name: str, n_questions: int) -> Scorer:
    """Make a scorer; its class is told the number of questions if it takes one."""
    kind = REGISTRY.find(name)
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
