"""Jobs: real processes over a small run, asked for over HTTP."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import neurogloss as ng
from neurogloss.folder import RunFolder
from neurogloss.web import jobs
from neurogloss.web.app import create_app
from neurogloss.web.options import Options

Served = Callable[..., TestClient]
SMALL = {"effort": "low", "scorers": ["detection"], "questions": 4, "min_active": 5}
"""Settings with which a unit is done at once."""


@pytest.fixture
def served(run_copy: Path) -> Iterator[Served]:
    """Serve the run with some options; all is ended with the test."""
    clients: list[TestClient] = []

    def serve(**options: Any) -> TestClient:
        app = create_app([run_copy], Options(**options))
        clients.append(TestClient(app, base_url="http://127.0.0.1"))
        return clients[-1].__enter__()

    yield serve
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def slow(tmp_path: Path) -> str:
    """A model that does not answer for ten minutes."""
    script = tmp_path / "slow.jsonl"
    script.write_text(
        json.dumps({"match": "", "reply": {"explanation": "never"}, "delay_s": 600}), encoding="utf-8"
    )
    return f"scripted:{script}"


def begin(client: TestClient, **settings: Any) -> dict[str, Any]:
    answered = client.post("/api/runs/copy/label", json={"units": "7", **SMALL, **settings})
    assert answered.status_code == 202, answered.text
    return dict(answered.json())


def until(client: TestClient, job: dict[str, Any], reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The job once it is so; it is given a minute."""
    for _ in range(600):
        now = client.get(f"/api/jobs/{job['id']}").json()
        if reached(now):
            return dict(now)
        time.sleep(0.1)
    raise AssertionError(f"still {now}")


def ended(job: dict[str, Any]) -> bool:
    return job["state"] in jobs.ENDED


def events(client: TestClient, job: dict[str, Any]) -> list[dict[str, Any]]:
    """What the stream says until it ends."""
    streamed = client.get(f"/api/jobs/{job['id']}/events")
    assert streamed.headers["content-type"].startswith("text/event-stream")
    blocks = [block.splitlines() for block in streamed.text.split("\n\n") if block and not block.startswith(":")]
    assert all(name == "event: job" for name, _ in blocks)
    return [json.loads(data.removeprefix("data: ")) for _, data in blocks]


def test_a_job_labels_with_the_models_of_the_service(served: Served, run_copy: Path, labelled: Path) -> None:
    client = served(llm=f"scripted:{labelled.parent / 'script.jsonl'}")
    job = begin(client)
    assert (job["kind"], job["run"], job["state"]) == ("label", "copy", "waiting")
    assert job["request"] == {"units": "7", **SMALL}
    said = events(client, job)
    states = [each["state"] for each in said]
    assert states == sorted(states, key=["waiting", "running", "done"].index) and states[-1] == "done"
    assert {"explaining", "scoring"} & {each["message"] for each in said}
    assert said[-1] == client.get(f"/api/jobs/{job['id']}").json() == client.get("/api/jobs").json()[0]

    result = client.get(f"/api/jobs/{job['id']}/result").json()
    labels = {str(label.unit): label for label in ng.open_run(run_copy).labels(method=result["method"])}
    assert len(labels) == 2 and all(unit.endswith("/neurons/7") for unit in labels)
    assert sum(result["states"].values()) == 2 and result["usage"]["requests"] > 0
    assert said[-1]["message"] == ", ".join(f"{n} {state}" for state, n in result["states"].items())
    # A request that follows an ended job gets its end alone.
    assert events(client, job) == said[-1:]

    more = {"units": "7", "scorers": ["fuzzing"], "questions": 4, "method": result["method"]}
    scored = client.post("/api/runs/copy/score", json=more).json()
    assert scored["kind"] == "score" and scored["request"] == more
    assert until(client, scored, ended)["state"] == "done"
    assert client.get(f"/api/jobs/{scored['id']}/result").json()["method"] == result["method"]
    for label in ng.open_run(run_copy).labels(method=result["method"]):
        assert {score.scorer for score in label.scores} == (
            {"detection", "fuzzing"} if label.explanation else set()
        )


def test_jobs_that_write_to_a_run_stand_in_line_and_are_cancelled(
    served: Served, slow: str, run_copy: Path
) -> None:
    client = served(llm=slow, max_jobs=2)
    first, second = begin(client), begin(client, seed=1)
    running = until(client, first, lambda job: job["message"] == "explaining")
    assert (running["done"], running["total"], running["state"]) == (0, 2, "running")
    assert client.get(f"/api/jobs/{second['id']}").json()["state"] == "waiting"
    early = client.get(f"/api/jobs/{first['id']}/result")
    assert (early.status_code, early.json()["error"]) == (409, "no_result")
    third = client.post("/api/runs/copy/score", json={"units": "7"})
    assert (third.status_code, third.json()["error"]) == (429, "too_many_jobs")
    assert int(third.headers["retry-after"]) > 0

    with pytest.raises(ng.UserError), RunFolder(run_copy).writing():
        pass
    assert client.delete(f"/api/jobs/{second['id']}").json()["state"] == "cancelled"
    cancelled = client.delete(f"/api/jobs/{first['id']}").json()
    assert cancelled["state"] == "cancelled" and cancelled["finished"] and "kept" in cancelled["message"]
    # What has ended stays as it is, and the run is free.
    assert client.delete(f"/api/jobs/{first['id']}").json() == cancelled
    with RunFolder(run_copy).writing():
        busy = until(client, begin(client), ended)
    assert busy["state"] == "failed"
    assert busy["message"].startswith("Another process is writing to ")
    assert [job["id"] for job in client.get("/api/jobs").json()][1:] == [second["id"], first["id"]]


def test_a_job_that_is_killed_has_failed_and_the_end_of_the_service_ends_jobs(slow: str, run_copy: Path) -> None:
    app = create_app([run_copy], Options(llm=slow))
    service: jobs.Jobs = app.state.service.jobs
    with TestClient(app, base_url="http://127.0.0.1") as client:
        killed = begin(client)
        until(client, killed, lambda job: job["message"] == "explaining")
        os.kill(service._entries[killed["id"]].process.pid, signal.SIGKILL)  # type: ignore[union-attr]
        failed = until(client, killed, ended)
        assert (failed["state"], failed["message"]) == ("failed", "The job's process ended with status -9.")
        last, waiting = begin(client), begin(client)
        until(client, last, lambda job: job["message"] == "explaining")
        process = service._entries[last["id"]].process
    assert process is not None and process.returncode == 130
    assert [service.get(job["id"]).state for job in (last, waiting)] == ["cancelled", "cancelled"]
    assert not service.result_path(last["id"]).parent.exists()
    with RunFolder(run_copy).writing():
        pass


def test_a_comparison_is_as_the_library_makes_it(served: Served, run_copy: Path) -> None:
    client = served()
    hookpoint = "model.layers.0.mlp.down_proj.input"
    sides = {"a": {"run": "copy"}, "b": {"run": "copy", "hookpoint": hookpoint}}
    answered = client.post("/api/compare", json={**sides, "by": ["coactivation"], "k": 2})
    assert answered.status_code == 202
    done = until(client, answered.json(), ended)
    assert (done["kind"], done["run"], done["state"]) == ("compare", "copy, copy", "done"), done
    found = client.get(f"/api/jobs/{done['id']}/result").json()
    judge = ng.similar(run_copy, run_copy, place_b=(hookpoint, None), by=["coactivation"], k=2)
    assert found["units"] == list(judge.units) and found["matched"] == list(judge.matched)
    best = max(judge.pairs, key=lambda pair: pair.similarity)
    assert found["pairs"][0]["similarity"] == pytest.approx(best.similarity)
    assert len(found["pairs"]) == min(len(judge.pairs), 5_000)
    assert found["levels"][0]["floor"] == pytest.approx(judge.levels[0].floor)
    assert (len(found["heat"]["rows"]), len(found["heat"]["columns"])) == (2, 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs/copy/label", {"units": "7", "llm": "http://evil.example"}),
        ("runs/copy/label", {"units": "7", "embedder": "/etc"}),
        ("runs/copy/label", {"units": "7", "explainer": "os:system"}),
        ("runs/copy/label", {"units": "7", "scorers": ["a.b:C"]}),
        ("runs/copy/label", {"units": "7", "scorers": []}),
        ("runs/copy/label", {"units": "7", "questions": 1_000_000}),
        ("runs/copy/label", {"units": "7" * 100_001}),
        ("runs/copy/label", {}),
        ("runs/copy/score", {"units": "7", "model": "other"}),
        ("compare", {"a": {"run": "copy"}, "b": {"run": "copy", "path": "/"}}),
        ("compare", {"a": {"run": "copy"}, "b": {"run": "copy"}, "by": ["guess"]}),
    ],
)
def test_a_request_chooses_no_models_and_no_code(served: Served, path: str, body: dict[str, Any]) -> None:
    client = served()
    answered = client.post(f"/api/{path}", json=body)
    assert (answered.status_code, answered.json()["error"]) == (422, "invalid")
    assert client.get("/api/jobs").json() == []


def test_what_is_not_served_is_not_found(served: Served) -> None:
    client = served()
    sides = {"a": {"run": "../copy"}, "b": {"run": "copy"}}
    asked = [
        client.post("/api/runs/other/label", json={"units": "7"}),
        client.post("/api/compare", json=sides),
        client.get("/api/jobs/none"),
        client.get("/api/jobs/none/events"),
        client.get("/api/jobs/none/result"),
        client.delete("/api/jobs/none"),
    ]
    assert [(answered.status_code, answered.json()["error"]) for answered in asked] == [(404, "not_found")] * 6


def test_a_mistake_is_said_as_the_command_line_says_it(served: Served) -> None:
    client = served()
    failed = until(client, begin(client, units="99999", explainer="pmi"), ended)
    assert failed["state"] == "failed" and "99999" in failed["message"]
    result = client.get(f"/api/jobs/{failed['id']}/result")
    assert result.status_code == 409 and failed["message"] in result.json()["message"]


def test_old_jobs_are_forgotten_with_their_results(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT", 1)
    client = served()
    wrong = {"units": "99999", "explainer": "pmi"}
    first = until(client, begin(client, **wrong), ended)
    second = begin(client, **wrong)
    assert [job["id"] for job in client.get("/api/jobs").json()] == [second["id"]]
    assert client.get(f"/api/jobs/{first['id']}").status_code == 404
