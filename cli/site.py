"""neurogloss site"""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from neurogloss.cli import progress, render
from neurogloss.cli.options import EmbedderOption, JsonOption
from neurogloss.cli.serve import INSTALL, PACKAGES
from neurogloss.errors import MissingExtra


def site(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN…")],
    out: Annotated[Path, typer.Argument(help="Folder to make.", metavar="OUT")],
    units: Annotated[str, typer.Option(help="all explained units, sample:N of each run, or names.")] = "all",
    where: Annotated[str, typer.Option(help="Filter, such as 'detection.auroc > 0.8'.", metavar="EXPR")] = "",
    embedder: EmbedderOption = "",
    json: JsonOption = False,
) -> None:
    """Write the explorer as files: chosen units, with search, for any static host."""
    for package in PACKAGES:
        if not importlib.util.find_spec(package):
            raise MissingExtra(package, INSTALL)
    from neurogloss.web.site import write_site

    with progress.shown() as bars:
        written = write_site(runs, out, units, where, embedder or None, bars)
    size = f"{written.units:,} units, {written.files:,} files, {written.bytes / 1e6:,.1f} MB"
    rows = [{"out": str(out), **asdict(written)}]
    render.tell(json, rows, f"{size}   See them with:  python -m http.server -d {out}")
