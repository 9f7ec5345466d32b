"""The exported explorer: each file the service's answer, all of it inside its folder, and read by a browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha1
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

import neurogloss as ng
from neurogloss.cli import app
from neurogloss.engines.embedder import MiniLM
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.records import Explanation, Label, UnitStatistics
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.web import site
from neurogloss.web.problems import Refusal
from neurogloss.web.routes import images, units
from neurogloss.web.site import write_site

CHROMIUM = which("chromium")
MEDIA = b"\x89PNG\r\n\x1a\n" + b"0" * 20
NAMES = ("../../up", "naïve 学习 %2e%2e", "a?b=c&d#e+f", "'\"<script>")


@pytest.fixture(scope="module")
def label(labelled: Path) -> Label:
    return next(label for label in ng.open_run(labelled).labels() if label.scores)


@pytest.fixture(scope="module")
def exported(labelled: Path, imported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "out"
    write_site([labelled, imported], out, "sample:4")
    return out


def kept(out: Path, said: str) -> Any:
    """What the export has for an address."""
    return json.loads((out / "data" / f"{sha1(said.encode()).hexdigest()[:20]}.json").read_bytes())


def searched(out: Path) -> list[Any]:
    hits: list[Any] = json.loads((out / "data" / "search.json").read_bytes())
    return hits


# --- what is written ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "runs",
        "runs/labelled",
        "runs/imported",
        "runs/labelled/numbers?method={method}",
        "runs/labelled/unit?unit={unit}",
        "runs/labelled/contexts?half=score&limit=64&unit={unit}",
        "runs/labelled/contexts?half=explain&limit=64&unit={unit}",
        "runs/labelled/neighbours?by=meaning&k=10&unit={unit}",
        "runs/labelled/neighbours?by=coactivation&k=10&unit={unit}",
        "runs/labelled/trace?method={method}&unit={unit}",
        "runs/labelled/answers?limit=20&scorer={scorer}&unit={unit}&wrong=true",
        "runs/labelled/answers?limit=20&scorer={scorer}&unit={unit}",
    ],
)
def test_each_file_is_the_answer_of_the_service(
    api: TestClient, labelled: Path, label: Label, tmp_path: Path, said: str, exported: Path
) -> None:
    out = exported
    if "{unit}" in said:
        out = tmp_path / "out"
        write_site([labelled], out, str(label.unit))
    said = said.format(unit=label.unit, method=label.method, scorer=label.scores[0].scorer)
    assert kept(out, said) == api.get(f"/api/{said}").raise_for_status().json()


def test_answers_are_cut_into_pages_as_the_service_cuts_them(
    api: TestClient, labelled: Path, label: Label, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "ANSWERS", 6)
    write_site([labelled], tmp_path / "out", str(label.unit))
    rest, cursor = f"limit=6&scorer={label.scores[0].scorer}&unit={label.unit}", ""
    pages = 0
    while cursor is not None:
        page = kept(tmp_path / "out", f"runs/labelled/answers?{cursor and f'cursor={cursor}&'}{rest}")
        assert page == api.get(f"/api/runs/labelled/answers?{rest}&cursor={cursor}").json()
        cursor, pages = page["next"], pages + 1
    assert pages > 1


def test_the_whole_explorer_lies_beside_its_answers(exported: Path) -> None:
    page = (exported / "index.html").read_text()
    assert page.count('<meta name="neurogloss-site" content="data/">') == 1
    assert "static/from-file.js" in page and (exported / "static" / "from-file.js").is_file()
    there = {path.relative_to(exported / "static") for path in (exported / "static").rglob("*.*")}
    assert there == {path.relative_to(site.STATIC) for path in site.STATIC.rglob("*.*")} - {Path("index.html")}


def test_search_has_the_chosen_units_best_first(exported: Path, api: TestClient) -> None:
    hits = searched(exported)
    assert [hit["run"] for hit in hits] == ["labelled"] * 4 + ["imported"] * 4
    limits = [hit["label"]["scores"][0]["excess"]["low"] for hit in hits[:4]]
    assert limits == sorted(limits, reverse=True)
    for hit in hits:
        assert kept(exported, f"runs/{hit['run']}/unit?unit={hit['label']['unit']}")["labels"][0] == hit["label"]
        whole = api.get(f"/api/runs/{hit['run']}/units", params={"limit": 500}).json()["items"]
        assert hit in whole


def test_images_lie_beside_and_what_has_none_says_so(
    labelled: Path, label: Label, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contexts(reader: Any, wanted: UnitId, half: str, limit: int) -> Any:
        paths = [f"/api/runs/labelled/images/{n:016x}" for n in (1, 2, 1)]
        return {"top": [{"image": path, "tokens": [path]} for path in paths]}

    def picture_of(reader: Any, context: str) -> Any:
        if context.endswith("2"):
            raise Refusal(404, "not_found", "gone")
        return MEDIA, "image/png"

    monkeypatch.setattr(site, "PARTS", (("contexts", contexts, {"half": "score", "limit": 64}),))
    monkeypatch.setattr(images, "picture_of", picture_of)
    write_site([labelled], tmp_path / "out", str(label.unit))
    top = kept(tmp_path / "out", f"runs/labelled/contexts?half=score&limit=64&unit={label.unit}")["top"]
    assert top[0]["image"] == top[2]["image"] and top[1]["image"] is None
    assert top[0]["image"].startswith("data/") and top[0]["image"].endswith(".png")
    assert (tmp_path / "out" / top[0]["image"]).read_bytes() == MEDIA
    assert top[0]["tokens"] == ["/api/runs/labelled/images/0000000000000001"]


# --- which units ---------------------------------------------------------------------------------------


def test_a_larger_sample_holds_the_smaller_and_a_filter_decides_of_all(imported: Path, tmp_path: Path) -> None:
    def units_of(name: str, *given: str) -> list[str]:
        write_site([imported], tmp_path / name, *given)
        return [hit["label"]["unit"] for hit in searched(tmp_path / name)]

    few, more = units_of("few", "sample:3"), units_of("more", "sample:9")
    assert (len(few), len(more)) == (3, 9) and set(few) < set(more)
    high = units_of("high", "all", "detection > 0.7")
    values = [score["score"]["value"] for hit in searched(tmp_path / "high") for score in hit["label"]["scores"]]
    assert len(high) == len(values) > 0 and min(values) > 0.7
    assert len(units_of("all")) == 30


def test_units_are_named_by_their_ends_in_whichever_run_has_them(
    labelled: Path, imported: Path, label: Label, tmp_path: Path
) -> None:
    written = write_site([labelled, imported], tmp_path / "out", f"{label.unit}, model.layers.2.mlp/sae/3")
    assert written.units == 2
    assert kept(tmp_path / "out", "runs/imported/unit?unit=org/subject/model.layers.2.mlp/sae/3")["labels"]
    assert {hit["run"] for hit in searched(tmp_path / "out")} == {"labelled", "imported"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("sample:x",), "sample:N"),
        (("sample:0",), "sample:N"),
        (("nowhere/7",), "nowhere/7"),
        (("model.layers.2.mlp/sae/3", "detection > 0.7"), "both"),
        (("all", "detection > 7"), "that passes"),
        (("all", "colour > 7"), "colour"),
        ((",",), "found none"),
    ],
)
def test_what_cannot_be_leaves_nothing(imported: Path, tmp_path: Path, given: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        write_site([imported], tmp_path / "deep" / "out", *given)
    assert not list(tmp_path.iterdir()) or not list((tmp_path / "deep").iterdir())


# --- the folder -----------------------------------------------------------------------------------------


def test_a_folder_in_use_is_left_alone_and_an_empty_one_is_taken(imported: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_site([imported], out, "sample:1")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(UserError, match="empty folder"):
        write_site([imported], out, "sample:2")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    with pytest.raises(UserError, match="empty folder"):
        write_site([imported], out / "index.html", "sample:2")


def test_an_export_that_is_cut_off_leaves_nothing(
    imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    whole = units.unit

    def unit(*given: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(units, "unit", unit)
    with pytest.raises(KeyboardInterrupt):
        write_site([imported], tmp_path / "out", "sample:5")
    assert asked == 3 and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, minilm: MiniLM) -> Path:
    """A run whose name and units want to be paths, queries and markup."""
    folder = RunFolder(tmp_path_factory.mktemp("hostile") / "..%2f ü&=#")
    with Ledger(folder.ledger) as ledger, Index(folder.index, minilm) as index:
        ledger.add_method("llm-0123abcd", {})
        for i, name in enumerate(NAMES):
            unit = UnitId(name, "..", name.replace("/", "\\"), i)
            ledger.add_units([(unit, UnitStatistics(100, 7, 0.0, 1.0, 1.0, (7,)))])
            said = {"image": "../../up", "more": {"image": f"/api/runs/elsewhere/images/{0:016x}"}}
            ledger.record_explained(Explanation(unit, f"rivers number {i}", "llm-0123abcd", provenance=said), [])
        index.sync(ledger)
    return folder.path


def test_no_name_leaves_the_folder(hostile: Path, tmp_path: Path) -> None:
    write_site([hostile], tmp_path / "inner" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["out"]
    names = {path.name for path in (tmp_path / "inner" / "out" / "data").iterdir()} - {"search.json"}
    found = searched(tmp_path / "inner" / "out")[0]["label"]["explanation"]["provenance"]
    assert found["image"] == "../../up" and found["more"]["image"].startswith("/api/runs/elsewhere")
    assert all(len(name) == 25 and set(name[:20]) <= set("0123456789abcdef") for name in names)


def test_the_command_says_what_it_wrote(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert app.run(["site", str(imported), str(out), "--units", "sample:2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert said == {
        "out": str(out),
        "units": 2,
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
    }
    assert app.run(["site", str(imported), str(out)]) == 2
    assert "empty folder" in capsys.readouterr().err


# --- in a browser ---------------------------------------------------------------------------------------


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """The address of a plain file server."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *given: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def page() -> Iterator[Any]:
    """One that must not raise."""
    playwright = pytest.importorskip("playwright.sync_api", reason="drives a browser by playwright")
    playwright.expect.set_options(timeout=15_000)
    wrong: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        yield page
        browser.close()
    assert not wrong


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


@pytest.mark.browser
@needs_browser
def test_a_person_searches_the_files_and_opens_a_unit(page: Any, exported: Path) -> None:
    from playwright.sync_api import expect

    hit = searched(exported)[0]
    text, name = hit["label"]["explanation"]["text"], hit["label"]["unit"]
    with hosted(exported) as url:
        page.goto(url)
        expect(page.locator(".row")).to_have_count(4)
        page.locator("#query").fill(text)
        page.locator(f'.row:has([title="{name}"]) a').first.click()
        expect(page.locator("h1")).to_have_text(text)
        expect(page.locator(".tokens").first).to_be_visible()
        expect(page.locator(".neighbours li").first).to_be_visible()
        page.get_by_text("Answers of the judge").click()
        page.locator("#answers").get_by_role("button", name="all", exact=True).click()
        expect(page.locator("#answers .answers > li").first).to_contain_text("truth:")
        page.goto(f"{url}/#/unit/labelled/{quote('not/here/neurons/1')}")
        expect(page.get_by_text("This export does not hold that").first).to_be_visible()


@pytest.mark.browser
@needs_browser
def test_the_page_finds_files_of_hostile_names(page: Any, hostile: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    write_site([hostile], tmp_path / "out")
    with hosted(tmp_path / "out") as url:
        page.goto(url)
        for i in range(len(NAMES)):
            page.locator("#query").fill(f"number {i}")
            page.get_by_role("link", name=f"rivers number {i}").first.click()
            expect(page.locator("h1")).to_have_text(f"rivers number {i}")
            expect(page.get_by_role("region", name="Activity")).to_be_visible()
            page.go_back()


@pytest.mark.browser
@needs_browser
def test_opened_as_a_file_it_says_what_to_do(page: Any, exported: Path) -> None:
    from playwright.sync_api import expect

    page.goto((exported / "index.html").as_uri())
    expect(page.locator("body")).to_contain_text("python -m http.server")
