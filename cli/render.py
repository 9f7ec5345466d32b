"""Records as people read them (Rich) and as programs do (JSON)."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from neurogloss.ids import UnitId
from neurogloss.records import Example, Interval, Label, Score, State

BLOCKS = " ▁▂▃▄▅▆▇█"
STATE_STYLES = {State.ACCEPTED: "green", State.REJECTED: "dim", State.EXPLAINED: "cyan"}
SHADES = ("", "on grey23", "on orange4", "on dark_orange3", "bold black on orange1")
"""Background of a token by its share of the peak."""


def console() -> Console:
    """Where results go: stdout."""
    return Console(highlight=False)


def plain(value: Any) -> Any:
    """Any record as JSON: unit ids as text, NaN as null."""
    if isinstance(value, UnitId):
        return str(value)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value


def print_json(rows: Iterable[Any]) -> None:
    """One JSON object a line."""
    out = console()
    for row in rows:
        out.print(json.dumps(plain(row), ensure_ascii=False), markup=False, soft_wrap=True)


def short(unit: UnitId) -> str:
    """Hookpoint, index and sign, which tell units of one run apart."""
    return f"{unit.hookpoint}/{unit.dictionary}/{unit.index}{'-' if unit.sign < 0 else ''}"


def number(value: float) -> str:
    """Two digits; an en dash where it is undefined."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def interval(value: Interval) -> str:
    """`0.61 [0.52, 0.70]`."""
    if not value.defined:
        return "–"
    return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]"


def score_cell(score: Score | None) -> Text:
    """Score and floor, `0.61 / 0.50`; bold where the interval of their difference lies above zero."""
    if score is None:
        return Text("–", style="dim")
    above = score.excess.defined and score.excess.low > 0
    cell = Text(number(score.score.value), style="bold" if above else "")
    return cell + Text(f" / {number(score.floor.value)}", style="dim")


def labels_table(labels: Sequence[Label], title: str = "", similarities: Sequence[float] = ()) -> Table:
    """A row a unit: similarity where given, explanation, each score beside its floor, state."""
    names = list(dict.fromkeys(score.scorer for label in labels for score in label.scores))
    table = Table(title=title or None, title_justify="left", expand=True)
    if similarities:
        table.add_column("similar", justify="right", no_wrap=True)
    table.add_column("unit", overflow="fold", ratio=4)
    table.add_column("explanation", overflow="fold", ratio=5)
    for name in names:
        table.add_column(f"{name}\n/ floor", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for i, label in enumerate(labels):
        near = [number(similarities[i])] if similarities else []
        scores = {score.scorer: score for score in label.scores}
        state = Text(label.state.value, style=STATE_STYLES.get(label.state, "yellow"))
        words = Text(label.explanation.text if label.explanation else label.reason)
        table.add_row(*near, short(label.unit), words, *(score_cell(scores.get(name)) for name in names), state)
    return table


def scores_table(scores: Sequence[Score]) -> Table:
    """A row a scorer: score and floor with their intervals, their difference, how many were asked."""
    table = Table(
        "scorer", "AUROC", "floor", "above its floor", "p", "questions", "failures", title_justify="left"
    )
    for score in scores:
        failed = ", ".join(f"{n} {kind}" for kind, n in score.failures.items()) or "0"
        table.add_row(
            score.scorer,
            interval(score.score),
            interval(score.floor),
            interval(score.excess),
            "–" if math.isnan(score.p_value) else f"{score.p_value:.3f}",
            str(score.n_questions),
            failed,
        )
    return table


def highlighted(example: Example) -> Text:
    """The context on one line, each token shaded by its activation."""
    line = Text()
    for token, activation in zip(example.context.tokens, example.activations, strict=True):
        share = activation / example.peak if example.peak > 0 else 0.0
        shade = SHADES[min(len(SHADES) - 1, int(share * len(SHADES)))]
        line.append(" ".join(token.split("\n")) if "\n" in token else token, style=shade)
    return line


def bars(counts: Sequence[int]) -> str:
    """A histogram as one line of blocks, without the empty bins at both ends."""
    filled = [i for i, count in enumerate(counts) if count]
    if not filled:
        return ""
    inner = counts[filled[0] : filled[-1] + 1]
    return "".join(BLOCKS[math.ceil(8 * count / max(inner))] for count in inner)
