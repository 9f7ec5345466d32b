"""neurogloss show"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from neurogloss.cli.options import DEFAULT_RUN, JsonOption, RunOption

if TYPE_CHECKING:
    from neurogloss.agent.run import Run
    from neurogloss.records import Evidence, Label

NEIGHBOURS = 3


def show(
    unit: Annotated[str, typer.Argument(help="Unit id, or the end of one.", metavar="UNIT")],
    run: RunOption = DEFAULT_RUN,
    contexts: Annotated[int, typer.Option(help="Contexts shown.", min=1)] = 6,
    json: JsonOption = False,
) -> None:
    """One unit: its contexts with shaded tokens, explanations, scores beside floors, neighbours."""
    import neurogloss as ng
    from neurogloss.cli import render

    opened = ng.open_run(run)
    label = opened.label(unit)
    evidence = opened.evidence(label.unit)
    if json:
        render.print_json([{"label": label, "candidates": opened.candidates(label), "evidence": evidence}])
        return
    show_unit(opened, label, evidence, contexts)


def show_unit(opened: Run, label: Label, evidence: Evidence, contexts: int) -> None:
    """Print one unit."""
    from neurogloss.cli import render

    out, statistics = render.console(), evidence.statistics
    out.rule(str(label.unit), align="left")
    words = label.explanation.text if label.explanation else label.reason
    out.print(f"[bold]{words}[/bold]  ({label.state.value})" if words else label.state.value)
    others = [candidate.text for candidate in opened.candidates(label)[1:4]]
    if others:
        out.print(f"other candidates: {' | '.join(others)}", style="dim", markup=False)
    if label.scores:
        out.print(render.scores_table(label.scores))
    out.print(
        f"active in {statistics.density:.1%} of {statistics.n_contexts:,} contexts "
        f"(above {statistics.threshold:.2f}); largest {statistics.maximum:.2f}; "
        f"peaks {render.bars(statistics.histogram)}"
    )
    if evidence.output_tokens:
        promoted = " ".join(repr(token) for token, _ in evidence.output_tokens.promoted[:8])
        out.print(f"promotes {promoted}", markup=False)
    for half, examples in (("explained from", evidence.explain.top), ("scored on", evidence.score.uniform)):
        out.print(f"\n{half}:", style="dim")
        for example in examples[:contexts]:
            out.print(f"{example.peak:6.2f}", end=" ")
            out.print(render.highlighted(example))
    if label.explanation:
        found = opened.search(label.explanation.text, NEIGHBOURS + 1)
        near = [hit for hit in found if hit.label.unit != label.unit][:NEIGHBOURS]
        out.print("\nneighbours by meaning:" if near else "", style="dim")
        for hit in near:
            text = hit.label.explanation.text if hit.label.explanation else ""
            out.print(f"  {hit.similarity:.2f}  {render.short(hit.label.unit)}  {text}", markup=False)
