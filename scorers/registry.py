"""The scorers by name. A scorer of one's own is registered here, or passed to the agent as an object."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neurogloss.errors import UserError
from neurogloss.protocols import Scorer
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.fuzzing import Fuzzing
from neurogloss.scorers.intervention import Intervention

Factory = Callable[[int], Scorer]
"""From the number of questions to a scorer."""

_FACTORIES: dict[str, Factory] = {}


def register(name: str, factory: Factory) -> None:
    """Make a scorer known by name. Raises ValueError where the name is taken."""
    if name in _FACTORIES:
        raise ValueError(f"a scorer named {name!r} is registered already")
    _FACTORIES[name] = factory


def get(names: Sequence[str], n_questions: int) -> list[Scorer]:
    """The named scorers, in that order. Raises UserError that lists the known names."""
    unknown = [name for name in names if name not in _FACTORIES]
    if unknown:
        raise UserError(f"Expected scorers among {', '.join(_FACTORIES)}; found {', '.join(unknown)}.")
    return [_FACTORIES[name](n_questions) for name in names]


register("detection", lambda n: Detection(n))
register("fuzzing", lambda n: Fuzzing(n))
register("fuzzing-active", lambda n: Fuzzing(n, "active"))
register("intervention", lambda n: Intervention())
