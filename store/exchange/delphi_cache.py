"""The activation cache of a delphi run, one latent at a time, as `neurogloss.label_contexts` takes it.

    latents/HOOKPOINT/FIRST_LAST.safetensors
        locations      (n, 3): row of `tokens`, position, latent less FIRST
        activations    (n,): float16
        tokens         (rows, length): token ids

1. Rows are cut into windows of `window` tokens.
2. Every window in which the latent is active is kept, and as many silent ones, drawn by the hash of place and row,
   so that any latent's silent windows are a uniform sample.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from neurogloss.errors import UserError
from neurogloss.ids import hash64

_NAME = re.compile(r"(\d+)_(\d+)\.safetensors")


@dataclass(frozen=True, slots=True)
class Contexts:
    """Windows of text with one latent's activations."""

    texts: tuple[tuple[str, ...], ...]
    """The tokens of each."""
    activations: tuple[tuple[float, ...], ...]
    """One a token."""


def read(
    folder: str | Path, latent: int, token: Callable[[int], str], window: int = 32, silent: int | None = None
) -> Contexts:
    """One latent's windows.

    Args:
        folder: of one hookpoint, `latents/HOOKPOINT`.
        token: the text of a token id, by the subject's tokenizer.
        window: tokens in a window; what a row has beyond whole windows is left out.
        silent: windows without activation at most; as many as there are active ones by default.

    Raises:
        UserError: no file of the folder holds the latent, or the one that does is damaged.
    """
    first, path = _split(Path(folder), latent)
    arrays = _arrays(path)
    tokens = arrays["tokens"]
    if not 0 < window <= tokens.shape[1]:
        raise UserError(f"Expected a window of 1 to {tokens.shape[1]} tokens, found {window}.")
    mine = arrays["locations"][:, 2] == latent - first
    rows, positions = (arrays["locations"][mine, column].astype(np.int64) for column in (0, 1))
    values = arrays["activations"][mine].astype(np.float64)
    if not np.isfinite(values).all():
        raise UserError(f"Latent {latent} has activations in {path} beyond float16. Cache it again.")
    windows = tokens.shape[1] // window
    inside = positions < windows * window
    places = rows[inside] * windows + positions[inside] // window
    active = np.unique(places)
    rest = np.setdiff1d(np.arange(len(tokens) * windows), active)
    n_silent = len(active) if silent is None else silent
    drawn = sorted(rest.tolist(), key=lambda place: hash64("silent", place))[:n_silent]
    dense = np.zeros((len(active), window))
    dense[np.searchsorted(active, places), positions[inside] % window] = values[inside]
    texts = [_texts(tokens, place, windows, window, token) for place in (*active.tolist(), *sorted(drawn))]
    zero = (0.0,) * window
    return Contexts(tuple(texts), (*(tuple(row) for row in dense.tolist()), *(zero for _ in drawn)))


def _texts(
    tokens: NDArray[Any], place: int, windows: int, window: int, token: Callable[[int], str]
) -> tuple[str, ...]:
    row, start = place // windows, place % windows * window
    return tuple(token(id) for id in tokens[row, start : start + window].tolist())


def _split(folder: Path, latent: int) -> tuple[int, Path]:
    """The file that holds a latent, and the first latent in it."""
    found: Sequence[tuple[int, int, Path]] = sorted(
        (int(match[1]), int(match[2]), path)
        for path in folder.glob("*.safetensors")
        if (match := _NAME.fullmatch(path.name))
    )
    for first, last, path in found:
        if first <= latent <= last:
            return first, path
    known = f"{found[0][0]} to {found[-1][1]}" if found else "none"
    raise UserError(
        f"Expected latent {latent} in {folder}, found {known}. Give latents/HOOKPOINT of a delphi run."
    )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in ("locations", "activations", "tokens")}
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"Expected locations, activations and tokens in {path}, found: {error}. Cache it again, tokens saved."
        ) from None
