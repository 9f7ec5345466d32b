"""What `--engine` means, and what is said where it means nothing. No cluster is started."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from neurogloss.errors import MissingExtra, UserError
from neurogloss.runs.cluster.connection import Cluster, address_of, open_cluster


@pytest.mark.parametrize(
    "engine, address",
    [
        ("ray", None),
        ("ray:auto", "auto"),
        ("ray:10.0.0.1:6379", "10.0.0.1:6379"),
        ("ray://10.0.0.1:6379", "10.0.0.1:6379"),
    ],
)
def test_an_engine_names_an_address(engine: str, address: str | None) -> None:
    assert address_of(engine) == address


@pytest.mark.parametrize("engine", ["", "dask", "ray:", "ray://", "rays", "Local", "local"])
def test_other_engines_are_refused(engine: str) -> None:
    with pytest.raises(UserError, match="--engine local, ray or ray:ADDRESS"), open_cluster(engine):
        pass


def test_without_ray_an_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without_ray(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "ray":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(MissingExtra, match=r"neurogloss\[ray\]"), open_cluster("ray"):
        pass


def test_a_gpu_is_taken_where_there_is_one_and_one_computes_on_it(tmp_path: Any) -> None:
    class Ray:
        resources: dict[str, float] = {"CPU": 8.0}

        def cluster_resources(self) -> dict[str, float]:
            return self.resources

    ray = Ray()
    cluster = Cluster(ray, tmp_path)
    assert (cluster.slots(True), cluster.resources(True)) == (8, {"num_cpus": 1})
    ray.resources = {"CPU": 8.0, "GPU": 2.0}
    assert (cluster.slots(True), cluster.resources(True)) == (2, {"num_cpus": 1, "num_gpus": 1})
    assert (cluster.slots(False), cluster.resources(False)) == (8, {"num_cpus": 1})
