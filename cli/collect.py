"""neurogloss collect"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neurogloss.cli.options import EngineOption, JsonOption, RunArgument, said


def collect(
    run: RunArgument,
    hookpoint: Annotated[
        list[str] | None,
        typer.Option(help="Module to listen at, .input appended for its input; may be given often."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Packaged name, folder of a Hugging Face model, or ORG/NAME on the hub.")
    ] = None,
    dictionary: Annotated[
        list[str] | None,
        typer.Option(
            help="neurons, an SAE's file or folder, or hub:ORG/NAME/FOLDER; one for all hookpoints, or one each."
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="demo, files of text, JSON lines, Parquet or token ids, a folder of them, or hub:NAME."),
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column or field that is the text.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Tokens to read.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    bos: Annotated[str | None, typer.Option(help="auto, always or never.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides the document split and every sample.")] = None,
    merge: Annotated[
        list[Path] | None, typer.Option(help="Finished runs over other documents to make RUN of; give each.")
    ] = None,
    engine: EngineOption = "local",
    json: JsonOption = False,
) -> None:
    """Read a corpus with a model once, and keep every unit's evidence.

    A pass that was stopped goes on where it was when the same command is given again.
    """
    import neurogloss as ng
    from neurogloss.cli import progress, render
    from neurogloss.errors import UserError
    from neurogloss.sources.cache import Site

    given: dict[str, Any] = {
        "hookpoints": tuple(hookpoint) if hookpoint else None,
        "subject": subject,
        "dictionaries": tuple(dictionary) if dictionary else None,
        "corpus": corpus,
        "column": column,
        "dtype": dtype,
        "device": device,
        "bos": bos,
        "tokens": tokens,
        "seed": seed,
    }
    chosen = said(given)
    if merge and chosen:
        raise UserError(
            f"Expected --merge alone, found {', '.join(chosen)} beside it. Merged runs keep their settings."
        )
    if merge:
        manifest = ng.merge(run, merge)
    else:
        with progress.shown() as bars:
            manifest = ng.collect(run, engine=engine, progress=bars, **chosen)
    if json:
        render.print_json([manifest])
        return
    counts = manifest["counts"]
    units = sum(Site.of(site).sides for site in manifest["sites"])
    render.console().print(
        f"{counts['tokens']:,} tokens of {counts['documents']:,} documents, {counts['contexts']:,} contexts, "
        f"{units:,} units in {run}. Next:  neurogloss label {run} --units sample:24",
        soft_wrap=True,
    )
