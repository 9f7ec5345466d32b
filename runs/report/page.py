"""Writes an HTML report: scores, plots, and the best, middle and worst units with their contexts."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from neurogloss.errors import UserError
from neurogloss.folder import replace_file
from neurogloss.prompts.pictures import draw
from neurogloss.records import Example, Label
from neurogloss.runs.report import figures
from neurogloss.runs.report.numbers import Numbers, key_of
from neurogloss.runs.run import Run, open_run
from neurogloss.scorers.summary import ScorerSummary, compare
from neurogloss.wording import chance, interval, number

CONTEXTS = 4
"""Held-out contexts shown per unit."""


@dataclass(frozen=True)
class Shown:
    """A unit on the page."""

    label: Label
    examples: tuple[Example, ...]


def report(
    run: str | Path,
    out: str | Path | None = None,
    *,
    method: str | None = None,
    units: int = 4,
    floor_run: str | Path | None = None,
) -> Path:
    """Write a self-contained HTML page about a run.

    Args:
        out: the file to write or replace. Defaults to `report.html` in the run folder.
        method: the newest by default.
        units: how many of the best, middle and worst labels to show, by score minus floor.
        floor_run: a run with nothing to explain, such as one on a randomised dictionary, labelled and scored the
            same way. The page compares its newest method's scores with these.

    Returns:
        The path of the page.

    Raises:
        UserError: the run, the method or its scores do not exist, or the floor run has no scores by these scorers.
        MissingExtra: matplotlib is not installed.
    """
    opened = open_run(run)
    path = Path(out) if out else opened.folder.path / "report.html"
    chosen, explainer = _method(opened, method)
    numbers = Numbers.of(_with_densities(opened, chosen))
    if not numbers.scores:
        raise UserError(f"Expected scores under {chosen} in {opened.folder.path}, found none. Score it first.")
    beside = _floor_run(open_run(floor_run), numbers) if floor_run else None
    scorers = numbers.scorers(beside.numbers if beside else None)
    html = _template().render(
        run=opened.folder.name,
        method=chosen,
        explainer=explainer,
        tokens=_corpus(opened),
        states=[(state.value.replace("_", " "), n) for state, n in sorted(numbers.states.items())],
        scorers=[scorer.summary for scorer in scorers],
        beside=beside,
        comparisons=[
            (s.summary, compare(s.values[:, 0].tolist(), s.others.tolist())) for s in scorers if len(s.others)
        ],
        pictures=[
            # Safe as markup: drawn here from numbers and scorer names, without text of a corpus or a model.
            ("Distributions", Markup(figures.distributions(scorers))),
            ("Score against density", Markup(figures.densities(scorers))),
            ("Recall by strength", Markup(figures.recalls(scorers))),
        ],
        agreement=numbers.agreement().tolist(),
        usage=[(stage, used) for stage, used in opened.usage(chosen).items() if used.requests or used.stored],
        chosen=list(_chosen(opened, chosen, scorers[0].summary, units)),
    )
    replace_file(path, html.encode())
    return path


@dataclass(frozen=True)
class Beside:
    """A floor run."""

    name: str
    method: str
    explainer: str
    numbers: Numbers


def _floor_run(run: Run, numbers: Numbers) -> Beside:
    method, explainer = _method(run, None)
    found = Numbers.of(_with_densities(run, method))
    if found.scores.keys().isdisjoint(numbers.scores):
        raise UserError(
            f"Expected scores of {_listed(numbers)} in {run.folder.path}, found {_listed(found) or 'none'}. "
            "Label it with the same scorers."
        )
    return Beside(run.folder.name, method, explainer, found)


def _listed(numbers: Numbers) -> str:
    return ", ".join(f"{scorer} ({metric})" for scorer, metric in sorted(numbers.scores))


def _method(run: Run, method: str | None) -> tuple[str, str]:
    """The method, by default the newest, and its explainer."""
    with run.ledger() as ledger:
        chosen = ledger.method(method)
        return chosen, _words(ledger.methods()[chosen].get("explainer", {}))


def _with_densities(run: Run, method: str) -> Iterator[tuple[Label, float]]:
    with run.ledger() as ledger:
        for label in ledger.labels(method):
            statistics = ledger.statistics(label.unit)
            yield label, statistics.density if statistics else math.nan


def _chosen(run: Run, method: str, by: ScorerSummary, n: int) -> Iterator[tuple[str, list[Shown]]]:
    """The best, middle and worst labels by the scorer's excess, each label once."""
    ranked = sorted(
        (-score.excess.value, str(label.unit))
        for label in run.labels(method=method)
        for score in label.scores
        if key_of(score) == (by.scorer, by.metric) and score.excess.defined
    )
    units = [unit for _, unit in ranked]
    best, rest = units[:n], units[n:]
    worst, rest = (rest[-n:], rest[:-n]) if n else ([], rest)
    start = max(0, (len(rest) - n) // 2)
    for title, some in (("Best", best), ("Middle", rest[start : start + n]), ("Worst", worst)):
        yield f"{title} by {by.scorer}", [_shown(run, unit, method) for unit in some]


def _shown(run: Run, unit: str, method: str) -> Shown:
    label = run.label(unit, method)
    examples = run.evidence(unit).score.uniform if run.folder.cache.is_dir() else ()
    # Sorted by strength: the strongest, then weaker ones at even steps.
    step = max(1, len(examples) // CONTEXTS)
    return Shown(label, tuple(examples[::step][:CONTEXTS]))


def _corpus(run: Run) -> str:
    if not run.folder.cache.is_dir():
        return "imported labels"
    counts, measure = run.cache.manifest["counts"], run.cache.measure
    return f"{counts[measure]:,} {measure} of {counts['documents']:,} documents"


def _words(explainer: object) -> str:
    """The explainer in words, from the method's settings."""
    if not isinstance(explainer, dict):
        return str(explainer)
    return ", ".join(str(explainer[key]) for key in ("explainer", "name", "view", "model") if explainer.get(key))


def _template() -> Template:
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        interval=interval, number=number, probability=chance, shades=_shades, picture=_picture
    )
    return environment.from_string(files("neurogloss.runs.report").joinpath("page.html").read_text("utf-8"))


def _picture(example: Example) -> str:
    """The image as a data URI, with the active patches outlined."""
    data = draw(example.context.picture, example.active_positions(), example.grid)
    return f"data:image/jpeg;base64,{b64encode(data).decode()}"


def _shades(example: Example) -> Sequence[tuple[str, float]]:
    """Each token with its activation as a share of the peak, in tenths."""
    peak = example.peak
    return [
        (token, round(max(value, 0.0) / peak, 1) if peak > 0 else 0.0)
        for token, value in zip(example.context.tokens, example.activations, strict=True)
    ]
