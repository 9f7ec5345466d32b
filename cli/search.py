"""neurogloss search"""

from __future__ import annotations

import html
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer
from rich.table import Table

import neurogloss as ng
from neurogloss.cli import render, units
from neurogloss.cli.index import open_run
from neurogloss.cli.options import DEFAULT_RUN, EmbedderOption, JsonOption
from neurogloss.cli.render import visible
from neurogloss.errors import UserError


def search(
    query: Annotated[str, typer.Argument(help="What you look for, in words.", metavar="QUERY")] = "",
    run: Annotated[
        list[Path] | None,
        typer.Option(
            "--run",
            help="Run folder; for QUERY, several.",
            envvar="NEUROGLOSS_RUN",
            show_default=str(DEFAULT_RUN),
        ),
    ] = None,
    where: Annotated[
        str, typer.Option(help="Filter: 'layer >= 10 and detection.auroc > 0.8 and state == \"accepted\"'.")
    ] = "",
    k: Annotated[int, typer.Option("-k", help="How many.", min=1)] = 10,
    by: Annotated[
        Literal["hybrid", "dense", "lexical"], typer.Option(help="By meaning (dense), by words, or both.")
    ] = "hybrid",
    like: Annotated[str, typer.Option(help="Near to this unit's explanation.", metavar="UNIT")] = "",
    by_activation: Annotated[str, typer.Option(help="Units that fire on this text.", metavar="TEXT")] = "",
    kind: Annotated[Literal["explanations", "contexts"], typer.Option(help="What is searched.")] = "explanations",
    accepted: Annotated[bool, typer.Option("--accepted", help="Only accepted labels.")] = False,
    embedder: EmbedderOption = "",
    open: Annotated[
        bool, typer.Option("--open", help="Show the best in the run's page (neurogloss report).")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Find units by what their explanations say, by another unit, or by what they fire on."""
    if sum(map(bool, (query, like, by_activation))) != 1:
        raise UserError("Expected one thing to search by: QUERY, --like UNIT or --by-activation TEXT.")
    if kind == "contexts" and (not query or accepted or open):
        raise UserError("Contexts are searched by QUERY, with --where 'half == \"explain\"' if you like, alone.")
    runs = run or [DEFAULT_RUN]
    if len(runs) > 1 and (not query or kind == "contexts" or open):
        raise UserError("Expected one --run; several are searched for the explanations near to QUERY alone.")
    named, first = ", ".join(map(str, runs)), runs[0]
    opened = open_run(first, embedder)
    table: Callable[[Any], Table]
    found: Sequence[Any]
    if kind == "contexts":
        found, table = opened.search_contexts(query, k, where=where, by=by), partial(contexts_table, query)
        nothing = f"no context of {named} fits"
    elif by_activation:
        states = [f"({where})"] * bool(where) + ['state == "accepted"'] * accepted
        found = opened.firing(by_activation, k, where=" and ".join(states))
        table, nothing = partial(firing_table, by_activation), f"no unit of {named} fires on that"
    else:
        asked = opened.label(units.find(opened, like)).unit if like else query
        only = {ng.State.ACCEPTED} if accepted else None
        found = ng.search(asked, runs, k, where=where, by=by, states=only, embedder=opened.embedder)
        table = partial(results_table, query or f"like {like}")
        fits = f"no label in {named} fits" if where or by == "lexical" else ""
        nothing = fits or f"no {'accepted ' if accepted else ''}label in {named} yet"
    render.tell(json, found, table(found) if found else nothing)
    if open and found:
        best: Any = found[0]
        open_page(first, best.unit if by_activation else best.label.unit)


def open_page(run: Path, unit: ng.UnitId) -> None:
    """Show a unit on the run's page, in a browser. Raises UserError where it is on none."""
    page = run / "report.html"
    if not page.is_file():
        raise UserError(f"Expected a page at {page}, found none. Make it with:  neurogloss report {run}")
    if str(unit) not in html.unescape(page.read_text("utf-8")):
        raise UserError(
            f"{page} shows some units, and not {unit}. Show more with:  neurogloss report {run} --units 50; "
            f"or see this one with:  neurogloss show {unit} --run {run}"
        )
    url = f"{page.resolve().as_uri()}#{quote(str(unit))}"
    if not webbrowser.open(url):
        typer.echo(f"Found no browser; the page is {url}", err=True)


def results_table(query: str, found: Sequence[ng.results.SearchResult]) -> Table:
    """A row a hit: similarity, unit, explanation, how many say the same, each score beside its floor, state."""
    return render.labels_table(
        [_counted(hit) for hit in found], title=f"“{query}”", similarities=[hit.similarity for hit in found]
    )


def _counted(hit: ng.results.SearchResult) -> ng.Label:
    """The label; its explanation ends in `×3` where three labels say it."""
    if hit.same == 1 or hit.label.explanation is None:
        return hit.label
    counted = replace(hit.label.explanation, text=f"{hit.label.explanation.text} ×{hit.same}")
    return replace(hit.label, explanation=counted)


def contexts_table(query: str, found: Sequence[ng.results.FoundContext]) -> Table:
    """A row a context: similarity, half, text."""
    table = render.new_table(f"“{query}”", headings=("near", "half", "context"))
    for each in found:
        table.add_row(render.number(each.similarity), each.half, visible(each.text))
    return table


def firing_table(text: str, found: Sequence[ng.results.Firing]) -> Table:
    """A row a unit: share of its largest activation, unit, the text with the active tokens shaded, explanation."""
    named = units.names(each.unit for each in found)
    headings = (render.figures("of max"), "unit", "where", "explanation")
    table = render.new_table(f"“{text}”", f"units of {named.common}", headings)
    out = render.console()
    marked = out.color_system is None or out.no_color
    for each in found:
        words = render.words(each.label) if each.label else "–"
        table.add_row(
            render.number(each.share), named.of(each.unit), render.highlighted(each.example, marked), words
        )
    return table
