"""Searching and browsing give what the ledger has, page by page."""

from __future__ import annotations

import math
import re
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import neurogloss as ng
from neurogloss.ids import UnitId
from neurogloss.records import Label

UNITS = "/api/runs/imported/units"


def pages(api: TestClient, path: str, **query: Any) -> list[Any]:
    """All items of all pages, the total checked on each."""
    items: list[Any] = []
    totals, cursor = set(), ""
    while cursor is not None:
        answer = api.get(path, params={**query, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        totals.add(page["total"])
        cursor = page["next"]
    assert totals in ({None}, {len(items)})
    return items


def natural(text: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


@pytest.fixture(scope="module")
def labels(imported: Path) -> list[Label]:
    return [label for label in ng.open_run(imported).labels() if label.explanation]


def detection(label: Label) -> float:
    return next((score.score.value for score in label.scores), math.nan)


@pytest.mark.parametrize("by", ["hybrid", "dense", "lexical"])
def test_a_search_finds_what_the_library_finds(api: TestClient, imported: Path, by: str) -> None:
    found = pages(api, "/api/search", q="years of dates", run="imported", by=by, k=3)
    wanted = ng.open_run(imported).search("years of dates", len(found), by=by)
    assert [hit["label"]["unit"] for hit in found] == [str(hit.label.unit) for hit in wanted]
    assert [hit["same"] for hit in found] == [hit.same for hit in wanted]
    for hit, same in zip(found, wanted, strict=True):
        assert hit["similarity"] == (None if by == "lexical" else pytest.approx(same.similarity))


def test_a_search_over_all_runs_stands_by_similarity(api: TestClient) -> None:
    found = api.get("/api/search", params={"q": "rivers"}).json()["items"]
    assert {hit["run"] for hit in found} == {"labelled", "imported"}
    assert [hit["similarity"] for hit in found] == sorted((hit["similarity"] for hit in found), reverse=True)
    assert [hit["strip"] is not None for hit in found] == [hit["run"] == "labelled" for hit in found]


def test_a_search_is_filtered_by_field_and_state(api: TestClient) -> None:
    found = api.get(
        "/api/search",
        params={"q": "food", "run": "imported", "where": "layer == 10 and detection > 0.7", "state": "accepted"},
    ).json()["items"]
    assert found
    for hit in found:
        assert ".layers.10." in hit["label"]["unit"] and hit["label"]["state"] == "accepted"
        assert hit["label"]["scores"][0]["score"]["value"] > 0.7


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"q": ""}, 422, "q:"),
        ({"q": "x", "where": "nonsense =="}, 400, "FIELD"),
        ({"q": "x", "run": "other"}, 404, "labelled, imported"),
        ({"q": "x", "by": "lexical"}, 400, "one run"),
        ({"q": "x", "cursor": "-1"}, 400, "cursor"),
        ({"q": "x", "k": 1_000}, 422, "k:"),
        ({"q": "x", "state": "happy"}, 422, "state"),
    ],
)
def test_a_search_that_cannot_be_says_why(api: TestClient, query: dict[str, Any], status: int, said: str) -> None:
    answer = api.get("/api/search", params=query)
    assert answer.status_code == status
    assert said in answer.json()["message"]


def test_units_are_browsed_in_their_own_order(api: TestClient, labels: list[Label]) -> None:
    found = [hit["label"]["unit"] for hit in pages(api, UNITS, limit=7)]
    assert found == sorted(map(lambda label: str(label.unit), labels), key=natural)
    assert found.index("org/subject/model.layers.2.mlp/sae/0") < found.index(
        "org/subject/model.layers.10.mlp/sae/0"
    )


@pytest.mark.parametrize("limit", [4, 500])
def test_units_are_sorted_by_fields_and_undefined_ones_come_last(
    api: TestClient, labels: list[Label], limit: int
) -> None:
    found = pages(api, UNITS, sort="-detection,unit", limit=limit)
    defined = [label for label in labels if not math.isnan(detection(label))]
    wanted = sorted(defined, key=lambda label: (-detection(label), natural(str(label.unit))))
    assert [hit["label"]["unit"] for hit in found[: len(wanted)]] == [str(label.unit) for label in wanted]
    assert all(not hit["label"]["scores"] for hit in found[len(wanted) :])
    assert len(found) == len(labels) > len(wanted)


def test_a_page_begins_where_a_list_is_jumped_to(api: TestClient) -> None:
    whole = pages(api, UNITS, sort="density,unit")
    part = api.get(UNITS, params={"sort": "density,unit", "skip": 11, "limit": 5}).json()
    assert part["items"] == whole[11:16]
    assert part["total"] == len(whole)
    later = api.get(UNITS, params={"sort": "density,unit", "cursor": part["next"], "skip": 2, "limit": 3}).json()
    assert later["items"] == whole[18:21]


def test_units_are_filtered(api: TestClient, labels: list[Label]) -> None:
    found = pages(api, UNITS, where="layer == 2 and density >= 0.03", state=["rejected", "explained"], limit=3)
    assert 0 < len(found) < len(labels)
    wanted = [
        hit
        for hit in pages(api, UNITS)
        if ".layers.2." in hit["label"]["unit"]
        and hit["density"] >= 0.03
        and hit["label"]["state"] in ("rejected", "explained")
    ]
    # How many say the same is counted among those that pass.
    assert [hit["label"] for hit in found] == [hit["label"] for hit in wanted]


def test_labels_that_say_the_same_are_counted(api: TestClient) -> None:
    assert {hit["same"] for hit in pages(api, UNITS)} == {6}


@pytest.mark.parametrize(
    "said",
    [
        "nothing",
        '["density",0,[0.5]]',
        '["unit",0,[]]',
        '["unit",-1,["x"]]',
        '["unit",99999999999999999999,["x"]]',
        f'["unit",0,[{10**400}]]',
        '["unit",0,7]',
        "[" * 5_000,
    ],
)
def test_a_foreign_cursor_is_refused(api: TestClient, said: str) -> None:
    cursor = urlsafe_b64encode(said.encode()).decode().rstrip("=")[:5_000]
    answer = api.get(UNITS, params={"cursor": cursor})
    assert answer.status_code == 400
    assert "cursor" in answer.json()["message"]


def test_an_unknown_field_is_named_beside_the_known(api: TestClient) -> None:
    message = api.get(UNITS, params={"sort": "fame"}).json()["message"]
    assert "'fame'" in message and "detection" in message


def test_failures_are_listed_with_their_reasons(api: TestClient) -> None:
    found = pages(api, "/api/runs/imported/failed", limit=2)
    assert [(label["state"], label["reason"], label["explanation"]) for label in found] == [
        ("refusal", "would not", None)
    ] * 3
    assert [UnitId.parse(label["unit"]) for label in found] == sorted(
        (UnitId.parse(label["unit"]) for label in found), key=lambda unit: (unit.hookpoint, unit.index, -unit.sign)
    )
    assert pages(api, "/api/runs/imported/failed", state="dead") == []
