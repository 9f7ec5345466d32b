"""What a dry run says before anything is labelled, for all units and every explainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import neurogloss as ng
from neurogloss.accounts import Usage
from neurogloss.agent import methods
from neurogloss.engines.usage import RecordedModel
from neurogloss.errors import RefusalError, TransportError, UnparseableError
from neurogloss.folder import RunFolder
from neurogloss.llm import Features, Reply, Request

pytestmark = pytest.mark.usefixtures("quick_embedder", "few")

UNITS = 192
"""Of the collected run: dead ones, too."""
FAST: dict[str, Any] = {"units": "all", "scorers": ("detection", "fuzzing"), "questions": 8}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller sample."""
    monkeypatch.setattr("neurogloss.runs.plan.SAMPLED", 4)


@pytest.mark.parametrize(
    "explainer", ["default", "contrastive", "pairs", "output", "ensemble", "facets+default", "promoted", "pmi"]
)
def test_every_explainer_can_be_planned_for_all_units(
    run: Path, script: Callable[..., str], explainer: str
) -> None:
    llm = script({"match": "Promoted:", "reply": {"explanation": "rain"}})
    found = ng.plan(run, llm=llm, explainer=explainer, prompt_price=1e6, **FAST)
    assert (found.units, found.sampled) == (UNITS, 4)
    assert found.usage.requests >= UNITS / 4, "of a part of the sample at least"
    assert found.usage.completion_tokens > 0 and found.seconds > 0
    assert found.cost == pytest.approx(found.usage.prompt_tokens)
    assert not RunFolder(run).ledger.exists() and not RunFolder(run).answers.exists()


@pytest.mark.parametrize("explainer", ["pmi", "promoted"])
def test_without_a_server_nothing_is_asked_and_the_time_is_this_machines(run: Path, explainer: str) -> None:
    found = ng.plan(run, explainer=explainer, **FAST)
    assert (found.units, found.sampled, found.usage.requests) == (UNITS, 4, 0)
    assert found.seconds > 0


def test_units_that_are_labelled_are_not_counted_again(run: Path, script: Callable[..., str]) -> None:
    ng.label(run, llm=script(), **{**FAST, "units": "0-9"})
    found = ng.plan(run, llm=script(), **FAST)
    assert found.units == UNITS - 20
    assert ng.plan(run, llm=script(), **{**FAST, "units": "0-9"}).units == 0


@pytest.mark.parametrize("features", [Features(tools=True), Features()])
def test_experiments_are_counted_as_many_as_are_allowed(
    run: Path, monkeypatch: pytest.MonkeyPatch, features: Features
) -> None:
    """Each experiment is a request, and one more asks for the explanation."""
    server = Server(features=features)
    none, six = (planned(run, monkeypatch, server, effort="high", refinements=0, experiments=n) for n in (1, 7))
    assert six.usage.requests - none.usage.requests > 5 * UNITS / 2


def test_scores_by_log_probabilities_are_counted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = Features(choices=True, prompt_logprobs=True)
    given = {"scorers": ("simulation", "detection"), "probabilities": True}
    found = planned(run, monkeypatch, Server(features=features), **given)
    assert found.usage.requests > UNITS and found.usage.completion_tokens > 0


class Server:
    """Answers with what its script says, and counts tokens; fails as a server does."""

    name = "server"

    def __init__(self, fails: Exception | None = None, features: Features | None = None) -> None:
        self.sent: list[Request] = []
        self.features, self._fails = features or Features(), fails

    async def chat(self, request: Request) -> Reply:
        self.sent.append(request)
        if self._fails:
            raise self._fails
        if request.max_tokens < 30:
            raise UnparseableError(f"expected JSON in at most {request.max_tokens} tokens, cut off")
        return Reply('{"explanation": "rain"}', usage=Usage(1, 0, 1000, 0, 30))


def planned(run: Path, monkeypatch: pytest.MonkeyPatch, server: Server, **more: Any) -> Any:
    monkeypatch.setattr(methods, "load_chat_model", lambda *given, **named: RecordedModel(server))
    return ng.plan(run, llm="http://server", **{"effort": "low", **FAST, **more})


def test_a_server_gets_requests_as_the_run_sends_them(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room for an answer is that of the real run: an answer that is cut off at the estimate is none."""
    server = Server()
    found = planned(run, monkeypatch, server)
    assert 0 < len(server.sent) <= 17 and min(request.max_tokens for request in server.sent) >= 30
    assert found.usage.completion_tokens == pytest.approx(30 * found.usage.requests, rel=0.5)
    assert found.usage.prompt_tokens == pytest.approx(1000 * found.usage.requests, rel=0.5)


def test_answers_that_cannot_be_used_are_no_reason_to_say_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planned(run, monkeypatch, Server(RefusalError("I will not")))
    assert found.usage.requests > 0 and found.usage.prompt_tokens > found.usage.requests


def test_a_server_that_is_gone_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransportError, match="gone"):
        planned(run, monkeypatch, Server(TransportError("gone")))
