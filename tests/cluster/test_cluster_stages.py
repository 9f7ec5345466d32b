"""Workers of a cluster as units see them: who is asked, and what follows a loss. No cluster is started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neurogloss.accounts import Usage, Work
from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import Label, State
from neurogloss.runs.cluster.connection import Cluster
from neurogloss.runs.cluster.labelling import LOSSES, ClusterStages, Job
from neurogloss.runs.stages import Result
from neurogloss.settings import LabelSettings

SLOTS, EACH = 2, 8


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class Lost(RayError):
    pass


class Method:
    """A method of an actor."""

    def __init__(self, work: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self.remote = work


class Actor:
    def __init__(self, ray: Ray) -> None:
        self.open, self.explain, self.dead = Method(self._open), Method(self._explain), False
        self._ray = ray
        ray.actors.append(self)

    async def _open(self) -> None:
        await asyncio.sleep(0)
        if self._ray.refuses:
            raise RayTaskError(self._ray.refuses)

    async def _explain(self, unit: UnitId) -> Result:
        await asyncio.sleep(0)
        if unit.index in self._ray.deadly:
            self._ray.deadly[unit.index] -= 1
            self.dead = self._ray.deadly[unit.index] >= 0
        if self.dead:
            raise Lost
        return Result(Label(unit, "method", State.EMPTY), Work("explain", Usage()))


class Ray:
    """As much of Ray as stages use: actors that die of some units, so many times each."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayTaskError=RayTaskError,
        RayActorError=Lost,
        NodeDiedError=Lost,
        ObjectLostError=Lost,
        OutOfMemoryError=Lost,
    )

    def __init__(self, deadly: dict[int, int] | None = None, refuses: Exception | None = None) -> None:
        self.deadly, self.refuses = deadly or {}, refuses
        self.actors: list[Actor] = []

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(SLOTS)}

    def remote(self, **options: Any) -> Callable[[type], Any]:
        return lambda kind: SimpleNamespace(remote=lambda job: Actor(self))

    def kill(self, actor: Actor) -> None:
        actor.dead = True


def explained(ray: Ray, n: int) -> list[int]:
    settings = LabelSettings(llm="http://server", concurrency=EACH)

    async def run() -> list[Result]:
        job = Job(Path(), Path(), settings, (), True, "b2:method")
        stages = ClusterStages(Cluster(ray, Path()), job, on_gpu=False)
        assert stages.in_flight == SLOTS * EACH
        try:
            units = (UnitId("model", "layer", "sae", i) for i in range(n))
            return await asyncio.gather(*map(stages.explain, units))
        finally:
            stages.close()

    return [result.label.unit.index for result in asyncio.run(run())]


def test_every_unit_is_asked_of_some_worker() -> None:
    ray = Ray()
    assert explained(ray, 40) == list(range(40))
    assert len(ray.actors) == SLOTS and all(actor.dead for actor in ray.actors), "ended at the end"


def test_units_of_a_lost_worker_go_to_others() -> None:
    """A lost worker's room is not offered: it would count as further losses."""
    ray = Ray(deadly={3: LOSSES - 1})
    assert explained(ray, 40) == list(range(40))
    assert len(ray.actors) == SLOTS + LOSSES - 1


def test_a_unit_that_no_worker_survives_is_named() -> None:
    with pytest.raises(UserError, match=r"lost at model/layer/sae/3\b"):
        explained(Ray(deadly={3: 10**6}), 4)


def test_a_worker_that_refuses_the_method_says_why() -> None:
    with pytest.raises(UserError, match="one method on every host"):
        explained(Ray(refuses=UserError("Expected one method on every host")), 4)
