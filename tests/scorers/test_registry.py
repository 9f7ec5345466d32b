"""Scorers by name, in the order asked for, one's own among them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from neurogloss.errors import UserError
from neurogloss.protocols import HeldOut
from neurogloss.records import Question
from neurogloss.scorers import registry
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.fuzzing import Fuzzing
from neurogloss.scorers.intervention import Intervention


@dataclass(frozen=True)
class Own:
    n_questions: int
    name: str = "own"
    needs_subject: bool = False

    def questions(self, held_out: HeldOut) -> list[Question]:
        return []


@pytest.fixture(autouse=True)
def factories(monkeypatch: pytest.MonkeyPatch) -> dict[str, registry.Factory]:
    copied = dict(registry._FACTORIES)
    monkeypatch.setattr(registry, "_FACTORIES", copied)
    return copied


def test_scorers_come_in_the_order_asked_for_with_their_number_of_questions() -> None:
    found = registry.get(["intervention", "fuzzing-active", "detection", "fuzzing"], 40)
    assert found == [Intervention(), Fuzzing(40, "active"), Detection(40), Fuzzing(40)]


def test_each_is_registered_under_its_name(factories: dict[str, registry.Factory]) -> None:
    assert [scorer.name for scorer in registry.get(list(factories), 10)] == list(factories)


def test_no_name_is_no_scorer() -> None:
    assert registry.get([], 10) == []


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(UserError) as caught:
        registry.get(["detection", "detecton", "fuzz"], 10)
    message = str(caught.value)
    assert message.endswith("found detecton, fuzz.")
    assert all(name in message for name in ("detection", "fuzzing", "fuzzing-active", "intervention"))


def test_ones_own_is_registered_once() -> None:
    registry.register("own", Own)
    assert registry.get(["own"], 12) == [Own(12)]
    with pytest.raises(ValueError, match="'own' is registered already"):
        registry.register("own", Own)
    with pytest.raises(ValueError, match="'detection'"):
        registry.register("detection", Own)
    assert registry.get(["detection"], 4) == [Detection(4)]
