"""Texts tried and prompts continued on a live subject, over HTTP; the subject itself is the judge."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fastapi.testclient import TestClient

import neurogloss as ng
from neurogloss.agent.models import text_settings
from neurogloss.sources.steering import LiveSubject
from neurogloss.sources.subject import Subject
from neurogloss.web import live
from neurogloss.web.app import create_app
from neurogloss.web.options import Options

RUN = "/api/runs/labelled"
TEXT = "The river ran past the old mill."


@pytest.fixture(scope="module")
def client(labelled: Path) -> Iterator[TestClient]:
    with TestClient(create_app([labelled], Options(live=True)), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="module")
def subject(labelled: Path) -> LiveSubject:
    cache = ng.open_run(labelled).cache
    return LiveSubject(Subject.of(text_settings(cache)), cache.sites)


@pytest.fixture(scope="module")
def unit(labelled: Path) -> ng.UnitId:
    return next(label.unit for label in ng.open_run(labelled).labels())


def test_what_fires_is_what_the_library_finds(client: TestClient, labelled: Path) -> None:
    assert client.get(RUN).json()["live"] is True
    found = client.get(f"{RUN}/firing", params={"text": TEXT, "k": 5}).json()
    judge = ng.open_run(labelled).firing(TEXT, 5)
    assert [each["unit"] for each in found] == [str(each.unit) for each in judge]
    for each, wanted in zip(found, judge, strict=True):
        assert each["share"] == pytest.approx(wanted.share)
        assert each["example"]["tokens"] == list(wanted.example.context.tokens)
        assert each["example"]["activations"] == pytest.approx(wanted.example.activations)
        assert (each["label"] is None) == (wanted.label is None)
    everything = client.get(f"{RUN}/firing", params={"text": TEXT, "k": 200, "where": "layer >= 0"}).json()
    labels = {str(label.unit) for label in ng.open_run(labelled).labels()}
    assert all(each["unit"] in labels and each["label"] for each in everything)


def test_peaks_are_those_of_the_activations(subject: LiveSubject, labelled: Path) -> None:
    units = list(ng.open_run(labelled).cache.units())
    activations = subject.activations_of(units, [TEXT])
    assert subject.peaks(units, TEXT) == pytest.approx([max(values) for [values] in activations])
    assert [subject.peaks(units, text).any() for text in ("", "<s>")] == [False, False]


def test_a_unit_is_read_on_a_text(client: TestClient, subject: LiveSubject, unit: ng.UnitId) -> None:
    found = client.post(f"{RUN}/activations", json={"text": TEXT, "unit": str(unit)}).json()
    assert "".join(found["tokens"]) == TEXT
    assert found["activations"] == pytest.approx(subject.activations(unit, [TEXT])[0])
    assert found["peak"] == max(found["activations"])


def test_prompts_of_any_length_are_continued(client: TestClient, subject: LiveSubject, unit: ng.UnitId) -> None:
    prompts = ["Go", TEXT, TEXT * 5]
    found = client.post(f"{RUN}/steer", json={"unit": str(unit), "prompts": prompts, "strength": 50.0}).json()
    assert [text["prompt"] for text in found["texts"]] == prompts
    assert found["strength"] == 50.0 and found["kl"] > 0
    assert any(text["clean"] != text["steered"] for text in found["texts"])
    # A prompt of as many tokens as an intervention's is continued as there.
    ids = subject.subject.tokenize(TEXT * 5).ids[:16]
    prompt = subject.subject.tokenizer.decode(ids)
    assert subject.subject.tokenize(prompt).ids == ids
    strength = subject.strength(unit, [prompt], 2.0)
    judge = subject.steer(unit, [prompt], [prompt], kl=2.0)
    assert judge.strength == strength
    mine = subject.steer_by(unit, [prompt], strength)
    assert mine.texts == judge.texts
    assert mine.kl == pytest.approx(judge.kl, rel=1e-3) and mine.kl == pytest.approx(2.0, rel=0.15)


def test_a_strength_of_nothing_changes_nothing(subject: LiveSubject, unit: ng.UnitId) -> None:
    found = subject.steer_by(unit, [TEXT], 0.0)
    assert found.kl == pytest.approx(0, abs=1e-6)
    assert found.texts[0].clean == found.texts[0].steered


def test_the_strength_is_set_by_what_it_changes(client: TestClient, unit: ng.UnitId) -> None:
    strengths = []
    for kl in (0.1, 1.0, None, -1.0):
        body: dict[str, Any] = {"unit": str(unit), "prompts": [TEXT], "kl": kl}
        strengths.append(client.post(f"{RUN}/steer", json=body).json()["strength"])
    assert 0 < strengths[0] < strengths[1] == strengths[2]
    assert strengths[3] < 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("steer", {"prompts": [TEXT], "kl": 1, "strength": 1}, 400),
        ("steer", {"prompts": [TEXT], "kl": 0}, 400),
        ("steer", {"prompts": []}, 422),
        ("steer", {"prompts": ["x"] * 9}, 422),
        ("steer", {"prompts": ["x" * 2_001]}, 422),
        ("steer", {"prompts": [TEXT], "kl": "nan"}, 422),
        ("steer", {"prompts": [TEXT], "unit": "none"}, 404),
        ("activations", {"text": "x" * 20_001}, 422),
        ("activations", {"text": "word " * 4_000}, 400),
        ("activations", {"text": TEXT, "unit": "other/model/neurons/1"}, 404),
    ],
)
def test_limits_and_mistakes(
    client: TestClient, unit: ng.UnitId, path: str, body: dict[str, Any], status: int
) -> None:
    answered = client.post(f"{RUN}/{path}", json={"unit": str(unit), **body})
    assert answered.status_code == status, answered.text
    assert answered.json()["message"].startswith("Expected") or "needs" in answered.json()["message"]


def test_who_finds_it_busy_comes_again(
    client: TestClient, unit: ng.UnitId, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Event(), Event()
    steer_by = LiveSubject.steer_by

    def slowly(self: LiveSubject, *arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return steer_by(self, *arguments)

    monkeypatch.setattr(LiveSubject, "steer_by", slowly)
    body = {"unit": str(unit), "prompts": [TEXT], "strength": 1.0}
    with ThreadPoolExecutor(live.WAITING + 1) as pool:
        try:
            first = pool.submit(client.post, f"{RUN}/steer", json=body)
            assert begun.wait(30)
            second = client.post(f"{RUN}/steer", json=body)
            assert (second.status_code, second.json()["error"]) == (429, "busy")
            assert int(second.headers["retry-after"]) > 0
            # Others read, or wait for their turn; more than a few do not.
            assert client.get(RUN).status_code == 200
            reading = {"unit": str(unit), "text": TEXT}
            waiting = [pool.submit(client.post, f"{RUN}/activations", json=reading) for _ in range(live.WAITING)]
            refused, _ = wait(waiting, 30, FIRST_COMPLETED)
            assert [each.result().status_code for each in refused] == [429]
        finally:
            go_on.set()
        assert first.result().status_code == 200
        assert sorted(each.result().status_code for each in waiting) == [200] * (live.WAITING - 1) + [429]


def test_without_live_it_says_how(labelled: Path, unit: ng.UnitId) -> None:
    with TestClient(create_app([labelled], Options()), base_url="http://127.0.0.1") as client:
        assert client.get(RUN).json()["live"] is False
        asked = [
            client.get(f"{RUN}/firing", params={"text": TEXT}),
            client.post(f"{RUN}/activations", json={"unit": str(unit), "text": TEXT}),
            client.post(f"{RUN}/steer", json={"unit": str(unit), "prompts": [TEXT]}),
        ]
    assert [answered.status_code for answered in asked] == [400] * 3
    assert all("serve --live" in answered.json()["message"] for answered in asked)
