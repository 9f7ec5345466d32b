"""neurogloss plan"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from neurogloss.cli.options import JsonOption, RunArgument

if TYPE_CHECKING:
    from neurogloss.runs.forecast import Forecast


def plan(
    run: RunArgument,
    units: Annotated[int, typer.Option(min=1, help="How many there would be.")],
    tokens: Annotated[int, typer.Option(min=1, help="Of the corpus.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes that read and label; a GPU each.")] = 1,
    read_rate: Annotated[float, typer.Option(help="Tokens a second a worker, as collect says.")] = 1_000,
    servers: Annotated[int, typer.Option(min=1, help="Of the LLM.")] = 1,
    llm_rate: Annotated[float, typer.Option(help="Tokens a second a server, as label says.")] = 1_000,
    request_rate: Annotated[
        float, typer.Option(help="Requests a second a labelling process keeps up with.")
    ] = 1_800,
    memory: Annotated[float, typer.Option(help="Gigabytes of a worker for sketches.")] = 16,
    prompt_price: Annotated[float, typer.Option(help="Money per million prompt tokens.")] = 0,
    completion_price: Annotated[float, typer.Option(help="Money per million tokens of answers.")] = 0,
    json: JsonOption = False,
) -> None:
    """What a large run would take, judged by a small one like it: hours, tokens, gigabytes, and the bottleneck.

    RUN was collected and labelled as the large one will be, with few units.
    """
    from dataclasses import asdict

    from neurogloss.accounts import Prices
    from neurogloss.cli import render
    from neurogloss.runs.forecast import Cluster, forecast

    cluster = Cluster(workers, servers, read_rate, llm_rate, request_rate, memory * 1e9)
    found = forecast(run, units, tokens, cluster, Prices(prompt_price, completion_price))
    if json:
        hours = {stage.name: stage.hours for stage in (found.collecting, *found.labelling)}
        render.print_json([{**asdict(found), "stage_hours": hours}])
    else:
        _tell(found)


def _tell(found: Forecast) -> None:
    from neurogloss.cli import render

    table = render.new_table(f"{found.units:,} units, {found.tokens:,} tokens")
    for heading in ("stage", "amount", "a second", "hours"):
        table.add_column(heading, justify="left" if heading == "stage" else "right", no_wrap=True)
    for stage in (found.collecting, *found.labelling):
        table.add_row(
            stage.name, f"{stage.amount:,.0f} {stage.unit}", f"{stage.rate:,.0f}", render.hours(stage.hours)
        )
    out = render.console()
    out.print(table)
    passes = f" in {found.passes} passes" if found.passes > 1 else ""
    out.print(f"{render.hours(found.hours)} hours{passes}; the bottleneck is {found.bottleneck}.", soft_wrap=True)
    disk = [f"cache {found.cache_bytes / 1e9:,.1f} GB"]
    if found.labelling:
        out.print(render.usage_text(found.usage, found.cost), soft_wrap=True)
        disk += [f"ledger {found.ledger_bytes / 1e9:,.1f} GB", f"index {found.index_bytes / 1e9:,.1f} GB"]
    else:
        out.print(
            "The run has no labels that a server was asked for: label some of its units with --llm.",
            soft_wrap=True,
        )
    out.print(", ".join(disk))
