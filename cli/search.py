"""neurogloss search"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from neurogloss.cli.options import DEFAULT_RUN, JsonOption, RunOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from neurogloss.store.search import SearchResult


def search(
    query: Annotated[str, typer.Argument(help="What you look for, in words.", metavar="QUERY")],
    run: RunOption = DEFAULT_RUN,
    k: Annotated[int, typer.Option("-k", help="How many.", min=1)] = 10,
    accepted: Annotated[bool, typer.Option("--accepted", help="Only accepted labels.")] = False,
    json: JsonOption = False,
) -> None:
    """Find units by the meaning of their explanations."""
    import neurogloss as ng
    from neurogloss.cli import render

    found = ng.open_run(run).search(query, k, {ng.State.ACCEPTED} if accepted else None)
    if json:
        render.print_json(found)
    elif found:
        render.console().print(results_table(query, found))
    else:
        render.console().print(f"no {'accepted ' if accepted else ''}label in {run} yet", soft_wrap=True)


def results_table(query: str, found: Sequence[SearchResult]) -> Table:
    """A row a hit: similarity, unit, explanation, each score beside its floor, state."""
    from neurogloss.cli import render

    return render.labels_table(
        [hit.label for hit in found], title=f"“{query}”", similarities=[hit.similarity for hit in found]
    )
