"""Two hosts, made of network namespaces: a cable that is pulled in mid-run costs what was in flight behind it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import neurogloss as ng
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.records import State
from neurogloss.store.ledger import Ledger

HOSTS = {"ng-one": "10.77.0.1", "ng-two": "10.77.0.2"}
PORT = 6390
LABEL: dict[str, Any] = {
    "units": "0-11",
    "scorers": ("detection",),
    "questions": 20,
    "min_active": 5,
    "effort": "low",
    "concurrency": 1,
}


def ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True, capture_output=True)


def on(host: str, *line: str, **more: Any) -> subprocess.Popen[bytes]:
    """A command on that host."""
    plain = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    plain |= {
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "of-this-test",
        # A host that is silent counts as lost after seconds, and its connections as broken: not after minutes.
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_grpc_client_keepalive_time_ms": "3000",
        "RAY_grpc_client_keepalive_timeout_ms": "3000",
    }
    return subprocess.Popen(["ip", "netns", "exec", host, *line], env=plain, **more)


@pytest.fixture
def hosts() -> Iterator[None]:
    """Two namespaces with a cable between them, and a Ray cluster over both. This process is on neither."""
    pytest.importorskip("ray")
    if not shutil.which("ip") or os.geteuid():
        pytest.skip("network namespaces take root and iproute2")
    try:
        ip("netns add ng-one")
    except subprocess.CalledProcessError:
        pytest.skip("no network namespaces here")
    raylets = []
    try:
        ip("netns add ng-two")
        ip("link add cable netns ng-one type veth peer name cable netns ng-two")
        for host, address in HOSTS.items():
            ip(f"-n {host} addr add {address}/24 dev cable")
            ip(f"-n {host} link set cable up")
            ip(f"-n {host} link set lo up")
        for host, address in HOSTS.items():
            where = ["--head", f"--port={PORT}"] if host == "ng-one" else [f"--address={HOSTS['ng-one']}:{PORT}"]
            start = ["ray.scripts.scripts", "start", *where, f"--node-ip-address={address}", "--block"]
            more = ["--num-cpus=1", "--include-dashboard=false"] if host == "ng-one" else ["--num-cpus=1"]
            raylets.append(on(host, sys.executable, "-m", *start, *more, stdout=subprocess.DEVNULL))
            time.sleep(15 if host == "ng-one" else 5)
        yield
    finally:
        for host in HOSTS:
            pids = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True).stdout.split()
            for pid in map(int, pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            ip(f"netns del {host}")
        for raylet in raylets:
            raylet.wait(30)


def scored(run: Path) -> int:
    try:
        with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
            found = ledger.counts()
    except UserError:  # not made yet
        return 0
    return found.get(State.ACCEPTED, 0) + found.get(State.REJECTED, 0)


@pytest.mark.timeout(300)
def test_a_pulled_cable_changes_nothing_in_cache_and_ledger(
    settings: Mapping[str, Any],
    collected: Path,
    tmp_path: Path,
    script: str,
    copy_run: Callable[[], Path],
    files: Callable[[Path], dict[str, bytes]],
    dump: Callable[[Path], str],
    hosts: None,
) -> None:
    alone, run, used = copy_run(), tmp_path / "run", tmp_path / "used"
    ng.label(alone, llm=script, **LABEL)
    source = f"""
import ray, neurogloss as ng
ray.init("{HOSTS["ng-one"]}:{PORT}", log_to_driver=False)
assert ray.cluster_resources()["CPU"] == 2
ng.collect({str(run)!r}, engine="ray", **{dict(settings)!r})
open({str(used)!r}, "w").close()
ng.label({str(run)!r}, llm={script!r}, engine="ray", **{LABEL!r})
"""
    driver = on("ng-one", sys.executable, "-c", source)
    while not scored(run):
        assert driver.poll() is None
        time.sleep(0.05)
        if used.exists():
            assert files(run).items() >= files(collected).items()
            used.unlink()
    ip("-n ng-two link set cable down")
    assert driver.wait() == 0
    assert dump(run) == dump(alone)
