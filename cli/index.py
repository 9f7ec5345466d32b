"""neurogloss index rebuild, neurogloss index check"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from neurogloss.cli.options import EmbedderOption, JsonOption, RunArgument

if TYPE_CHECKING:
    from pathlib import Path

    from neurogloss.protocols import Embedder
    from neurogloss.runs.run import Run

app = typer.Typer(help="Check and rebuild the Chroma index.", no_args_is_help=True)


def chosen(embedder: str) -> Embedder | None:
    """What the option names; None for the packaged model."""
    from neurogloss.engines.embedders import load_embedder

    return load_embedder(embedder) if embedder else None


def open_run(run: Path, embedder: str) -> Run:
    """The run, with that embedding model."""
    from neurogloss.runs.run import Run

    return Run(run, chosen(embedder))


@app.command()
def check(run: RunArgument, embedder: EmbedderOption = "", json: JsonOption = False) -> int:
    """Compare the index with the ledger, document by document; exit code 1 if they differ."""
    from neurogloss.cli import render
    from neurogloss.store.index import Index

    opened = open_run(run, embedder)
    with opened.ledger() as ledger, Index(opened.folder.index, opened.embedder) as index:
        found = index.check(ledger)
    if json:
        render.print_json([found])
    else:
        render.console().print(
            "index and ledger agree"
            if found.ok
            else f"{len(found.missing)} missing, {len(found.stale)} stale, {len(found.extra)} extra. "
            f"Fix it with:  neurogloss index rebuild {run}",
            soft_wrap=True,
        )
    return 0 if found.ok else 1


@app.command()
def contexts(
    run: RunArgument,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Embed all contexts again.")] = False,
    embedder: EmbedderOption = "",
    json: JsonOption = False,
) -> None:
    """Make the contexts searchable too (search --kind contexts): about 30 a second."""
    from neurogloss.cli import progress, render
    from neurogloss.runs.passages import index_contexts

    opened = open_run(run, embedder)
    with progress.Bars() as bars, opened.folder.writing():
        added = index_contexts(opened.folder, opened.cache, opened.embedder, bars, rebuild)
    if json:
        render.print_json([{"added": added}])
    else:
        render.console().print(f"{added} contexts indexed")


@app.command()
def rebuild(
    run: RunArgument,
    server: Annotated[
        str, typer.Option(help="Keep the collection on this Chroma server from now on.", metavar="URL")
    ] = "",
    embedder: EmbedderOption = "",
    json: JsonOption = False,
) -> None:
    """Make the index anew from the ledger. The old one serves until the new one is complete."""
    from neurogloss.cli import progress, render
    from neurogloss.store.index import Index

    opened = open_run(run, embedder)
    with progress.Bars() as bars, opened.folder.writing():
        with opened.ledger() as ledger, Index(opened.folder.index, opened.embedder) as index:
            report = index.rebuild(ledger, bars, server or None)
    if json:
        render.print_json([report])
    else:
        render.console().print(f"{report.added} explanations indexed")
