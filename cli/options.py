"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_RUN = Path("runs/demo")

RunArgument = Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")]
RunOption = Annotated[
    Path, typer.Option("--run", help="Run folder.", envvar="NEUROGLOSS_RUN", show_default=str(DEFAULT_RUN))
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for programs.")]
EmbedderOption = Annotated[
    str,
    typer.Option(
        "--embedder",
        help="Embedding model: a sentence-transformers folder, or URL[#MODEL]; by default the packaged.",
        metavar="PATH|URL",
        envvar="NEUROGLOSS_EMBEDDER",
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        help="Who computes: local, this process; ray or ray:ADDRESS, the workers of a Ray cluster.",
        metavar="local|ray|ray:ADDRESS",
    ),
]


def said(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given; the others are for the settings to decide."""
    return {name: value for name, value in given.items() if value is not None}
