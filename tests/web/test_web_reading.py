"""A unit's page is what the run holds, whatever becomes of the files meanwhile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from time import sleep
from typing import Any

import pytest
from fastapi.testclient import TestClient

import neurogloss as ng
from neurogloss.engines.embedder import MiniLM
from neurogloss.records import Context, Label
from neurogloss.sources.cache import Cache
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.web.readers import Reader
from neurogloss.web.routes.images import media_type

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
Serve = Callable[..., TestClient]


@pytest.fixture(scope="module")
def label(labelled: Path) -> Label:
    """One with an explanation and scores."""
    return next(label for label in ng.open_run(labelled).labels() if label.scores)


def test_a_run_says_what_it_holds(api: TestClient, labelled: Path) -> None:
    run = api.get("/api/runs/labelled").json()
    opened = ng.open_run(labelled)
    [(method, states)] = opened.status().items()
    assert (
        run["measure"] == "tokens" and run["complete"] and run["counts"] == dict(opened.cache.manifest["counts"])
    )
    assert [(site["hookpoint"], site["units"], site["layer"]) for site in run["sites"]] == [
        (site.hookpoint, site.sides, layer) for layer, site in enumerate(opened.cache.sites)
    ]
    assert [(each["id"], each["states"]) for each in run["methods"]] == [(method, dict(states))]
    assert run["methods"][0]["usage"]["explain"]["requests"] == opened.usage(method)["explain"].requests
    assert run["fields"]["detection"] == "number" and run["fields"]["unit"] == "text"
    assert api.get("/api/runs").json()[0] == run


def test_a_run_that_was_imported_says_so(api: TestClient) -> None:
    run = api.get("/api/runs/imported").json()
    assert (run["subject"], run["measure"], run["complete"]) == ("org/subject", None, False)
    assert sum(site["units"] for site in run["sites"]) == 33
    assert run["methods"][0]["explainer"] == "default"


def test_a_unit_is_what_the_library_says(api: TestClient, labelled: Path, label: Label) -> None:
    run = ng.open_run(labelled)
    unit = api.get("/api/runs/labelled/unit", params={"unit": str(label.unit)}).json()
    seen = run.evidence(label.unit)
    assert unit["labels"][0]["explanation"]["text"] == label.explanation.text  # type: ignore[union-attr]
    assert [score["score"]["value"] for score in unit["labels"][0]["scores"]] == [
        score.score.value if score.score.defined else None for score in label.scores
    ]
    assert [each["text"] for each in unit["candidates"]] == [each.text for each in run.candidates(label)]
    assert unit["statistics"]["n_active"] == seen.statistics.n_active
    assert unit["statistics"]["n_contexts"] == seen.statistics.n_contexts
    assert len(unit["edges"]) == len(unit["statistics"]["histogram"]) + 1
    assert unit["activity"] == seen.activity.value


def test_a_unit_is_found_by_its_end_and_one_without_label_by_its_id(api: TestClient, label: Label) -> None:
    def ask(unit: str) -> int:
        return api.get("/api/runs/labelled/unit", params={"unit": unit}).status_code

    end = "/".join(str(label.unit).rsplit("/", 3)[1:])
    assert api.get("/api/runs/labelled/unit", params={"unit": end}).json()["unit"] == str(label.unit)
    place = str(label.unit).rpartition("/")[0]
    assert ask(f"{place}/0") == ask(f"{place}/0-") == 200
    assert ask(f"{place}/99999") == ask("other/place/neurons/1") == ask("nowhere") == 404


@pytest.mark.parametrize("half", ["explain", "score"])
def test_contexts_are_the_evidence(api: TestClient, labelled: Path, label: Label, half: str) -> None:
    query: dict[str, Any] = {"unit": str(label.unit), "half": half, "limit": 5}
    found = api.get("/api/runs/labelled/contexts", params=query).json()
    seen = getattr(ng.open_run(labelled).evidence(label.unit), half)
    assert [each["activations"] for each in found["top"]] == [list(each.activations) for each in seen.top[:5]]
    assert [each["tokens"] for each in found["top"]] == [list(each.context.tokens) for each in seen.top[:5]]
    assert [each["context"] for each in found["negatives"]] == [each.id for each in seen.negatives[:5]]
    peaks = [each["peak"] for each in found["uniform"]]
    # Evenly spaced places of the sample: from its largest peak to its smallest.
    assert (peaks[0], peaks[-1], len(peaks)) == (seen.uniform[0].peak, seen.uniform[-1].peak, 5)


def test_neighbours_by_meaning_and_by_coactivation(api: TestClient, labelled: Path, label: Label) -> None:
    run = ng.open_run(labelled)

    def ask(by: str) -> list[dict[str, object]]:
        query: dict[str, Any] = {"unit": str(label.unit), "by": by, "k": 3}
        found: list[dict[str, object]] = api.get("/api/runs/labelled/neighbours", params=query).json()
        return found

    assert [(each["unit"], each["value"]) for each in ask("coactivation")] == [
        (str(each.unit), each.jaccard) for each in run.coactive(label.unit, 3)
    ]
    near = ask("meaning")
    assert [each["unit"] for each in near] == [str(hit.label.unit) for hit in run.search(label.unit, 3)]
    assert all(each["text"] and each["error"] is None for each in near)


def test_neurons_have_no_neighbours_by_direction(api: TestClient, label: Label) -> None:
    answer = api.get("/api/runs/labelled/neighbours", params={"unit": str(label.unit), "by": "decoder"})
    assert answer.status_code == 400 and "axis" in answer.json()["message"]


def test_the_trace_is_that_of_the_library(api: TestClient, labelled: Path, label: Label) -> None:
    assert api.get("/api/runs/labelled/trace", params={"unit": str(label.unit)}).json() == ng.open_run(
        labelled
    ).trace(label)


@pytest.mark.parametrize("wrong", [True, False])
def test_answers_are_of_the_own_explanation(api: TestClient, labelled: Path, label: Label, wrong: bool) -> None:
    assert label.explanation is not None
    asked = [
        each
        for each in ng.open_run(labelled).outcomes(label.explanation, "detection")
        if each.asked == label.explanation.id
    ]
    missed = [
        each
        for each in asked
        if each.answer.probability is None or (each.answer.probability >= 0.5) != each.question.truth
    ]
    found, cursor = [], ""
    while cursor is not None:
        query: dict[str, Any] = {
            "unit": str(label.unit),
            "scorer": "detection",
            "wrong": wrong,
            "limit": 3,
            "cursor": cursor,
        }
        page = api.get("/api/runs/labelled/answers", params=query).json()
        found += page["items"]
        cursor = page["next"]
    wanted = missed if wrong else asked
    assert [each["passages"][0]["tokens"] for each in found] == [
        list(each.question.passages[0].tokens) for each in wanted
    ]
    assert page["total"] == len(wanted) > 0


def test_numbers_are_means_over_units(api: TestClient) -> None:
    found = api.get("/api/runs/imported/numbers").json()
    [detection] = found["scorers"]
    values = [i * 37 % 100 / 100 for i in range(30) if i % 5]
    assert detection["score"]["n"] == len(values) == len(found["points"])
    assert detection["score"]["mean"]["value"] == pytest.approx(sum(values) / len(values))
    assert found["recalls"]["detection"] == [pytest.approx(sum(values) / len(values)), *[None] * 8, 1.0]
    assert api.get("/api/runs/imported/numbers", params={"method": "other"}).status_code == 404


def test_only_images_of_contexts_are_sent(
    api: TestClient, label: Label, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cat.png").write_bytes(PNG)
    (tmp_path / "page.svg").write_text("<svg><script>alert(1)</script></svg>")
    pictures = {1: "cat.png", 2: "page.svg", 3: "gone.png"}

    def context(self: Cache, digest: int) -> Context:
        return Context(f"{digest:016x}", ("a cat",), str(tmp_path / pictures[digest]))

    monkeypatch.setattr(Cache, "context", context)
    sent = api.get(f"/api/runs/labelled/images/{1:016x}")
    assert (sent.content, sent.headers["content-type"]) == (PNG, "image/png")
    assert sent.headers["x-content-type-options"] == "nosniff"
    for other in (2, 3, 4):
        assert api.get(f"/api/runs/labelled/images/{other:016x}").status_code == 404
    for path in ("..%2F..%2Fetc%2Fpasswd", "cat.png"):
        assert api.get(f"/api/runs/labelled/images/{path}").status_code in (404, 422)


def test_kinds_of_images_are_told_by_their_bytes() -> None:
    assert media_type(b"RIFF\0\0\0\0WEBPVP8 ") == "image/webp"
    assert media_type(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert media_type(b"GIF89a") == "image/gif"
    assert media_type(b"<html>") is media_type(b"") is None


# --- what happens on disk meanwhile ---------------------------------------------------------------


def test_what_has_not_changed_is_not_sent_again(run_copy: Path, serve: Serve, label: Label) -> None:
    with serve(run_copy) as api:
        first = api.get("/api/runs/copy")
        etag = first.headers["etag"]
        assert etag.startswith('W/"') and first.headers["cache-control"] == "no-cache"
        again = api.get("/api/runs/copy", headers={"If-None-Match": f'"other", {etag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert api.get("/api/runs/copy", params={"x": 1}, headers={"If-None-Match": etag}).status_code == 200
        with Ledger(run_copy / "ledger.sqlite") as ledger:
            ledger.record_failure(label.unit, label.method, ng.State.REFUSAL, "would not")
        changed = api.get("/api/runs/copy", headers={"If-None-Match": etag})
        assert changed.status_code == 200
        assert changed.json()["methods"][0]["states"]["refusal"] == 1


def test_an_index_that_is_made_anew_is_noticed(run_copy: Path, serve: Serve, minilm: MiniLM, label: Label) -> None:
    with serve(run_copy) as api:
        before = api.get("/api/search", params={"q": "word"}).json()["items"]
        with Ledger(run_copy / "ledger.sqlite") as ledger:
            ledger.record_explained(ng.Explanation(label.unit, "rivers of gold", label.method), [])
            with Index(run_copy / "index", minilm) as index:
                index.rebuild(ledger)
        found = api.get("/api/search", params={"q": "rivers of gold"}).json()["items"]
        assert found[0]["label"]["explanation"]["text"] == "rivers of gold"
        assert len(found) == len(before)


def test_a_run_that_is_replaced_is_noticed(
    run_copy: Path, serve: Serve, make_imported: Callable[[Path], None]
) -> None:
    with serve(run_copy) as api:
        assert api.get("/api/runs/copy").json()["measure"] == "tokens"
        shutil.rmtree(run_copy)
        make_imported(run_copy)
        assert api.get("/api/runs/copy").json()["subject"] == "org/subject"
        assert api.get("/api/runs/copy/units").json()["total"] == 30


def test_a_run_that_is_only_collected_is_served(run_copy: Path, serve: Serve, label: Label) -> None:
    for path in run_copy.glob("ledger.sqlite*"):
        path.unlink()
    with serve(run_copy) as api:
        run = api.get("/api/runs/copy").json()
        assert (run["complete"], run["methods"], run["fields"]) == (True, [], {})
        assert api.get("/api/runs/copy/units").json() == {"items": [], "total": 0, "next": None}
        assert api.get("/api/search", params={"q": "x"}).json()["items"] == []
        unit = api.get("/api/runs/copy/unit", params={"unit": str(label.unit)}).json()
        assert unit["labels"] == [] and unit["statistics"]["n_active"] > 0


def test_a_run_that_is_still_collected_is_served(run_copy: Path, serve: Serve, label: Label) -> None:
    manifest = run_copy / "cache" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "complete": False}))
    with serve(run_copy) as api:
        assert not api.get("/api/runs/copy").json()["complete"]
        assert api.get("/api/runs/copy/unit", params={"unit": str(label.unit)}).json()["activity"] is None
        assert api.get("/api/runs/copy/contexts", params={"unit": str(label.unit)}).json()["top"] == []


def test_a_run_without_an_index_is_browsed_by_its_ledger(run_copy: Path, serve: Serve) -> None:
    shutil.rmtree(run_copy / "index")
    with serve(run_copy) as api:
        units = [str(label.unit) for label in ng.open_run(run_copy).labels() if label.explanation]
        found = api.get("/api/runs/copy/units", params={"limit": 2}).json()
        later = api.get("/api/runs/copy/units", params={"cursor": found["next"]}).json()
        assert [hit["label"]["unit"] for hit in (*found["items"], *later["items"])] == units
        assert found["total"] == later["total"] == len(units)
        answer = api.get("/api/search", params={"q": "x"})
        assert answer.status_code == 400 and "neurogloss index rebuild" in answer.json()["message"]


def test_two_runs_of_one_name_are_told_apart(labelled: Path, imported: Path, tmp_path: Path, serve: Serve) -> None:
    other = shutil.copytree(imported, tmp_path / "labelled")
    with serve(labelled, other) as api:
        assert [run["name"] for run in api.get("/api/runs").json()] == ["labelled", "labelled-2"]


def test_threads_read_one_run_at_once(api: TestClient) -> None:
    def ask(i: int) -> int:
        path = ("/api/runs/imported/units", "/api/runs/imported", "/api/search?q=food&run=imported")[i % 3]
        return api.get(path).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(48))) == {200}


def test_what_several_threads_want_is_made_once(labelled: Path, minilm: MiniLM) -> None:
    reader, made, several = Reader("run", labelled, minilm), [], Barrier(4)

    def make() -> int:
        made.append(0)
        sleep(0.1)
        return len(made)

    def ask(_: int) -> object:
        several.wait()
        return reader.remember("it", make, "a state")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [1, 1, 1, 1]
    assert reader.remember("it", make, "another") == 2
