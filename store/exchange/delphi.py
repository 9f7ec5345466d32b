"""The result folder of a delphi run.

    run_config.json                                  the explainer's name, where there is one
    explanations/HOOKPOINT_latentINDEX.txt           a JSON string
    scores/SCORER/HOOKPOINT_latentINDEX.txt          JSON, a list with an outcome an example; `/` is written `--`

A sentence that stands for an answer that could not be read is no explanation. Of the scores that are made of
predictions the balanced accuracy is kept, with the examples that were answered and those that were not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError
from neurogloss.store.exchange.files import plain, read_json
from neurogloss.store.exchange.records import Found, Reading

FAILED = frozenset({"Explanation could not be parsed.", "No explanation found"})
"""What delphi writes where it has no explanation."""
_NAME = re.compile(r"(?P<hookpoint>.+)_latent(?P<index>\d+)\.txt")


def read(path: Path) -> Reading:
    """Every explanation of the run, its place the hookpoint.

    Raises:
        UserError: there are no explanations in `path`, or a file is not what its name says.
    """
    root = path / "explanations"
    files = sorted(root.rglob("*.txt"))
    if not files:
        raise UserError(
            f"Expected explanations/HOOKPOINT_latentINDEX.txt in {path}, found none. "
            "Give the folder of one run, results/NAME."
        )
    scorers = sorted(folder for folder in (path / "scores").glob("*") if folder.is_dir())
    config = path / "run_config.json"
    method = _explainer(config) if config.is_file() else ""
    found, read_too, without = [], [config] if config.is_file() else [], 0
    for file in files:
        hookpoint, index = _latent(file.relative_to(root).as_posix(), file)
        text = read_json(file)
        if not isinstance(text, str):
            raise UserError(
                f"Expected a JSON string in {file}, found {type(text).__name__}. Write the file again."
            )
        if text in FAILED or not text.strip():
            without += 1
            continue
        scores = {}
        for folder in scorers:
            scored = folder / f"{hookpoint.replace('/', '--')}_latent{index}.txt"
            if scored.is_file():
                scores[folder.name] = _summary(read_json(scored))
                read_too.append(scored)
        found.append(Found(str(file), text, None, hookpoint, index, method, source={"scores": scores}))
    return Reading(tuple(found), tuple(sorted((*files, *read_too))), without)


def _latent(name: str, file: Path) -> tuple[str, int]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(f"Expected HOOKPOINT_latentINDEX.txt, found {file}. Take it out of the folder.")
    return match["hookpoint"].replace("--", "/"), int(match["index"])


def _explainer(config: Path) -> str:
    values = read_json(config)
    return str(values.get("explainer_model", "")) if isinstance(values, dict) else ""


def _summary(outcomes: Any) -> Any:
    """The balanced accuracy over a scorer's predictions; of other scorers the number of outcomes."""
    if not isinstance(outcomes, list) or not all(
        isinstance(outcome, dict) and "activating" in outcome and "prediction" in outcome for outcome in outcomes
    ):
        return {"outcomes": len(outcomes)} if isinstance(outcomes, list) else plain(outcomes)
    answered = [outcome for outcome in outcomes if outcome["prediction"] is not None]
    rates = [_right(answered, activating) for activating in (True, False)]
    return {
        "answered": len(answered),
        "unanswered": len(outcomes) - len(answered),
        "balanced_accuracy": sum(rates) / 2 if None not in rates else None,  # type: ignore[arg-type]
    }


def _right(outcomes: Sequence[Mapping[str, Any]], activating: bool) -> float | None:
    """The share of these examples that were told rightly; None where there are none."""
    right = [bool(o["prediction"]) == activating for o in outcomes if bool(o["activating"]) == activating]
    return sum(right) / len(right) if right else None
