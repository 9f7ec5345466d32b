"""Joins the Ray cluster that `--engine` names, for as long as a command runs.

Ray places the tasks. A task takes one CPU, and one GPU if it computes on one and the cluster has any.
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
"""The engine that is this process."""


@dataclass(frozen=True)
class Cluster:
    """A joined cluster."""

    ray: Any
    """The module, connected."""
    home: Path
    """Working directory of the workers, so that relative paths mean the same."""

    def slots(self, on_gpu: bool) -> int:
        """How many tasks run at a time."""
        found = self.ray.cluster_resources()
        return max(1, int(found.get("GPU", 0) if on_gpu and found.get("GPU") else found.get("CPU", 1)))

    def resources(self, on_gpu: bool) -> dict[str, int]:
        """Resources of a task, as options of `ray.remote`."""
        gpu = on_gpu and bool(self.ray.cluster_resources().get("GPU"))
        return {"num_cpus": 1, "num_gpus": 1} if gpu else {"num_cpus": 1}


def address_of(engine: str) -> str | None:
    """The address in `ray`, `ray:ADDRESS` or `ray://HOST:PORT`. None lets Ray find a cluster or start one.

    Raises:
        UserError: the engine has another form.
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
        UserError: the engine is unknown, or no cluster answers at the address.
    """
    address = address_of(engine)
    # Ray must not send usage statistics.
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
def received_errors(ray: Any) -> Iterator[None]:
    """Raises a worker's UserError without the traceback that Ray wraps around it."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from None
        raise
