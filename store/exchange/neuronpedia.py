"""Neuronpedia's batch folders, as its exports lie in the data set `neuronpedia-datasets/v1`.

    MODEL/SOURCE/model.jsonl, release.jsonl, sourceset.jsonl, source.jsonl      one object each
    MODEL/SOURCE/features/batch-0.jsonl.gz …                                    an object a unit
    MODEL/SOURCE/activations/batch-0.jsonl.gz …                                 an object a context of a unit
    MODEL/SOURCE/explanations/batch-0.jsonl.gz …                                an object an explanation

MODEL is the last part of the subject's name. SOURCE is the layer, a dash and a name of hookpoint and dictionary.
Neuronpedia has no negative sides: those of a signed dictionary are a source of their own, `SOURCE__negative`. The
unit's full name and its scores stand in an explanation's `notes`; that is how our own folders read back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictStr, ValidationError

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, content_id, layer_of
from neurogloss.records import Example, Explanation, Label
from neurogloss.store.exchange.files import gzipped, json_line, json_lines, new_folder, plain
from neurogloss.store.exchange.records import Entry, Found, Reading, distinct

CREATOR = "neurogloss"
BATCH = 128
"""Units a file."""
KINDS = ("features", "activations", "explanations")
FEATURE = ("maxActApprox", "frac_nonzero", "pos_str", "neg_str")
"""What of a feature goes along with its explanation."""


# --- writing --------------------------------------------------------------------------------------


def write(path: Path, entries: Iterable[Entry]) -> None:
    """A feature an entry, its contexts where there is evidence, and its explanation where it has one.

    Raises:
        UserError: `path` exists, or two dictionaries of a layer have names that are one to Neuronpedia.
    """
    with new_folder(path) as folder:
        sources: dict[Path, _Source] = {}
        for entry in entries:
            unit = entry.label.unit
            model, set_name, id = _names(unit)
            place = str(unit).rpartition("/")[0]
            own = folder / model / id
            source = sources.setdefault(own, _Source(own, model, set_name, id, place))
            if source.place != place:
                raise UserError(
                    f"Expected places that Neuronpedia can tell apart, found {source.place} and {place}, both "
                    f"{id} there. Export one at a time with --hookpoint or --dictionary."
                )
            source.add(entry)
        for source in sources.values():
            source.close()


def _names(unit: UnitId) -> tuple[str, str, str]:
    """Neuronpedia's names of model, source set and source."""
    layer = layer_of(unit.hookpoint)
    site = unit.hookpoint if layer is None else unit.hookpoint.partition(f".{layer}")[2]
    name = re.sub(r"[^a-z0-9]+", "-", f"{site or 'res'}-{unit.dictionary}".lower()).strip("-")
    set_name = f"{name}__negative" if unit.sign < 0 else name
    model = re.sub(r"[^\w.-]+", "-", unit.subject.rpartition("/")[2])
    return model, set_name, set_name if layer is None else f"{layer}-{set_name}"


class _Source:
    """One dictionary at one layer, and the batch that is being filled."""

    def __init__(self, folder: Path, model: str, set_name: str, id: str, place: str) -> None:
        self.folder, self.model, self.set_name, self.id, self.place = folder, model, set_name, id, place
        self._rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self._batches = 0

    def add(self, entry: Entry) -> None:
        unit, named = entry.label.unit, self._named(entry.label.unit)
        self._rows["features"].append({**named, **_feature(entry)})
        if entry.evidence:
            halves = (entry.evidence.explain, entry.evidence.score)
            for example in distinct(example for half in halves for example in (*half.top, *half.uniform)):
                id = content_id([str(unit), example.context.id])
                self._rows["activations"].append({"id": id, **named, **_activation(example)})
        if told := entry.label.explanation:
            self._rows["explanations"].append({"id": told.id, **named, **_explanation(entry.label, told)})
        if len(self._rows["features"]) == BATCH:
            self._flush()

    def close(self) -> None:
        """Write what is left, and what the source is."""
        self._flush()
        creator = {"creatorId": CREATOR, "creatorName": CREATOR}
        release = {"name": CREATOR, "description": "Labels by neurogloss", "descriptionShort": "neurogloss"}
        sourceset = {"modelId": self.model, "name": self.set_name, "description": self.place}
        about: dict[str, dict[str, Any]] = {
            "model": {"id": self.model, "displayName": self.model, "displayNameShort": self.model},
            "release": {**release, "urls": [], "creatorNameShort": CREATOR, **creator},
            "sourceset": {**sourceset, "releaseName": CREATOR, **creator},
            "source": {"id": self.id, "modelId": self.model, "setName": self.set_name, "creatorId": CREATOR},
        }
        for name, value in about.items():
            (self.folder / f"{name}.jsonl").write_bytes(json_line(value))

    def _named(self, unit: UnitId) -> dict[str, Any]:
        return {"modelId": self.model, "layer": self.id, "index": str(unit.index)}

    def _flush(self) -> None:
        for kind, rows in self._rows.items():
            if rows:
                path = self.folder / kind / f"batch-{self._batches}.jsonl.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "wb") as file, gzipped(file) as out:
                    out.writelines(json_line(plain(row)) for row in rows)
                rows.clear()
        self._batches += 1


def _feature(entry: Entry) -> dict[str, Any]:
    statistics, outputs = entry.statistics, entry.evidence and entry.evidence.output_tokens
    tokens = {"pos": outputs.promoted, "neg": outputs.suppressed} if outputs else {"pos": (), "neg": ()}
    return {
        "creatorId": CREATOR,
        "maxActApprox": statistics.maximum if statistics else 0.0,
        "hasVector": False,
        "vector": [],
        "hookName": entry.label.unit.hookpoint,
        # Neuronpedia counts tokens; a run of ours counts contexts.
        "frac_nonzero": statistics.density if statistics else 0.0,
        **{f"{end}_str": [token for token, _ in found] for end, found in tokens.items()},
        **{f"{end}_values": [logit for _, logit in found] for end, found in tokens.items()},
    }


def _activation(example: Example) -> dict[str, Any]:
    values = list(example.activations)
    return {
        "tokens": list(example.context.tokens),
        "values": values,
        "maxValue": example.peak,
        "maxValueTokenIndex": values.index(example.peak),
        "minValue": min(values),
        "creatorId": CREATOR,
        "dataSource": None,
        "dataIndex": example.context.id,
        **dict.fromkeys(
            ("binMin", "binMax", "binContains", "qualifyingTokenIndex", "dfaTargetIndex", "dfaMaxValue")
        ),
        "dfaValues": [],
        "lossValues": [],
        "logitContributions": None,
    }


def _explanation(label: Label, told: Explanation) -> dict[str, Any]:
    return {
        "description": told.text,
        "authorId": CREATOR,
        "typeName": label.method,
        "explanationModelName": str(told.provenance.get("explainer", "")),
        "notes": "; ".join([str(label.unit), label.state.value, *_scores(label)]),
    }


def _scores(label: Label) -> Iterator[str]:
    for score in label.scores:
        if score.score.defined:
            yield f"{score.scorer} {score.metric} {score.score.value:.3f} (floor {score.floor.value:.3f})"


# --- reading --------------------------------------------------------------------------------------


class _Named(BaseModel):
    model_config = ConfigDict(extra="allow")
    modelId: StrictStr
    layer: Annotated[StrictStr, Field(validation_alias=AliasChoices("layer", "source"))]
    """Exports call it layer, the client source."""
    index: Annotated[int, Field(ge=0)]
    """Exports have it as text, the API as a number."""

    @property
    def place(self) -> str:
        return f"{self.modelId}/{self.layer}"


Line = TypeVar("Line", bound=_Named)


class _Explanation(_Named):
    description: StrictStr
    typeName: StrictStr | None = None
    explanationModelName: StrictStr | None = None
    notes: StrictStr | None = None


class _Activation(_Named):
    tokens: list[StrictStr]
    values: list[float]


def read(path: Path) -> Reading:
    """Every explanation in the batches below `path`, with some of its feature's statistics.

    Each explainer and model together is a method. An explanation without a description is counted, not read.

    Raises:
        UserError: there are no explanations below `path`, or a line is none.
    """
    files = _batches(path, "explanations")
    if not files:
        raise UserError(
            f"Expected explanations/batch-0.jsonl or batch-0.jsonl.gz below {path}, found none. "
            "Give the folder of a model or a source."
        )
    beside = _batches(path, "features")
    features = {
        (line.place, line.index): {name: plain(values[name]) for name in FEATURE if name in values}
        for file in beside
        for _, values, line in _lines(file, _Named)
    }
    found, without = [], 0
    for file in files:
        for where, values, line in _lines(file, _Explanation):
            if not line.description.strip():
                without += 1
                continue
            source = {
                name: plain(value) for name, value in values.items() if name not in ("description", "embedding")
            }
            found.append(
                Found(
                    where,
                    line.description,
                    _ours(line),
                    line.place,
                    line.index,
                    " ".join(filter(None, (line.typeName, line.explanationModelName))),
                    source={**source, **features.get((line.place, line.index), {})},
                )
            )
    return Reading(tuple(found), (*files, *beside), without)


def read_activations(path: Path) -> Iterator[tuple[str, int, list[str], list[float]]]:
    """Place, index, tokens and activations of every context in the batches below `path`.

    `neurogloss.label_contexts` takes the tokens and activations of one unit.

    Raises:
        UserError: a line that is no activation, or has other numbers of tokens and of values.
    """
    for file in _batches(path, "activations"):
        for where, _, line in _lines(file, _Activation):
            if len(line.tokens) != len(line.values):
                raise UserError(
                    f"{where}: expected a value a token, found {len(line.values)} for {len(line.tokens)} tokens. "
                    "Mend that line."
                )
            yield line.place, line.index, line.tokens, line.values


def _batches(path: Path, kind: str) -> tuple[Path, ...]:
    found = (file for suffix in ("jsonl", "jsonl.gz") for file in path.rglob(f"batch-*.{suffix}"))
    return tuple(sorted(file for file in found if file.parent.name == kind))


def _lines(file: Path, kind: type[Line]) -> Iterator[tuple[str, dict[str, Any], Line]]:
    for where, values in json_lines(file):
        try:
            line = kind.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise UserError(
                f"{where}: expected a row of Neuronpedia's {file.parent.name}, found "
                f"{'.'.join(map(str, first['loc']))}: {first['msg']}. Mend that line; nothing was imported."
            ) from None
        yield where, values, line


def _ours(line: _Explanation) -> UnitId | None:
    """The unit as our own exports name it in the notes."""
    try:
        unit = UnitId.parse((line.notes or "").partition("; ")[0])
    except ValueError:
        return None
    return unit if unit.index == line.index else None
