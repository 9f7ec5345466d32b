"""Batches: what ends in which state, what waits, what is asked once, and what a result depends on."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from neurogloss.accounts import Usage
from neurogloss.agent import graph
from neurogloss.agent.state import unpack
from neurogloss.cli.app import run as run_command
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.protocols import HeldOut, Material, Quiet
from neurogloss.records import Answer, Candidate, Evidence, EvidenceHalf, Label, Outcome, Question, State
from neurogloss.runs.label import label, label_async
from neurogloss.runs.plan import plan
from neurogloss.runs.sweep import GIVE_UP, Summary
from neurogloss.scorers import registry
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.metrics import auroc
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import evidence
from neurogloss.store.ledger import Ledger

pytestmark = pytest.mark.usefixtures("quick_embedder")

Script = Callable[..., str]
Copy = Callable[[Path], Path]
Dump = Callable[[Path], str]

SETTINGS: Mapping[str, Any] = {
    "units": "0-3",
    "scorers": ("detection", "fuzzing"),
    "questions": 20,
    "effort": "low",
}
"""`0-3` are 8 units in a run of two hookpoints, all of them alive."""
FLAGS = "--units 0-3 --scorers detection,fuzzing --questions 20 --effort low".split()
UNITS = 8
EXPLAINS, JUDGES = "Passages:", "exts:"
DONE = {State.ACCEPTED, State.REJECTED}


@dataclass(frozen=True)
class Found:
    """What a ledger holds of the newest method."""

    labels: dict[UnitId, Label]
    outcomes: dict[UnitId, list[Outcome]]
    attempts: dict[UnitId, int]

    @property
    def states(self) -> Counter[State]:
        return Counter(label.state for label in self.labels.values())

    def without_attempts(self) -> str:
        """Explanations, states, scores and answers, as text: NaN equals NaN there."""
        return repr((self.labels, self.outcomes))


def found(run: Path) -> Found:
    with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
        labels = {label.unit: label for label in ledger.labels(ledger.newest_method())}
        outcomes = {
            unit: [
                outcome
                for score in label.scores
                if label.explanation
                for outcome in ledger.outcomes(label.explanation.id, score.scorer)
            ]
            for unit, label in labels.items()
        }
        return Found(
            labels,
            outcomes,
            {unit: ledger.standings(labels[unit].method, [unit])[unit].attempts for unit in labels},
        )


def labelled(run: Path, llm: str, **values: Any) -> Summary:
    return label(run, llm=llm, **{**SETTINGS, **values})


@pytest.fixture(scope="module")
def whole(quick_embedder: None, collected: Path, copy_run: Copy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was labelled in one go."""
    run = copy_run(collected)
    path = tmp_path_factory.mktemp("script") / "rules.jsonl"
    path.write_text('{"match": "Passages:", "marks": 8}\n{"match": "exts:", "words": "explanation"}\n')
    label(run, llm=f"scripted:{path}", **SETTINGS)
    return run


class Recorded(Quiet):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int | None, int]] = []
        self.steps: Counter[str] = Counter()

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        self.tasks.append((task, total, done))

    def advance(self, n: int = 1) -> None:
        self.steps[self.tasks[-1][0]] += n


# --- a batch that goes well --------------------------------------------------------------------------


def test_every_unit_ends_with_an_explanation_and_scores_beside_floors(
    run: Path, script: Script, dump: Dump
) -> None:
    summary = labelled(run, script())
    assert summary.waiting == summary.failed == 0
    got = found(run)
    assert summary.states == got.states and sum(summary.states.values()) == UNITS
    for unit, its in got.labels.items():
        assert its.state in DONE and its.method == summary.method
        assert its.explanation is not None and its.explanation.text.startswith("the words ")
        assert [score.scorer for score in its.scores] == ["detection", "fuzzing"]
        assert all(score.score.defined and score.floor.defined and score.excess.defined for score in its.scores)
        assert all(score.n_questions == 20 and not score.failures for score in its.scores)
        assert len(got.outcomes[unit]) == 2 * 20 * 2, "two scorers, the explanation and one floor"
    dump(run)


def test_what_is_done_is_not_done_again(run: Path, script: Script, dump: Dump) -> None:
    first = labelled(run, script(), units="0-1")
    before = dump(run)
    nothing_answers = script({"match": "", "fail": "transport"})
    again = labelled(run, nothing_answers, units="0-1")
    assert (again.states, again.waiting, again.usage) == (first.states, 0, Usage())
    assert dump(run) == before


def test_progress_counts_what_was_done_before(run: Path, script: Script) -> None:
    labelled(run, script(), units="0")
    recorded = Recorded()
    labelled(run, script(), progress=recorded)
    assert recorded.tasks == [("explaining", 8, 2), ("scoring", 8, 2), ("index", 8, 0)]
    assert recorded.steps == {"explaining": 6, "scoring": 6, "index": 8}
    again = Recorded()
    labelled(run, script(), progress=again)
    assert again.tasks == [("index", 8, 0)]


def test_another_method_stands_beside_the_first(run: Path, script: Script) -> None:
    first = labelled(run, script(), units="0-1")
    before = found(run)
    second = labelled(run, script(), questions=10, units="0")
    assert second.method != first.method
    with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
        assert list(ledger.methods()) == [first.method, second.method]
        kept = {label.unit: label for label in ledger.labels(first.method)}
    assert repr(kept) == repr(before.labels)
    assert len(found(run).labels) == 2


def test_concurrency_units_and_attempts_make_no_other_method(run: Path, script: Script) -> None:
    first = labelled(run, script(), units="0")
    second = labelled(run, script(), units="1", concurrency=3, max_attempts=9)
    assert first.method == second.method


@dataclass(frozen=True)
class LongTexts:
    """A scorer of one's own: longer contexts are held to be active."""

    at_most: int
    name: str = "long"
    task: str = "detection"
    needs_subject: bool = False

    def questions(self, held_out: HeldOut) -> list[Question]:
        return Detection(self.at_most).questions(held_out)


def test_a_scorer_of_ones_own_is_measured_and_recorded(run: Path, script: Script) -> None:
    summary = labelled(run, script(), units="0", scorers=("fuzzing",), own_scorers=[LongTexts(6)])
    for its in found(run).labels.values():
        assert {score.scorer: score.n_questions for score in its.scores} == {"fuzzing": 20, "long": 6}
    with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
        recorded = ledger.methods()[summary.method]["scorers"]
    assert {"name": "long", "at_most": 6, "task": "detection", "needs_subject": False} in recorded


def test_interventions_are_made_with_the_live_subject(run: Path, script: Script) -> None:
    labelled(run, script(), units="0", scorers=("intervention",), prompts=16)
    for its in found(run).labels.values():
        (score,) = its.scores
        assert score.scorer == "intervention" and 0 < score.n_questions <= 16
        assert score.metrics["strength"] > 0 and score.metrics["kl"] > 0


# --- what a result depends on --------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3])
def test_the_order_of_the_work_decides_nothing(
    run: Path, script: Script, dump: Dump, whole: Path, concurrency: int
) -> None:
    labelled(run, script(), concurrency=concurrency)
    assert dump(run) == dump(whole)


def test_units_done_later_are_as_in_one_batch(run: Path, script: Script, whole: Path) -> None:
    labelled(run, script(), units="0-1")
    labelled(run, script())
    parts, one = found(run), found(whole)
    for unit in one.labels:
        mine, its = parts.labels[unit], one.labels[unit]
        assert mine.explanation == its.explanation
        for a, b in zip(mine.scores, its.scores, strict=True):
            assert repr((a.score, a.metrics)) == repr((b.score, b.metrics))
        if unit.index > 1:
            assert repr(mine) == repr(its), "its floors were drawn from all explanations in both"
    first = [unit for unit in one.labels if unit.index < 2]
    asked = [[{outcome.asked for outcome in f.outcomes[unit]} for unit in first] for f in (parts, one)]
    assert asked[0] != asked[1], "the floors of the first part were drawn from its own four explanations"


def test_floors_are_explanations_of_other_units(run: Path, script: Script) -> None:
    labelled(run, script(), floors=3, units="0-1")
    got = found(run)
    ids = {its.explanation.id: unit for unit, its in got.labels.items() if its.explanation}
    for unit, its in got.labels.items():
        for scorer in ("detection", "fuzzing"):
            rows = [outcome for outcome in got.outcomes[unit] if outcome.scorer == scorer]
            own, *floors = dict.fromkeys(outcome.asked for outcome in rows)
            assert its.explanation and own == its.explanation.id
            assert len(floors) == 3 and all(ids[floor] != unit for floor in floors)
            texts = {floor: got.labels[ids[floor]].explanation for floor in floors}
            assert all(text and text.text != its.explanation.text for text in texts.values())
            questions = [[row.question for row in rows if row.asked == asked] for asked in (own, *floors)]
            assert all(asked == questions[0] for asked in questions)


def test_where_too_few_were_explained_decoys_are_the_floor(run: Path, script: Script) -> None:
    labelled(run, script(), units="0", floors=3)
    got = found(run)
    for unit, rows in got.outcomes.items():
        floors = {outcome.asked for outcome in rows if outcome.asked != got.labels[unit].explanation.id}  # type: ignore[union-attr]
        assert len(floors) == 3 and sum(floor.startswith("decoy:") for floor in floors) == 2


class Spy:
    """An explainer and a judge in one, which keep every text that they are given."""

    name = "spy"
    settings: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.read: set[str] = set()

    async def candidates(self, material: Material) -> list[Candidate]:
        self.read |= texts_of(material.half)
        return [Candidate("one"), Candidate("two")]

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        self.read |= {passage.text for question in questions for passage in question.passages}
        return [Answer(0.5)] * len(questions)


def texts_of(half: EvidenceHalf) -> set[str]:
    contexts = [*(example.context for example in (*half.top, *half.uniform)), *half.negatives]
    return {context.text for context in contexts}


def test_what_explains_never_sees_what_scores(collected: Path, opening: str) -> None:
    cache = Cache(RunFolder(collected).cache)
    in_both = 0
    for unit in cache.alive(4)[:40]:
        both: Evidence = evidence(cache, unit)
        spy = Spy()
        asyncio.run(
            graph.explain_graph(spy, spy, "m", 4, 0).ainvoke(
                {
                    "unit": unit,
                    "statistics": both.statistics,
                    "half": both.explain,
                    "score_active": len(both.score.uniform),
                    "output_tokens": both.output_tokens,
                }
            )
        )
        scorers = registry.get(["detection", "fuzzing"], 100)
        asked = [q for scorer in scorers for q in scorer.questions(HeldOut(unit, both.score, (), 0))]
        held_out = {passage.text for question in asked for passage in question.passages}
        assert spy.read and held_out and spy.read <= texts_of(both.explain)
        assert not spy.read & held_out
        collected_to_score = {example.context.text for example in cache.examples(unit, "score", "uniform")}
        in_both += opening in spy.read & collected_to_score
    assert in_both, "a text of both halves was met, and was left out of the second"


# --- units that cannot be labelled ---------------------------------------------------------------------


def test_dead_units_and_those_seen_too_rarely_are_states_and_no_failures(
    run: Path, script: Script, dead: UnitId
) -> None:
    cache = Cache(RunFolder(run).cache)
    active = {unit: active_contexts(evidence(cache, unit)) for unit in cache.alive(1)[:40]}
    often = max(active.values())
    rare = next(unit for unit, n in active.items() if n < often)
    plenty = next(unit for unit, n in active.items() if n == often)
    summary = labelled(run, script(), units=f"{dead},{rare},{plenty}", min_active=often)
    assert summary.failed == summary.waiting == 0
    got = found(run).labels
    n_contexts = cache.statistics(dead).n_contexts
    assert (got[dead].state, got[dead].reason) == (State.DEAD, f"never active in {n_contexts} contexts")
    assert got[rare].state is State.TOO_LITTLE_EVIDENCE
    assert got[rare].reason == f"{active[rare]} active contexts in a half, {often} needed"
    for unit in (dead, rare):
        assert got[unit].explanation is None and got[unit].scores == ()
    assert got[plenty].state in DONE
    assert run_command(["label", str(run), "--llm", script(), *FLAGS, "--units", str(dead)]) == 0


def active_contexts(both: Evidence) -> int:
    """In the half that has fewer."""
    return min(len(both.explain.uniform), len(both.score.uniform))


@pytest.mark.parametrize(
    "rule, state, reason",
    [
        ({"fail": "refusal"}, State.REFUSAL, "rules.jsonl"),
        ({"fail": "empty"}, State.EMPTY, "rules.jsonl"),
        ({"fail": "unparseable"}, State.UNPARSEABLE, "rules.jsonl"),
        ({"reply": "It likes bridges."}, State.UNPARSEABLE, "It likes bridges."),
        ({"reply": {"explanation": "  "}}, State.EMPTY, "blank"),
    ],
)
def test_an_explainer_without_an_answer_is_a_state_and_no_score(
    run: Path, script: Script, dump: Dump, rule: dict[str, Any], state: State, reason: str
) -> None:
    llm = script({"match": EXPLAINS, **rule, "times": 1})
    summary = labelled(run, llm, concurrency=1, units="0-1")
    got = found(run)
    failed = got.labels[min(got.labels)]
    assert (failed.state, failed.explanation, failed.scores) == (state, None, ())
    assert reason in failed.reason
    assert got.states.total() == 4 and got.states[state] == 1
    assert (summary.failed, summary.waiting) == (1, 0)
    before = dump(run)
    assert run_command(["label", str(run), "--llm", script(), *FLAGS, "--units", "0-1"]) == 1
    assert dump(run) == before, "a later run does not ask again"


# --- judges that fail ----------------------------------------------------------------------------------


def test_answers_that_a_judge_did_not_give_are_counted_and_in_no_metric(run: Path, script: Script) -> None:
    labelled(run, script({"match": JUDGES, "fail": "refusal", "times": 3}), concurrency=1, units="0")
    got = found(run)
    assert sum(o.answer.failure is not None for rows in got.outcomes.values() for o in rows) == 15
    counted = 0
    for unit, its in got.labels.items():
        assert its.explanation is not None
        for score in its.scores:
            own = [o for o in got.outcomes[unit] if o.scorer == score.scorer and o.asked == its.explanation.id]
            failures = Counter(str(o.answer.failure) for o in own if o.answer.failure)
            answered = [(o.question.truth, o.answer.probability) for o in own if o.answer.probability is not None]
            assert score.failures == failures and score.n_questions == 20 == len(own)
            area = score.score.value if score.metric == "auroc" else score.metrics["auroc"]
            assert area == pytest.approx(auroc([t for t, _ in answered], [p for _, p in answered]))
            counted += failures.total()
    assert counted > 0


@pytest.mark.parametrize("failure", ["refusal", "empty", "unparseable"])
def test_a_judge_that_never_answers_is_a_state_with_a_reason(run: Path, script: Script, failure: str) -> None:
    summary = labelled(run, script({"match": JUDGES, "fail": failure}), units="0-1")
    assert summary.states == {State(failure): 4} and summary.failed == 4 and summary.waiting == 0
    for its in found(run).labels.values():
        assert its.explanation is not None
        assert [score.failures for score in its.scores] == [{failure: 20}] * 2
        assert not any(score.score.defined for score in its.scores)
        assert failure in its.reason


def test_a_judge_that_answers_only_for_the_explanation_itself_is_no_lack_of_evidence(
    run: Path, script: Script
) -> None:
    decoys = "names of people|numbers, dates|about food|programming|end of a|weather|legal|body|place and|polite"
    labelled(run, script({"match": f"Explanation: .*({decoys})", "fail": "refusal"}), units="0", floors=5)
    assert found(run).states == {State.REFUSAL: 2}


# --- a server that goes away ---------------------------------------------------------------------------


def gone_after(n: int, rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """n answers, and then none to such prompts."""
    return [{**rule, "times": n}, {"match": rule["match"], "fail": "transport"}]


EXPLAIN_RULE = {"match": EXPLAINS, "marks": 8}
JUDGE_RULE = {"match": JUDGES, "words": "explanation"}


def test_gone_while_explaining_units_wait_and_the_next_run_finishes_them(
    run: Path, script: Script, dump: Dump, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["label", str(run), *FLAGS, "--concurrency", "1"]
    assert run_command([*command, "--llm", script(*gone_after(4, EXPLAIN_RULE))]) == 1
    assert re.search("8 units wait; the same command", capsys.readouterr().out)
    got = found(run)
    assert got.states == {State.EXPLAINED: 4, State.TRANSPORT: 3}
    for its in got.labels.values():
        assert not its.scores, "scoring has not begun"
        assert (its.state is State.TRANSPORT) == bool(its.reason) == (its.explanation is None)
    assert run_command([*command, "--llm", script()]) == 0
    assert found(run).without_attempts() == found(whole).without_attempts()
    assert Counter(found(run).attempts.values()) == {0: 5, 1: 3}
    dump(run)


def test_gone_while_scoring_units_wait_and_the_next_run_finishes_them(
    run: Path, script: Script, dump: Dump, whole: Path
) -> None:
    command = ["label", str(run), *FLAGS, "--concurrency", "1"]
    assert run_command([*command, "--llm", script(*gone_after(35, JUDGE_RULE))]) == 1
    got = found(run)
    done = sum(got.states[state] for state in DONE)
    assert done == 2, "16 answers a unit"
    assert got.states[State.TRANSPORT] == GIVE_UP and got.states[State.EXPLAINED] == UNITS - GIVE_UP - done
    for its in got.labels.values():
        assert its.explanation is not None
        assert bool(its.scores) == (its.state in DONE), "no score is made of half the answers"
    assert run_command([*command, "--llm", script()]) == 0
    assert found(run).without_attempts() == found(whole).without_attempts()
    dump(run)


def test_gone_while_candidates_are_compared(run: Path, script: Script) -> None:
    candidates = ({"match": EXPLAINS, "reply": {"explanation": "bridges"}, "times": 1}, EXPLAIN_RULE)
    llm = script(*candidates, {"match": JUDGES, "fail": "transport"})
    labelled(run, llm, effort="medium", refinements=0, candidates=2, concurrency=1, units="0")
    got = found(run)
    assert got.labels[min(got.labels)].state is State.TRANSPORT and got.labels[min(got.labels)].reason
    assert got.states == {State.TRANSPORT: 1, State.EXPLAINED: 1}


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_server_that_is_gone_is_not_asked_for_every_unit(run: Path, script: Script, concurrency: int) -> None:
    summary = labelled(run, script({"match": "", "fail": "transport"}), units="0-23", concurrency=concurrency)
    tried = found(run).states[State.TRANSPORT]
    assert GIVE_UP * concurrency <= tried < (GIVE_UP + 1) * concurrency
    assert summary.states[State.TRANSPORT] == tried
    assert summary.waiting == 48 - summary.states.get(State.DEAD, 0)
    assert set(found(run).attempts.values()) == {1}


def test_failures_between_answers_do_not_stop_the_sweep(run: Path, script: Script) -> None:
    fails, answers = {"match": EXPLAINS, "fail": "transport", "times": 2}, {**EXPLAIN_RULE, "times": 1}
    labelled(run, script(*[fails, answers] * 3), concurrency=1)
    assert found(run).states == {State.TRANSPORT: 6, State.EXPLAINED: 2}
    assert found(run).attempts[max(found(run).labels)] == 1, "the last unit was tried too"


def test_after_max_attempts_a_unit_is_settled_and_the_rest_is_scored(
    run: Path, script: Script, dump: Dump
) -> None:
    fails_once = script({"match": EXPLAINS, "fail": "transport", "times": 1})
    first = labelled(run, fails_once, concurrency=1, units="0-1", max_attempts=2)
    assert first.states == {State.TRANSPORT: 1, State.EXPLAINED: 3} and first.waiting == 4
    second = labelled(run, fails_once, concurrency=1, units="0-1", max_attempts=2)
    assert (second.failed, second.waiting) == (1, 0)
    got = found(run)
    settled = got.labels[min(got.labels)]
    assert settled.state is State.TRANSPORT and got.attempts[settled.unit] == 2
    assert sum(got.states[state] for state in DONE) == 3
    before = dump(run)
    again = labelled(run, script(), units="0-1", max_attempts=2)
    assert (again.states, again.waiting, again.usage) == (second.states, 0, Usage())
    assert dump(run) == before
    assert labelled(run, script(), units="0-1", max_attempts=3).failed == 0, "unless it is given another attempt"


# --- what the user can mend ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values, says",
    [
        ({"explainer": "llm"}, "found none. Give one with --llm"),
        ({"judge": "llm"}, "found none. Give one with --llm"),
        ({"scorers": ("detektion",)}, "found 'detektion'"),
        ({"scorers": ()}, "one scorer or more, each once; found none"),
        ({"scorers": ("fuzzing", "fuzzing")}, "each once; found fuzzing, fuzzing"),
        ({"units": "0-99"}, "0 to 47"),
        ({"units": "some"}, "found 'some'"),
        ({"questions": 1}, "questions"),
        ({"llm": "ftp://x"}, "found 'ftp://x'"),
    ],
)
def test_wrong_settings_are_named_and_leave_no_ledger(run: Path, values: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        label(run, **values)
    assert not RunFolder(run).ledger.exists()


def test_a_folder_that_was_not_collected(tmp_path: Path, script: Script) -> None:
    with pytest.raises(UserError, match="neurogloss collect"):
        labelled(tmp_path / "nowhere", script())
    assert not (tmp_path / "nowhere").exists()


def test_a_script_that_ends_the_run_keeps_what_was_done(
    run: Path, script: Script, dump: Dump, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A prompt without a rule is the user's to mend, and stops everything."""
    path = Path(script().removeprefix("scripted:"))
    path.write_text('{"match": "Passages:", "marks": 8}\n', encoding="utf-8")
    assert run_command(["label", str(run), "--llm", f"scripted:{path}", *FLAGS]) == 2
    said = capsys.readouterr().err
    assert "No rule of" in said and "Traceback" not in said
    assert found(run).states == {State.EXPLAINED: UNITS}
    labelled(run, script())
    assert dump(run) == dump(whole)


def test_settings_may_be_given_whole(run: Path, script: Script) -> None:
    assert label(run, LabelSettings(llm=script(), **{**SETTINGS, "units": "0"})).waiting == 0
    assert len(found(run).labels) == 2


# --- effort, costs and traces --------------------------------------------------------------------------


def test_medium_effort_refines_by_its_own_mistakes_and_the_trace_tells(run: Path, script: Script) -> None:
    refines = {"match": "Missed:|Wrong:", "reply": {"explanation": "the words bridge, guests, minutes"}}
    summary = labelled(run, script(refines), effort="medium", units="0-1")
    with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
        for its in ledger.labels():
            packed = ledger.trace(its.unit, its.method)
            assert packed is not None and its.explanation is not None
            steps = unpack(packed)
            nodes = [step["node"] for step in steps]
            assert nodes[:4] == ["gather", "explain", "screen", "refine"] and nodes[-1] == "settle"
            assert steps[1]["calls"] and steps[-1]["facts"]["chosen"] == its.explanation.text
            if nodes[4] == "screen":
                texts = {candidate.text for candidate in ledger.candidates(its.unit, its.method)}
                assert "the words bridge, guests, minutes" in texts and len(texts) == 2
        costs = ledger.usage(summary.method)
    assert set(costs) == {"explain", "score"} and costs["explain"] + costs["score"] == summary.usage
    assert summary.usage.requests > 0 and summary.cost == 0


def test_low_effort_is_one_request_and_no_trace_where_none_is_wanted(run: Path, script: Script) -> None:
    summary = labelled(run, script(), units="0", trace=False, prompt_price=1e6, completion_price=2e6)
    with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
        for its in ledger.labels():
            assert ledger.usage(its.method, its.unit)["explain"].requests == 1
            assert ledger.trace(its.unit, its.method) is None
    assert summary.cost == summary.usage.prompt_tokens + 2 * summary.usage.completion_tokens > 0


def test_the_method_says_what_effort_it_was(run: Path, script: Script) -> None:
    methods = {labelled(run, script(), units="0", effort=effort).method for effort in ("low", "medium", "high")}
    assert len(methods) == 3


def test_it_works_where_an_event_loop_runs(run: Path, script: Script) -> None:
    async def inside() -> tuple[Summary, Summary]:
        first = labelled(run, script(), units="0")
        return first, await label_async(run, llm=script(), **{**SETTINGS, "units": "0-1"})

    first, second = asyncio.run(inside())
    assert (sum(first.states.values()), sum(second.states.values())) == (2, 4)


def test_a_plan_costs_nothing_and_is_what_the_run_then_costs(run: Path, script: Script) -> None:
    """Low effort asks of every unit the same number of requests."""
    planned = plan(run, llm=script(), **SETTINGS)
    assert not RunFolder(run).ledger.exists()
    assert (planned.units, planned.sampled) == (UNITS, UNITS) and planned.seconds is not None
    summary = labelled(run, script())
    assert planned.usage.requests == summary.usage.requests
    assert plan(run, llm=script(), **SETTINGS).units == 0
