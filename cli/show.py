"""neurogloss show"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from neurogloss.cli import render, units
from neurogloss.cli.options import DEFAULT_RUN, JsonOption, RunOption
from neurogloss.cli.text import visible
from neurogloss.cli.trace import print_trace
from neurogloss.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from neurogloss.records import Evidence, Facet, Label
    from neurogloss.runs.run import Run

NEIGHBOURS = 3


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
    import neurogloss as ng

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
        shown = {
            "label": label,
            "candidates": opened.candidates(label),
            "evidence": evidence,
            "coactive": coactive,
        }
        render.print_json([shown])
        return
    show_unit(opened, label, evidence, contexts)


def show_unit(opened: Run, label: Label, evidence: Evidence | None, contexts: int) -> None:
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


def _coactive(out: Console, opened: Run, label: Label) -> None:

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


def _neighbours(out: Console, opened: Run, label: Label, text: str) -> None:

    try:
        found = opened.search(text, NEIGHBOURS + 1)
    except UserError as error:
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
