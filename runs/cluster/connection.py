"""A Ray cluster: what `--engine` names, joined for as long as a command runs.

Placement and resources are Ray's. A task takes one CPU, and one GPU where it computes on one and the cluster has
any.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError, imported

LOCAL = "local"
"""The engine that is no cluster: this process."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that was joined."""

    ray: Any
    """The module, connected."""
    home: Path
    """Folder that relative paths start from, on every host."""

    def slots(self, on_gpu: bool) -> int:
        """Tasks that run at a time."""
        found = self.ray.cluster_resources()
        return max(1, int(found.get("GPU", 0) if on_gpu and found.get("GPU") else found.get("CPU", 1)))

    def resources(self, on_gpu: bool) -> dict[str, int]:
        """What a task takes, as Ray's options."""
        gpu = on_gpu and bool(self.ray.cluster_resources().get("GPU"))
        return {"num_cpus": 1, "num_gpus": 1} if gpu else {"num_cpus": 1}


def address_of(engine: str) -> str | None:
    """The address in `ray`, `ray:ADDRESS` or `ray://HOST:PORT`; None where Ray finds a cluster or starts one.

    Raises:
        UserError: the engine is another.
    """
    kind, _, address = engine.partition(":")
    if kind != "ray" or (engine != "ray" and not address.strip("/")):
        raise UserError(f"Expected --engine local, ray or ray:ADDRESS, found {engine!r}.")
    return address.removeprefix("//") or None


@contextmanager
def open_cluster(engine: str) -> Iterator[Cluster]:
    """Joins the cluster that `engine` names, and leaves it at the end.

    Raises:
        MissingExtra: Ray is not installed.
        UserError: no such engine, or no cluster answers at the address.
    """
    address = address_of(engine)
    # Nothing of a run is reported to anyone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = imported("ray", "pip install 'neurogloss[ray]'")
    joined = not ray.is_initialized()
    if joined:
        try:
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"Expected a Ray cluster at {address or 'this machine'}, found: {error}. Start one with:  "
                "ray start --head"
            ) from None
    try:
        yield Cluster(ray, Path.cwd())
    finally:
        if joined:
            ray.shutdown()


@contextmanager
def sent_errors() -> Iterator[None]:
    """On a worker: makes a UserError a plain one. Ray cannot send every subclass."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error)) from None


@contextmanager
def received_errors(ray: Any) -> Iterator[None]:
    """Raises a worker's UserError as it was there, without Ray's wrapping."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from None
        raise
