"""The Typer application: one command a module, and what an error comes out as."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click
import typer
from rich.console import Console

from neurogloss.cli import collect, demo, doctor, index, label, run_config, search, show, similar, status
from neurogloss.errors import NeuroglossError

app = typer.Typer(
    help="Find out what the parts of a neural network respond to, in words you can trust.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
COMMANDS: tuple[Callable[..., int | None], ...] = (
    demo.demo,
    collect.collect,
    label.label,
    run_config.run,
    status.status,
    show.show,
    search.search,
    similar.similar,
    doctor.doctor,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(index.app, name="index")


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        code = app(list(arguments), prog_name="neurogloss", standalone_mode=False)
    except NeuroglossError as error:
        errors.print(f"neurogloss: {error}", markup=False)
        return 2
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        errors.print("Interrupted. What was finished is kept; the same command goes on from there.")
        return 130
    return code if isinstance(code, int) else 0
