"""neurogloss show"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import neurogloss as ng
from neurogloss.cli import render, units
from neurogloss.cli.options import DEFAULT_RUN, JsonOption, RunOption
from neurogloss.cli.render import visible
from neurogloss.records import Evidence, Facet, Label

NEIGHBOURS = 3
CUT = 1200
"""Characters of a message to print."""


def show(
    unit: Annotated[str, typer.Argument(help="Unit id or its end, 803-, 14/sae-0/7.", metavar="UNIT")],
    run: RunOption = DEFAULT_RUN,
    contexts: Annotated[int, typer.Option(help="Contexts to show.", min=1)] = 6,
    trace: Annotated[
        bool, typer.Option("--trace", help="Show how the explanation was produced, step by step.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show one unit: contexts with shaded tokens, explanations, scores with their floors, and neighbours."""
    opened = ng.open_run(run)
    label = opened.label(units.find(opened, unit))
    if trace:
        steps = opened.trace(label)
        if json:
            render.print_json(steps)
        else:
            print_trace(render.console(), steps)
        return
    collected = opened.folder.cache.is_dir()
    evidence = opened.evidence(label.unit) if collected else None
    if json:
        coactive = opened.coactive(label.unit, NEIGHBOURS) if collected else ()
        others = opened.candidates(label)
        render.print_json([{"label": label, "candidates": others, "evidence": evidence, "coactive": coactive}])
    else:
        show_unit(opened, label, evidence, contexts)


def show_unit(opened: ng.Run, label: Label, evidence: Evidence | None, contexts: int) -> None:
    """Print one unit. An imported run has no evidence, and only the label is printed."""

    out = render.console()
    out.print(f"{label.unit}", style="bold cyan", soft_wrap=True)
    words = render.words(label)
    words.stylize("bold")
    out.print(words + Text.assemble("  (" if words else "(", render.state_text(label.state), ")"))
    if label.explanation and label.explanation.facets:
        _facets(out, label.explanation.facets)
    others = [candidate.text for candidate in opened.candidates(label)[1:4]]
    if others:
        out.print(visible(f"other candidates: {' | '.join(others)}"), style="dim")
    if label.scores:
        out.print()
        out.print(render.scores_table(label.scores))
        out.print()
    if evidence:
        _evidence(out, evidence, contexts)
        _coactive(out, opened, label)
    if label.explanation:
        _neighbours(out, opened, label, label.explanation.text)


def _facets(out: Console, facets: Sequence[Facet]) -> None:
    """Print each facet with its share of the activation, and the share that none explains."""

    for facet in facets:
        out.print(f"  {facet.share:4.0%}  {visible(facet.text)}", soft_wrap=True)
    rest = 1 - sum(facet.share for facet in facets)
    if rest >= 0.005:
        out.print(f"  {rest:4.0%}  not explained", style="dim")


def _evidence(out: Console, evidence: Evidence, contexts: int) -> None:

    _statistics(out, evidence)
    marked = out.color_system is None or out.no_color
    for half, examples in (("explained from", evidence.explain.top), ("scored on", evidence.score.uniform)):
        if examples:
            out.print(f"\n{half}:", style="dim")
            out.print(render.contexts_table(examples[:contexts], marked))


def _statistics(out: Console, evidence: Evidence) -> None:

    statistics = evidence.statistics
    peaks = render.bars(statistics.histogram)
    out.print(
        f"active in {statistics.density:.1%} of {statistics.n_contexts:,} contexts "
        f"(above {statistics.threshold:.2f}); largest {statistics.maximum:.2f}{'; peaks ' if peaks else ''}{peaks}"
    )
    if evidence.output_tokens:
        promoted = " ".join(repr(token) for token, _ in evidence.output_tokens.promoted[:8])
        out.print(f"promotes {promoted}; kurtosis {render.number(evidence.output_tokens.kurtosis)}")


def _coactive(out: Console, opened: ng.Run, label: Label) -> None:

    found = opened.coactive(label.unit, NEIGHBOURS)
    if not found:
        return
    named = units.names([label.unit, *(other.unit for other in found)])
    table = Table.grid(padding=(0, 1))
    for other in found:
        overlap = f" {render.number(other.jaccard)} ± {render.number(other.error)}"
        table.add_row(overlap, named.of(other.unit))
    out.print("\nfires in the same contexts (share of those of either):", style="dim")
    out.print(table)


def _neighbours(out: Console, opened: ng.Run, label: Label, text: str) -> None:

    try:
        found = opened.search(text, NEIGHBOURS + 1)
    except ng.UserError as error:
        # Everything else has been shown, so a missing index is no reason to fail.
        out.print(f"\nno neighbours: {error}", style="dim", soft_wrap=True)
        return
    near = [hit for hit in found if hit.label.unit != label.unit][:NEIGHBOURS]
    if not near:
        return
    named = units.names([label.unit, *(hit.label.unit for hit in near)])
    table = Table.grid(padding=(0, 1))
    for hit in near:
        table.add_row(f" {render.number(hit.similarity)}", named.of(hit.label.unit), render.words(hit.label))
    out.print("\nneighbours by meaning:", style="dim")
    out.print(table)


def print_trace(out: Console, steps: Sequence[Mapping[str, Any]]) -> None:
    """Print each node's findings, requests and answers. Instructions that repeat are left out."""
    seen: set[str] = set()
    for number, step in enumerate(steps, 1):
        out.print(f"\n{number}. {step['node']}", style="bold")
        for name, value in step["facts"].items():
            _print_fact(out, name, value)
        for call in step["calls"]:
            _print_call(out, call, seen)


def _print_fact(out: Console, name: str, value: Any) -> None:
    if not isinstance(value, list):
        out.print(f"   {name}: {visible(str(value))}", soft_wrap=True)
        return
    out.print(f"   {name}:" if value else f"   {name}: none")
    for item in value:
        line = ", ".join(f"{k} {v}" for k, v in item.items()) if isinstance(item, Mapping) else str(item)
        out.print(f"     - {visible(line)}", soft_wrap=True)


def _print_call(out: Console, call: Mapping[str, Any], seen: set[str]) -> None:
    tokens = f"{call['prompt_tokens']} + {call['completion_tokens']} tokens"
    out.print(f"   request ({tokens})", style="dim")
    for role, content in call["messages"]:
        if content not in seen:
            seen.add(content)
            _print_message(out, role, content)
    answer = call["answer"] if call["failure"] is None else f"{call['failure']}: {call['answer']}"
    out.print(Text(f"     → {visible(answer)}", style="green" if call["failure"] is None else "yellow"))


def _print_message(out: Console, role: str, content: str) -> None:
    more = f" … ({len(content) - CUT} characters more)" if len(content) > CUT else ""
    text = content[:CUT] + more
    for i, line in enumerate(text.splitlines()):
        out.print(
            f"     {role + ':' if not i else ' ' * (len(role) + 1)} {visible(line)}", style="dim", soft_wrap=True
        )
