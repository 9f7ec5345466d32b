"""The formats by name."""

from __future__ import annotations

from neurogloss.errors import UserError
from neurogloss.store.exchange import circuit_tracer, dataset, delphi, neuronpedia, tables
from neurogloss.store.exchange.records import Format, Read, Write

FORMATS: dict[str, Format] = {
    "jsonl": Format(tables.write_jsonl, tables.read_jsonl),
    "parquet": Format(tables.write_parquet, tables.read_parquet),
    "dataset": Format(dataset.write),
    "neuronpedia": Format(neuronpedia.write, neuronpedia.read, contexts=True),
    "circuit-tracer": Format(circuit_tracer.write, contexts=True),
    "delphi": Format(read=delphi.read),
}


def writer(name: str) -> tuple[Write, bool]:
    """What writes the format, and whether it wants evidence. Raises UserError where nothing does."""
    chosen = FORMATS.get(name)
    if chosen is None or chosen.write is None:
        raise _unknown(name, "written", [key for key, value in FORMATS.items() if value.write])
    return chosen.write, chosen.contexts


def reader(name: str) -> Read:
    """What reads the format. Raises UserError where nothing does."""
    chosen = FORMATS.get(name)
    if chosen is None or chosen.read is None:
        raise _unknown(name, "read", [key for key, value in FORMATS.items() if value.read])
    return chosen.read


def _unknown(name: str, done: str, known: list[str]) -> UserError:
    return UserError(
        f"Expected a format that can be {done} ({', '.join(known)}), found {name!r}. Name one of those."
    )
