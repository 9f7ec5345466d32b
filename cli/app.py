"""The Typer application: one command a module, and what an error comes out as."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

import typer
from rich.console import Console

from neurogloss.cli import (
    ablate,
    collect,
    collect_images,
    collect_responses,
    demo,
    doctor,
    exchange,
    index,
    label,
    llm,
    report,
    run_config,
    score,
    search,
    serve,
    show,
    similar,
    site,
    status,
)
from neurogloss.cli.text import visible
from neurogloss.errors import NeuroglossError

INTERRUPTED = 130
COMMANDS: tuple[Callable[..., int | None], ...] = (
    demo.demo,
    collect.collect,
    collect_images.collect_images,
    collect_responses.collect_responses,
    label.label,
    score.score,
    run_config.run,
    status.status,
    show.show,
    report.report,
    search.search,
    similar.similar,
    ablate.ablate,
    exchange.export,
    exchange.import_,
    exchange.diff,
    serve.serve,
    site.site,
    doctor.doctor,
)


def _exit(code: int | None) -> None:
    """What a command returns is its exit code."""
    raise typer.Exit(code or 0)


app = typer.Typer(
    help="Find out what the parts of a neural network respond to, in words you can trust.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    result_callback=_exit,
)
for command in COMMANDS:
    app.command(command.__name__.rstrip("_").replace("_", "-"))(command)
app.add_typer(index.app, name="index")
app.add_typer(llm.app, name="llm")


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. What the user can mend is said on stderr, without a traceback."""
    try:
        app(list(arguments), prog_name="neurogloss")
    except SystemExit as end:
        # Typer says itself what is wrong with the arguments; of an interruption it says nothing.
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
            "Mend that, and give the same command again."
        )
        return 2
    return 0


def _say(message: str) -> None:
    """On stderr, line by line as it is."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in message.split("\n"):
        console.print(visible(line))
