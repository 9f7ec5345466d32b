"""Prints records: Rich tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

import neurogloss as ng
from neurogloss.accounts import Usage
from neurogloss.cli.units import names
from neurogloss.ids import UnitId
from neurogloss.records import Example, Label, Score, State
from neurogloss.wording import chance as chance
from neurogloss.wording import interval as interval
from neurogloss.wording import number as number

BLOCKS = " ▁▂▃▄▅▆▇█"
STATE_STYLES = {State.ACCEPTED: "green", State.REJECTED: "dim", State.EXPLAINED: "cyan"}
SHADES = ("", "white on grey27", "white on orange4", "black on dark_orange3", "bold black on orange1")
"""Styles of a token by its share of the peak."""
MARKS = ("«", "»")
"""Signs around active tokens, for output without colour."""
CELLS = 4
"""Cells of an image to name at most."""
# Control characters move the cursor, change colours and more; the last ones turn the direction of a line.
_CONTROLS = re.compile("\r\n|[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SIGNS = {"\n": "⏎", "\r": "⏎", "\r\n": "⏎", "\t": " ", "\x7f": "␡", "\u2028": "⏎", "\u2029": "⏎"}


def visible(text: str) -> str:
    """Put the text on one line, with one sign per control character: ⏎ for a line break, a space for a tab."""
    return _CONTROLS.sub(_sign, text)


def _sign(found: re.Match[str]) -> str:
    control = found.group()
    # U+2400 and on are pictures of the control characters below U+0020.
    return _SIGNS.get(control) or (chr(0x2400 + ord(control)) if control < "\x20" else "\ufffd")


def console() -> Console:
    """Console on stdout, for results. It prints text as it is: square brackets are not markup."""
    return Console(highlight=False, markup=False, emoji=False)


def plain(value: Any) -> Any:
    """Convert any record to JSON values: unit ids to text, NaN and infinities to null."""
    if isinstance(value, UnitId):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value


def print_json(rows: Iterable[Any]) -> None:
    """Print one JSON object per line, in ASCII."""
    out = console()
    for row in rows:
        out.out(json.dumps(plain(row)), highlight=False)


def tell(json: bool, rows: Iterable[Any], *told: Table | Text | str) -> None:
    """Print rows for programs, or texts and tables for people."""
    if json:
        print_json(rows)
        return
    for each in told:
        console().print(each, soft_wrap=not isinstance(each, Table))


def beside_floor(score: float, floor: float, style: str = "") -> Text:
    """`0.61/0.50`, with the floor dimmed."""
    return Text.assemble((number(score), style), (f"/{number(floor)}", "dim"))


def score_cell(score: Score | None) -> Text:
    """Score and floor, bold if the interval of their difference lies above zero."""
    if score is None:
        return Text("–", style="dim")
    above = score.excess.defined and score.excess.low > 0
    return beside_floor(score.score.value, score.floor.value, "bold" if above else "")


def state_text(state: State) -> Text:
    """The state in words."""
    return Text(state.value.replace("_", " "), style=STATE_STYLES.get(state, "yellow"))


def words(label: Label) -> Text:
    """The explanation, or the reason that it is missing."""
    return Text(visible(label.explanation.text if label.explanation else label.reason))


def figures(heading: str) -> Column:
    """A column of numbers."""
    return Column(heading, justify="right", no_wrap=True)


def new_table(title: str = "", caption: str = "", headings: Iterable[str | Column] = ()) -> Table:
    """A table without lines between columns, which folds its cells to fit 80 characters."""
    return Table(
        *(Column(each, overflow="fold", no_wrap=not each) if isinstance(each, str) else each for each in headings),
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=Text(visible(title)) if title else None,
        caption=Text(visible(caption)) if caption else None,
        title_justify="left",
        caption_justify="left",
    )


def labels_table(labels: Sequence[Label], title: str = "", similarities: Sequence[float] = ()) -> Table:
    """One row per unit: similarity if given, explanation, each score with its floor, and state."""
    scorers = list(dict.fromkeys(score.scorer for label in labels for score in label.scores))
    named = names(label.unit for label in labels)
    near = [figures("near")] if similarities else []
    longest = max((len(word) for label in labels for word in label.state.value.split("_")), default=0)
    last = Column("state", width=max(longest, len("state")))
    columns = [*near, Column("unit", overflow="fold"), Column("explanation", overflow="fold")]
    columns += [*(figures(f"{each}\n/floor") for each in scorers), last]
    table = new_table(title, f"units of {named.common}" if labels else "", columns)
    for i, label in enumerate(labels):
        shown = [number(similarities[i])] if similarities else []
        scores = {score.scorer: score for score in label.scores}
        cells = [score_cell(scores.get(scorer)) for scorer in scorers]
        table.add_row(*shown, named.of(label.unit), words(label), *cells, state_text(label.state))
    return table


def scores_table(scores: Sequence[Score]) -> Table:
    """One row per scorer: score, floor, their difference, and the questions asked and not answered."""
    headings = ("scorer", "metric", "score", "floor", "above its floor", "p", "asked")
    failed = [", ".join(f"{n} {kind}" for kind, n in score.failures.items()) for score in scores]
    unanswered = ["unanswered"] if any(failed) else []
    table = new_table(headings=[*(Column(each, no_wrap=True) for each in headings), *unanswered])
    for score, failures in zip(scores, failed, strict=True):
        table.add_row(
            score.scorer,
            score.metric.replace("_", " "),
            interval(score.score),
            number(score.floor.value),
            interval(score.excess),
            chance(score.p_value),
            str(score.n_questions),
            *([failures or "0"] if any(failed) else []),
        )
    return table


def contexts_table(examples: Sequence[Example], marked: bool) -> Table:
    """One row per context: its peak, and its text with active tokens shaded, or an image's path and cells."""
    table = Table.grid(figures(""), Column(overflow="fold"), padding=(0, 1))
    for example in examples:
        shown = highlighted(example, marked) if example.grid is None else image(example, example.grid)
        table.add_row(number(example.peak), shown)
    return table


def image(example: Example, grid: tuple[int, int]) -> Text:
    """The image's path, its caption, and its most active cells as row and column from 1."""
    line = Text(visible(example.context.picture))
    if example.context.text:
        line.append(f"  {visible(example.context.text)}", style="dim")
    best = sorted(example.active_positions(), key=lambda i: -example.activations[i])[:CELLS]
    if len(example.activations) > 1 and best:
        cells = ", ".join(f"{i // grid[1] + 1}|{i % grid[1] + 1} {number(example.activations[i])}" for i in best)
        line.append(f"  cells of {grid[0]} x {grid[1]}: {cells}", style="cyan")
    return line


def highlighted(example: Example, marked: bool = False) -> Text:
    """One line with the context's tokens, each shaded by its activation.

    With `marked` the active tokens stand between « and » as well, for output without colours.
    """
    active = set(example.active_positions()) if marked else set()
    line = Text()
    for i, (token, activation) in enumerate(zip(example.context.tokens, example.activations, strict=True)):
        share = max(activation / example.peak, 0.0) if example.peak > 0 else 0.0
        opening = MARKS[0] if i in active and i - 1 not in active else ""
        closing = MARKS[1] if i in active and i + 1 not in active else ""
        shade = SHADES[min(len(SHADES) - 1, int(share * len(SHADES)))]
        line.append(opening).append(visible(token), style=shade).append(closing)
    return line


def usage_text(usage: Usage, cost: float = 0.0) -> str:
    """One line with requests and tokens, and the cost if prices are set."""
    shares = []
    if usage.cached_tokens:
        shares.append(f"{usage.cached_tokens / usage.prompt_tokens:.0%} of them computed before")
    text = (
        f"{usage.requests:,} requests, {usage.prompt_tokens:,} prompt tokens"
        f"{f' ({shares[0]})' if shares else ''}, {usage.completion_tokens:,} of answers"
    )
    if usage.stored:
        text += f"; {usage.stored:,} requests answered before"
    return f"{text}; costs {cost:,.2f}" if cost else text


def plan_text(plan: ng.results.Plan) -> str:
    """One sentence with the estimate."""
    time = f"about {_duration(plan.seconds)}"
    seen = f", {plan.pictures:,} pictures" if plan.pictures else ""
    return (
        f"{plan.units:,} units to label, estimated from {plan.sampled}: "
        f"{usage_text(plan.usage, plan.cost)}{seen}; {time}."
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def bars(counts: Sequence[int]) -> str:
    """A histogram as one line of blocks, without the empty bins at both ends."""
    filled = [i for i, count in enumerate(counts) if count]
    if not filled:
        return ""
    inner = counts[filled[0] : filled[-1] + 1]
    return "".join(BLOCKS[math.ceil(8 * count / max(inner))] for count in inner)
