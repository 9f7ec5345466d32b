"""A Hugging Face dataset: a folder with one Parquet file and a card that `datasets.load_dataset` reads.

README.md              the card: what the labels are, how they were made, what the columns mean
data/labels.parquet    Parquet (`neurogloss.store.exchange.tables`)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from neurogloss.store.exchange import columns, tables
from neurogloss.store.exchange.files import new_folder
from neurogloss.store.exchange.records import Entry

DATA = "data/labels.parquet"
HEAD = """---
pretty_name: {name}
tags: [interpretability, explanations, neurogloss]
size_categories: ["{size}"]
configs:
- config_name: default
  data_files: [{{split: train, path: {data}}}]
---
"""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write(path: Path, entries: Iterable[Entry]) -> None:
    """A row an entry. Raises UserError where `path` exists, MissingExtra without pyarrow."""
    told = _Told()
    with new_folder(path) as folder:
        tables.write_parquet(folder / DATA, told.of(entries))
        (folder / "README.md").write_text(_card(path.name, told), encoding="utf-8")


@dataclass
class _Told:
    """What the card says, gathered while the rows pass by."""

    places: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    methods: dict[str, str] = field(default_factory=dict)
    scores: dict[tuple[str, str, str], list[tuple[float, float]]] = field(default_factory=dict)

    def of(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for entry in entries:
            label = entry.label
            self.places[str(label.unit).rpartition("/")[0]] += 1
            self.states[label.state.value] += 1
            self.methods.setdefault(label.method, json.dumps(dict(entry.settings), indent=1, sort_keys=True))
            for score in label.scores:
                if score.score.defined and score.floor.defined:
                    measured = self.scores.setdefault((score.scorer, score.metric, score.judge), [])
                    measured.append((score.score.value, score.floor.value))
            yield entry


def _card(name: str, told: _Told) -> str:
    rows = sum(told.states.values())
    size = next((size for limit, size in SIZES if rows < limit), "n>1M")
    parts = [
        HEAD.format(name=json.dumps(name), size=size, data=DATA),
        f"# {name}\n",
        f"{rows} explanations in natural language of units of a model, made by neurogloss, each with its state "
        "and its scores. A score stands beside its floor: the same questions, answered for the explanations of "
        "other units.\n",
        _table("Units", ("subject/hookpoint/dictionary", "labels"), sorted(told.places.items())),
        _table("States", ("state", "labels"), sorted(told.states.items())),
        _table("Scores", ("scorer", "metric", "judge", "labels", "mean score", "mean floor"), _means(told)),
        f"## Columns\n\nVersion {columns.VERSION}: {', '.join(f'`{column}`' for column in columns.NAMES)}. `text` "
        "is null where a unit has no explanation, and `reason` says why. Undefined numbers are null. `provenance` "
        "and `settings` are JSON.\n",
        *(f"## Method {method}\n\n```json\n{settings}\n```\n" for method, settings in told.methods.items()),
    ]
    return "\n".join(part for part in parts if part)


def _means(told: _Told) -> list[tuple[object, ...]]:
    return [
        (*key, len(pairs), *(f"{sum(column) / len(pairs):.3f}" for column in zip(*pairs, strict=True)))
        for key, pairs in sorted(told.scores.items())
    ]


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    cells = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([f"## {title}\n", *cells, ""]) if len(cells) > 2 else ""
