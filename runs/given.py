"""From texts and activations that another pipeline has to the evidence of a unit."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Sequence, Sized
from typing import SupportsIndex

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, hash64
from neurogloss.records import Context, Evidence, EvidenceHalf, Example, UnitStatistics

Text = str | Sequence[str]
"""A text, or a text as its tokens."""
Activation = float | Iterable[float]
"""One number for the text, or one for each of its tokens (of its words, where it is a str)."""
UnitName = str | SupportsIndex
"""A unit's name as `subject/hookpoint/dictionary/index`, or its index alone."""

GIVEN = "own/contexts/given"
"""Subject, hookpoint and dictionary of a unit that is named by its index alone."""


def evidence_of(
    texts: Sequence[Text], activations: Sequence[Activation], unit: UnitName, threshold: float, seed: int
) -> Evidence:
    """A unit's evidence, its texts split into two halves by their hash and `seed`.

    A text is active where its largest activation exceeds `threshold`.

    Raises:
        UserError: texts and activations that do not fit together, or a name that is none.
    """
    try:
        name = UnitId.parse(unit if isinstance(unit, str) else f"{GIVEN}/{operator.index(unit)}")
    except ValueError as error:
        raise UserError(f"{error}.") from None
    except TypeError:
        raise UserError(f"Expected a unit's name or index, found {unit!r}.") from None
    examples = _examples(texts, activations)
    explain, score = (_half(examples, which, threshold, seed) for which in (0, 1))
    return Evidence(name, _statistics(examples, threshold), explain, score)


def _examples(texts: Sequence[Text], activations: Sequence[Activation]) -> list[Example]:
    if isinstance(texts, str) or not (isinstance(texts, Sized) and isinstance(activations, Sized)):
        raise UserError(f"Expected texts and activations, found {texts!r:.60} and {activations!r:.60}.")
    if len(texts) != len(activations) or not len(texts):
        raise UserError(
            f"Expected as many activations as texts, and some; found {len(texts)} texts and {len(activations)} "
            "activations."
        )
    found: dict[str, Example] = {}
    for i, (text, values) in enumerate(zip(texts, activations, strict=True)):
        example = _example(i, text, values)
        found.setdefault(example.context.text, example)
    return list(found.values())


def _example(i: int, text: Text, values: Activation) -> Example:
    # Rows of numpy and torch are iterable, and no Sequence.
    try:
        tokens = tuple(re.findall(r"\s*\S+|\s+$", text) if isinstance(text, str) else text)
        joined = "".join(tokens)
        given = tuple(map(float, values)) if isinstance(values, Iterable) else (float(values),) * len(tokens)
    except (TypeError, ValueError):
        raise UserError(
            f"Text {i} is {text!r:.60} with the activation {values!r:.60}. Give a text or its tokens, and numbers."
        ) from None
    if len(given) != len(tokens) or not tokens:
        raise UserError(
            f"Text {i} has {len(tokens)} {'words' if isinstance(text, str) else 'tokens'} and {len(given)} "
            "activations. Give one activation a token, or one number for the whole text."
        )
    if not all(map(math.isfinite, given)):
        raise UserError(f"Text {i} has an activation that is not finite. Leave the text out, or mend it.")
    return Example(Context(f"{hash64(joined):016x}", tokens), given)


def _half(examples: Sequence[Example], which: int, threshold: float, seed: int) -> EvidenceHalf:
    mine = [example for example in examples if hash64(example.context.text, seed) % 2 == which]
    active = sorted((e for e in mine if e.peak > threshold), key=lambda e: (-e.peak, e.context.id))
    silent = sorted((e for e in mine if e.peak <= threshold), key=lambda e: e.context.id)
    return EvidenceHalf(tuple(active[:16]), tuple(active), tuple(example.context for example in silent))


def _statistics(examples: Sequence[Example], threshold: float) -> UnitStatistics:
    peaks = [example.peak for example in examples if example.peak > threshold]
    return UnitStatistics(
        n_contexts=len(examples),
        n_active=len(peaks),
        threshold=threshold,
        maximum=max((max(example.peak, 0.0) for example in examples), default=0.0),
        mean=sum(peaks) / len(peaks) if peaks else 0.0,
        histogram=(),
    )
