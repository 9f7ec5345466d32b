"""The explorer as a person uses it: Chromium, a service over real runs, what is shown against the ledger."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from shutil import copytree, which
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

import neurogloss as ng
from neurogloss import web
from neurogloss.sources.vision import shipped
from neurogloss.wording import interval, number

pytest.importorskip("playwright", reason="drives a browser by playwright")
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

CHROMIUM = which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
STATIC = Path(web.__file__).parent / "static"
HOSTILE = "<script>window.harm=1</script><img src=x onerror='window.harm=1'> \u202edrawkcab\u202c \x1b[31mred\x07"
UNSEEN = re.compile("[\x00-\x08\x1b\u202a-\u202e\u2066-\u2069]")
TOKEN = "a-token-of-the-tests-that-is-long"
LAST = 131_071
expect.set_options(timeout=60_000)  # a busy machine is no failure
BEYOND = """[...document.querySelectorAll('main *, header *')]
    .filter((each) => each.getBoundingClientRect().right > 391).map((each) => each.outerHTML.slice(0, 99))"""


@pytest.fixture(scope="module")
def hostile(tiny_subject_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose corpus and model want to be more than text."""
    folder = tmp_path_factory.mktemp("hostile")
    corpus = folder / "corpus.jsonl"
    texts = [f"{HOSTILE} {i} and some more words {i * 7}" for i in range(150)]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    rules = [{"match": "Passages:", "reply": {"explanation": HOSTILE}}, {"match": "exts:", "words": ["red"]}]
    script = folder / "script.jsonl"
    script.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    run = folder / "hostile"
    ng.collect(
        run,
        subject=str(tiny_subject_folder),
        hookpoints=["model.layers.0.mlp.down_proj.input"],
        corpus=str(corpus),
        context_chars=48,
        active_quantile=0.8,
        calibration_contexts=64,
    )
    ng.label(run, units="0-3", llm=f"scripted:{script}", min_active=2, questions=8, scorers=("detection",))
    return run


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of images, labelled by a script."""
    folder = tmp_path_factory.mktemp("digits")
    for path, data, _ in islice(shipped.digits(), 120):
        (folder / "pictures" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pictures" / path).write_bytes(data())
    script = folder / "script.jsonl"
    rules = [
        {"match": "timuli:", "reply": {"explanation": "round digits"}},
        {"match": "exts:", "words": "explanation"},
    ]
    script.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    run = folder / "digits"
    ng.collect_images(
        run,
        subject="digits-cnn",
        hookpoints=("resnet.encoder.stages.1",),
        pictures=str(folder / "pictures"),
        device="cpu",
    )
    ng.label(
        run,
        units="sample:2",
        llm=f"scripted:{script}",
        min_active=2,
        questions=8,
        scorers=("detection",),
        effort="low",
    )
    return run


@contextmanager
def service(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[str]:
    """The address of `neurogloss serve` in a process of its own."""
    command = [sys.executable, "-m", "neurogloss", "serve", *arguments, "--port", "0", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield json.loads(line)["url"]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def served_run(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the labelled run: jobs write to it."""
    return Path(copytree(labelled, tmp_path_factory.mktemp("served") / "demo"))


@pytest.fixture(scope="module")
def address(served_run: Path, labelled: Path, imported: Path, hostile: Path, digits: Path) -> Iterator[str]:
    script = labelled.parent / "script.jsonl"
    runs = map(str, (served_run, imported, hostile, digits))
    with service(*runs, "--live", "--llm", f"scripted:{script}") as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Pages that must not raise, break the content security policy, or ask anybody else."""
    contexts, wrong = [], []

    def make(**given: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **given})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: "Content Security" in message.text and wrong.append(message.text))
        page.on("request", lambda request: "//127.0.0.1:" not in request.url and wrong.append(request.url))
        return page

    yield make
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    return new_page()


def unit_address(address: str, run: str, unit: object) -> str:
    return f"{address}/#/unit/{run}/{quote(str(unit))}"


def best(run: Path) -> ng.Label:
    """The label that the list of its run begins with."""
    labels = [label for label in ng.open_run(run).labels() if label.scores]
    return max(labels, key=lambda label: label.scores[0].excess.low)


def shown(text: str) -> str:
    return " ".join(text.split())


# --- search -----------------------------------------------------------------------------------------


def test_search_answers_as_one_types_and_filters_narrow_it(page: Page, address: str, imported: Path) -> None:
    page.goto(address)
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("rivers and lak")
    first = page.locator(".row").first
    expect(first.locator(".says")).to_have_text("rivers and lakes")
    assert "q=rivers" in page.url
    page.get_by_label("Run").select_option("imported")
    page.get_by_role("button", name="accepted", exact=True).click()
    expect(page.locator(".row .state").first).to_have_text("accepted")
    found = ng.open_run(imported).search("rivers and lak", 30, states={ng.State.ACCEPTED})
    expect(page.locator(".row")).to_have_count(len(found))
    assert page.locator(".row .says").all_inner_texts() == [hit.label.explanation.text for hit in found]
    score = found[0].label.scores[0]
    beside = f"{number(score.score.value)}/{number(score.floor.value)}"
    expect(first.locator(".beside")).to_have_text(beside)
    page.get_by_text("More", exact=False).last.click()
    page.get_by_label("Condition").fill("nonsense > 1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Expected a field to filter on, found nonsense")


def test_without_a_query_units_are_browsed_best_first(page: Page, address: str, served_run: Path) -> None:
    page.goto(address)
    top = best(served_run)
    row = page.locator(".row").first
    assert top.explanation is not None
    expect(row.locator(".says")).to_have_text(top.explanation.text)
    expect(row.locator(".strip span[style]").first).to_be_visible()
    n = sum(label.explanation is not None for label in ng.open_run(served_run).labels())
    expect(page.locator(".status")).to_have_text(f"{n} units of demo")
    row.locator("a").click()
    expect(page.locator("h1")).to_have_text(top.explanation.text)
    page.go_back()
    expect(row.locator(".says")).to_have_text(top.explanation.text)


def test_a_list_of_131072_units_keeps_few_rows_and_asks_for_few_pages(page: Page, address: str) -> None:
    asked: list[int] = []

    def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        start = int(query.get("cursor", ["0"])[0]) + int(query.get("skip", ["0"])[0])
        asked.append(start)
        items = [hit(i) for i in range(start, min(start + 100, LAST + 1))]
        route.fulfill(json={"items": items, "total": LAST + 1, "next": str(start + 100)})

    page.route("**/api/runs/demo/units?*", answer)
    page.goto(address)
    expect(page.locator(".row .says").first).to_have_text("unit 0")
    for _ in range(12):
        page.mouse.wheel(0, 700)
    expect(page.locator(".row .says").last).not_to_have_text("unit 0")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.get_by_text(f"unit {LAST}", exact=True)).to_be_in_viewport()
    assert page.locator(".virtual > li").count() < 60
    assert len(asked) < 10 and asked[0] == 0 and max(asked) > LAST - 200
    page.keyboard.press("Escape")
    page.locator(f'[data-i="{LAST - 3}"] a').focus()
    page.keyboard.press("j")
    expect(page.locator(f'[data-i="{LAST - 2}"] a')).to_be_focused()


def hit(i: int) -> dict[str, Any]:
    unit = f"s/h/d/{i}"
    explanation = {
        "id": str(i), "text": f"unit {i}", "method": "m", "rank": 0, "side": "input", "facets": [],
        "validation": None, "provenance": {},
    }  # fmt: skip
    label = {
        "unit": unit, "method": "m", "state": "accepted", "reason": "", "explanation": explanation, "scores": [],
    }  # fmt: skip
    return {"run": "demo", "label": label, "density": 0.1, "similarity": None, "same": 1, "strip": None}


# --- unit -------------------------------------------------------------------------------------------


def test_a_units_page_says_what_the_ledger_holds(page: Page, address: str, served_run: Path) -> None:
    label, run = best(served_run), ng.open_run(served_run)
    evidence = run.evidence(label.unit)
    page.goto(unit_address(address, "demo", label.unit))
    assert label.explanation is not None
    expect(page.locator("h1")).to_have_text(label.explanation.text)
    rows = page.locator(".explained tbody tr")
    expect(rows).to_have_count(len(label.scores))
    for i, score in enumerate(label.scores):
        for said in (score.scorer, interval(score.score), number(score.floor.value), interval(score.excess)):
            expect(rows.nth(i)).to_contain_text(said)
    contexts = page.get_by_role("region", name="Contexts")
    expect(contexts.locator(".value").first).to_have_text(number(evidence.score.top[0].peak))
    contexts.get_by_role("button", name="explained from").click()
    expect(contexts.locator(".value").first).to_have_text(number(evidence.explain.top[0].peak))
    activity = page.get_by_role("region", name="Activity")
    expect(activity).to_contain_text(f"{evidence.statistics.n_active:,} of {evidence.statistics.n_contexts:,}")
    expect(activity.locator("svg")).to_be_visible()
    candidates = run.candidates(label)[1:]
    if candidates:
        page.get_by_text("other candidate").click()
        expect(page.locator(".explained .plain")).to_contain_text(shown(candidates[0].text))


def test_exact_activations_show_on_hover_and_by_the_keyboard(page: Page, address: str, served_run: Path) -> None:
    label = best(served_run)
    example = ng.open_run(served_run).evidence(label.unit).score.top[0]
    at = max(range(len(example.activations)), key=lambda i: example.activations[i])
    page.goto(unit_address(address, "demo", label.unit))
    tokens = page.locator(".tokens").first
    tokens.locator(f'[data-t="{at}"]').hover()
    value = float(tokens.locator(".tip").inner_text())
    assert value == pytest.approx(example.peak, rel=0.01)
    page.mouse.move(0, 0)
    tokens.focus()
    expect(tokens.locator(".tip")).to_have_text(re.compile(r"\d"))
    page.keyboard.press("ArrowLeft" if at else "ArrowRight")
    step = at - 1 if at else 1
    expect(tokens.locator(f'[data-t="{step}"] .tip')).to_be_visible()
    assert float(tokens.locator(".tip").inner_text()) == pytest.approx(
        example.activations[step], rel=0.01, abs=0.01
    )


def test_neighbours_trace_and_answers_come_when_opened(page: Page, address: str, served_run: Path) -> None:
    label, run = best(served_run), ng.open_run(served_run)
    page.goto(unit_address(address, "demo", label.unit))
    neighbours = page.get_by_role("region", name="Neighbours")
    neighbours.get_by_role("button", name="co-activation").click()
    expect(neighbours.locator(".value").first).to_contain_text(number(run.coactive(label.unit, 1)[0].jaccard))
    page.get_by_text("How the explanation came about").click()
    expect(page.locator(".trace > li")).to_have_count(len(run.trace(label)))
    page.get_by_text("Answers of the judge").click()
    answers = page.locator("#answers")
    answers.get_by_role("button", name="all", exact=True).click()
    expect(answers.locator(".answers > li").first).to_contain_text("truth:")
    answers.get_by_role("button", name="wrong ones").click()
    expect(answers.locator(".verdict.right")).to_have_count(0)


SLOW_BODIES = """
const read = Response.prototype.json;
Response.prototype.json = async function () {
  if (this.url.includes("/answers")) await new Promise((done) => setTimeout(done, 500));
  return read.call(this);
};
"""


def test_an_answer_given_up_in_mid_body_leaves_the_page_whole(page: Page, address: str, served_run: Path) -> None:
    page.add_init_script(SLOW_BODIES)
    page.goto(unit_address(address, "demo", best(served_run).unit))
    page.get_by_text("Answers of the judge").click()
    answers = page.locator("#answers")
    for name in ("all", "wrong ones", "all"):
        with page.expect_response(lambda response: "/answers" in response.url):
            answers.get_by_role("button", name=name, exact=True).click()
    expect(answers.locator(".answers > li").first).to_contain_text("truth:")


def test_an_answer_that_is_cut_off_is_asked_for_again(page: Page, address: str, served_run: Path) -> None:
    cut = {"content_type": "application/json", "body": '{"items": ['}
    page.route(re.compile("/answers.*fuzzing"), lambda route: route.fulfill(**cut), times=1)
    page.goto(unit_address(address, "demo", best(served_run).unit))
    page.get_by_text("Answers of the judge").click()
    answers = page.locator("#answers")
    answers.get_by_role("button", name="all", exact=True).click()
    with page.expect_response(lambda response: "fuzzing" in response.url and "etag" in response.headers):
        answers.get_by_role("button", name="fuzzing").click()
    expect(answers.get_by_text("Loading")).to_have_count(0)
    expect(answers.locator(".answers > li").first).to_contain_text("truth:")


def test_next_permalink_and_copies(new_page: Callable[..., Page], address: str, served_run: Path) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(address)
    names = page.locator(".row .unit")
    expect(names.first).to_be_visible()
    second = names.nth(1).get_attribute("title")
    page.locator(".row a").first.click()
    expect(page.locator("h1")).to_be_visible()
    page.get_by_role("link", name="next").click()
    expect(page).to_have_url(unit_address(address, "demo", second))
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    label = ng.open_run(served_run).label(ng.UnitId.parse(second or ""))
    assert (copied["unit"], copied["labels"][0]["state"]) == (second, label.state.value)


def test_a_text_is_tried_and_prompts_are_steered_live(page: Page, address: str, served_run: Path) -> None:
    page.goto(unit_address(address, "demo", best(served_run).unit))
    box = page.get_by_role("region", name="Try it")
    box.get_by_label("A text for it to read").fill("some words to read")
    box.get_by_role("button", name="Read").click()
    expect(box.locator(".tokens")).to_have_text(re.compile("some\\s?words\\s?to\\s?read"), timeout=200_000)
    box.get_by_label("Prompts to continue").fill("one prompt\nand another")
    box.get_by_role("button", name="Steer").click()
    expect(box.locator(".steered > li")).to_have_count(2, timeout=200_000)
    expect(box.locator(".steered .prompt").first).to_have_text("one prompt")


def test_images_are_shown_with_what_activates_the_unit(page: Page, address: str, digits: Path) -> None:
    label = next(iter(ng.open_run(digits).labels()))
    page.goto(unit_address(address, "digits", label.unit))
    picture = page.locator("figure.picture").first
    expect(picture.locator("svg .outline")).to_be_attached()
    expect(picture.locator("img")).not_to_have_js_property("naturalWidth", 0)
    picture.focus()
    expect(picture).to_contain_text(re.compile(r"row \d+, column \d+: "))
    page.get_by_role("button", name="whole", exact=True).click()
    expect(picture.locator("svg")).to_have_count(0)


# --- compare and runs -------------------------------------------------------------------------------


def test_two_runs_are_compared_by_a_job(page: Page, address: str, served_run: Path, imported: Path) -> None:
    page.goto(f"{address}/#/compare")
    page.get_by_label("Place A").select_option(label="demo, all of it")
    page.get_by_label("Place B").select_option(label="imported, all of it")
    page.get_by_label("co-activation").uncheck()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".tile").first).to_be_visible(timeout=200_000)
    expected = ng.similar(served_run, imported, by=("text",))
    level = page.locator("tbody tr").first
    expect(level).to_contain_text(number(expected.levels[0].mean))
    expect(level).to_contain_text(number(expected.levels[0].floor))
    page.reload()  # the address holds the job
    expect(page.locator(".tile").first).to_be_visible()
    page.get_by_role("button", name="unmatched pairs").click()
    expect(page.get_by_role("region", name="Lists")).to_be_visible()


def test_a_runs_page_follows_a_job_that_it_began(page: Page, address: str, served_run: Path) -> None:
    page.goto(f"{address}/#/run/demo")
    states = page.get_by_role("region", name="Units by state")
    before = ng.open_run(served_run).status()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    page.get_by_role("textbox", name="Units").fill("0-1")
    page.get_by_role("button", name="Begin").click()
    expect(page.locator(".job.done", has_text="label")).to_be_visible(timeout=250_000)
    expect(states.locator(".stack > span").first).to_be_attached()
    after = ng.open_run(served_run).status()
    (new,) = after.keys() - before.keys()
    for state, n in after[new].items():
        expect(states).to_contain_text(f"{state.value.replace('_', ' ')} {n}")
    expect(page.get_by_role("region", name="Summary by scorer")).to_contain_text("detection")
    expect(page.locator(".chart svg").first).to_be_visible()


def test_units_without_an_explanation_say_why(page: Page, address: str) -> None:
    page.goto(f"{address}/#/run/imported")
    page.get_by_text("Units without an explanation").click()
    expect(page.locator("#failed .row")).to_have_count(3)
    expect(page.locator("#failed .row").first).to_contain_text("would not")


# --- what holds everywhere --------------------------------------------------------------------------


def test_hostile_text_is_shown_and_does_nothing(page: Page, address: str, hostile: Path) -> None:
    label = next(label for label in ng.open_run(hostile).labels() if label.explanation)
    pages = (f"{address}/#/?run=hostile", f"{address}/#/?q=script", unit_address(address, "hostile", label.unit))
    for place in pages:
        page.goto(place)
        expect(page.get_by_text("<script>window.harm=1</script>").first).to_be_visible()
        text = page.inner_text("body")
        assert "␛[31mred␇" in text and not UNSEEN.search(text + page.title())
        assert page.evaluate("window.harm") is None
        assert page.locator("#app script, img[src=x]").count() == 0
    page.get_by_text("How the explanation came about").click()
    page.locator(".trace .call summary").first.click()
    expect(page.locator(".trace pre").first).to_be_visible()
    assert "\x1b" not in page.inner_text("body") and page.evaluate("window.harm") is None


def views(address: str, served_run: Path, digits: Path) -> dict[str, str]:
    image = next(iter(ng.open_run(digits).labels())).unit
    return {
        f"{address}/#/": ".row .beside",
        f"{address}/#/?q=names": ".row .beside",
        unit_address(address, "demo", best(served_run).unit): ".neighbours li",
        unit_address(address, "digits", image): "figure.picture",
        f"{address}/#/run/demo": ".chart svg",
        f"{address}/#/runs": ".runs .card",
        f"{address}/#/compare": ".places",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    new_page: Callable[..., Page], address: str, served_run: Path, digits: Path, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = new_page(color_scheme=scheme, reduced_motion="reduce")
    found = []
    for place, ready in views(address, served_run, digits).items():
        page.goto(place)
        expect(page.locator(ready).first).to_be_visible()
        for each in axe.run(page).response["violations"]:
            if each["impact"] in ("serious", "critical"):
                found.append((place, each["id"], [node["html"][:160] for node in each["nodes"][:3]]))
    assert not found


def test_a_phone_scrolls_one_way_only(
    new_page: Callable[..., Page], address: str, served_run: Path, digits: Path
) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    for place, ready in views(address, served_run, digits).items():
        page.goto(place)
        expect(page.locator(ready).first).to_be_attached()
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            pytest.fail(f"{place}: {page.evaluate(BEYOND)}")


def test_the_keyboard_is_enough(page: Page, address: str) -> None:
    page.goto(f"{address}/#/runs")
    expect(page.locator("h1")).to_have_text("Runs")
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    expect(page.locator(".row").nth(2)).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator('[data-i="0"] a')).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator('[data-i="1"] a')).to_be_focused()
    said = page.locator('[data-i="1"] .says').inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(said)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("to the search box")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_service_that_stops_answering_is_said_and_waited_for(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".row").first).to_be_visible()
    page.route("**/api/**", lambda route: route.abort())
    page.locator("#query").fill("cities")
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    page.unroute("**/api/**")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".row .says").first).to_have_text("names of cities")


def test_a_unit_that_was_only_imported_shows_what_is_known(page: Page, address: str, imported: Path) -> None:
    label = best(imported)
    page.goto(unit_address(address, "imported", label.unit))
    assert label.explanation is not None
    expect(page.locator("h1")).to_have_text(label.explanation.text)
    expect(page.locator(".explained tbody tr")).to_contain_text(interval(label.scores[0].score))
    recall = page.get_by_role("img", name=re.compile("Recall by decile"))
    expect(recall).to_have_attribute("aria-label", re.compile(f"decile 1: {number(label.scores[0].score.value)}"))
    expect(page.get_by_role("region", name="Contexts")).to_have_count(0)
    expect(page.get_by_role("region", name="Neighbours").get_by_role("button")).to_have_count(1)


def test_what_is_not_there_is_said(page: Page, address: str) -> None:
    page.goto(f"{address}/#/unit/demo/no/such/unit/1")
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto(f"{address}/#/run/none")
    expect(page.get_by_role("alert")).to_be_visible()


def test_a_token_is_asked_for_once(page: Page, imported: Path) -> None:
    with service(str(imported), environment={"NEUROGLOSS_TOKEN": TOKEN}) as address:
        page.goto(address)
        page.get_by_label("Token").fill("not-this-one-but-long-enough")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("alert")).to_be_visible()
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Open").click()
        expect(page.locator(".row").first).to_be_visible()
        page.reload()
        expect(page.locator(".row").first).to_be_visible()
        assert TOKEN not in page.evaluate("document.cookie + JSON.stringify(localStorage)")


class Quiet(SimpleHTTPRequestHandler):
    """A host of files that keeps no log."""

    def log_message(self, *_: object) -> None:
        pass


def test_an_export_answers_from_files(page: Page, address: str, served_run: Path, tmp_path: Path) -> None:
    run = ng.open_run(served_run)
    unit = str(best(served_run).unit)
    copytree(STATIC, tmp_path / "static")
    meta = '<meta name="neurogloss-site" content="data/"></head>'
    (tmp_path / "index.html").write_text((STATIC / "index.html").read_text().replace("</head>", meta))
    (tmp_path / "data").mkdir()

    def keep(name: str, path: str) -> Any:
        answer = page.request.get(f"{address}/api/{path}").json()
        file = name or hashlib.sha1(path.encode()).hexdigest()[:20] + ".json"
        (tmp_path / "data" / file).write_text(json.dumps(answer))
        return answer

    units = keep("", "runs/demo/units?limit=100")["items"]
    (tmp_path / "data" / "search.json").write_text(json.dumps(units))
    keep("", "runs")
    keep("", "runs/demo")
    keep("", f"runs/demo/unit?unit={unit}")
    keep("", f"runs/demo/contexts?half=score&limit=64&unit={unit}")
    keep("", f"runs/demo/neighbours?by=meaning&k=10&unit={unit}")
    handler = partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            expect(page.locator(".row")).to_have_count(len(units))
            explanation = run.label(ng.UnitId.parse(unit)).explanation
            assert explanation is not None
            page.locator("#query").fill(explanation.text)
            page.locator(".row a").first.click()
            page.goto(unit_address(f"http://127.0.0.1:{server.server_port}", "demo", unit))
            expect(page.locator("h1")).to_have_text(explanation.text)
            expect(page.locator(".tokens").first).to_be_visible()
            expect(page.locator(".neighbours li").first).to_be_visible()
        finally:
            server.shutdown()
