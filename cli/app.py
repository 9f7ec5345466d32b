"""The Typer application: its commands, and how errors become messages and exit codes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from neurogloss.cli import (
    ablate,
    collect,
    demo,
    doctor,
    exchange,
    index,
    label,
    llm,
    search,
    serve,
    show,
    similar,
    status,
)
from neurogloss.cli.render import visible
from neurogloss.errors import NeuroglossError

INTERRUPTED = 130
SETUP = "Set up"
COMMANDS: dict[str, tuple[Callable[..., int | None], ...]] = {
    "Label units": (
        demo.demo,
        collect.collect,
        collect.collect_images,
        collect.collect_responses,
        label.label,
        label.score,
        label.run,
    ),
    "Look at labels": (status.status, show.show, search.search, serve.report, serve.serve, serve.site),
    "Compare and exchange": (similar.similar, ablate.ablate, exchange.diff, exchange.export, exchange.import_),
    SETUP: (doctor.doctor,),
}


def _exit(code: int | None, **_: object) -> None:
    """Exit with the code that a command returned."""
    raise typer.Exit(code or 0)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neurogloss {version('neurogloss')}")
        raise typer.Exit


app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    result_callback=_exit,
)


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Find out what the parts of a neural network respond to, in words you can trust."""


for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(command.__name__.rstrip("_").replace("_", "-"), rich_help_panel=panel)(command)
app.add_typer(index.app, name="index", rich_help_panel=SETUP)
app.add_typer(llm.app, name="llm", rich_help_panel=SETUP)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Errors that the user can fix are one message on stderr."""
    try:
        app(list(arguments), prog_name="neurogloss")
    except SystemExit as end:
        # Typer reports wrong arguments itself, but not an interruption.
        if end.code == INTERRUPTED:
            _say("Interrupted. What was finished is kept; the same command goes on from there.")
        return end.code if isinstance(end.code, int) else 0
    except NeuroglossError as error:
        _say(f"neurogloss: {error}")
        return 2
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        where = "a file" if error.filename is None else error.filename
        _say(
            f"neurogloss: Expected to read and write {where}, found: {error.strerror}. "
            "Fix that, and give the same command again."
        )
        return 2
    return 0


def _say(message: str) -> None:
    """Print to stderr without markup, and with control characters made visible."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in message.split("\n"):
        console.print(visible(line))
