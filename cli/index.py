"""neurogloss index rebuild, neurogloss index check"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import neurogloss as ng
from neurogloss.cli import progress, render
from neurogloss.cli.options import EmbedderOption, JsonOption, RunArgument

app = typer.Typer(help="Check and rebuild the Chroma index.", no_args_is_help=True)


def chosen(embedder: str) -> ng.protocols.Embedder | None:
    """What the option names; None for the packaged model."""
    from neurogloss.engines.embedders import load_embedder

    return load_embedder(embedder) if embedder else None


def open_run(run: Path, embedder: str) -> ng.Run:
    """The run, with that embedding model."""
    return ng.Run(run, chosen(embedder))


@app.command()
def check(run: RunArgument, embedder: EmbedderOption = "", json: JsonOption = False) -> int:
    """Compare the index with the ledger, document by document; exit code 1 if they differ."""
    from neurogloss.store.index import Index

    opened = open_run(run, embedder)
    with opened.ledger() as ledger, Index(opened.folder.index, opened.embedder) as index:
        found = index.check(ledger)
    differ = f"{len(found.missing)} missing, {len(found.stale)} stale, {len(found.extra)} extra"
    fix = f"{differ}. Fix it with:  neurogloss index rebuild {run}"
    render.tell(json, [found], "index and ledger agree" if found.ok else fix)
    return 0 if found.ok else 1


@app.command()
def contexts(
    run: RunArgument,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Embed all contexts again.")] = False,
    embedder: EmbedderOption = "",
    json: JsonOption = False,
) -> None:
    """Make the contexts searchable too (search --kind contexts): about 30 a second."""
    from neurogloss.runs.passages import index_contexts

    opened = open_run(run, embedder)
    with progress.Bars() as bars, opened.folder.writing():
        added = index_contexts(opened.folder, opened.cache, opened.embedder, bars, rebuild)
    render.tell(json, [{"added": added}], f"{added} contexts indexed")


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
    from neurogloss.store.index import Index

    opened = open_run(run, embedder)
    with progress.Bars() as bars, opened.folder.writing():
        with opened.ledger() as ledger, Index(opened.folder.index, opened.embedder) as index:
            report = index.rebuild(ledger, bars, server or None)
    render.tell(json, [report], f"{report.added} explanations indexed")
