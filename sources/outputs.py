"""What each unit promotes and suppresses: its direction through the final norm's gain and the LM head.

1. The logits of a direction are those of the logit lens of a decoder row (nostalgebraist 2020; Gur-Arieh et al.
   2025, arXiv:2501.08319, "VocabProj"); the largest and the smallest are kept.
2. Their excess kurtosis over the vocabulary, m4 / m2^2 - 3 with m_k the k-th central moment (Fisher's, biased),
   says whether the direction picks out few tokens or moves all a little (Gurnee et al. 2024, arXiv:2401.12181).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save

from neurogloss.folder import replace_file
from neurogloss.ids import canonical_json
from neurogloss.protocols import Progress
from neurogloss.sources.source import Listener
from neurogloss.sources.subject import Subject

if TYPE_CHECKING:
    import torch

KEPT = 20
"""Tokens kept at each end."""
ROWS = 256
"""Directions at once: bounds the logits at 50 MB for a vocabulary of 50k."""
LOG_STRENGTHS = (-2.0, 4.0)
"""Where the strength of raising a unit is searched, log10 in units of activation."""
MAX_STEPS = 12
"""Bisection steps: the strength is then known to 0.4 %."""


def write_outputs(cache: Path, subject: Subject, listeners: Sequence[Listener], progress: Progress) -> None:
    """Write `outputs/` and `vocabulary.json` of a cache; nothing of units that have no way to logits."""
    import torch

    used: set[int] = set()
    has_head = subject.model.get_output_embeddings() is not None
    progress.start("output tokens", sum(listener.site.units for listener in listeners), "units")
    for listener in listeners:
        directions = listener.dictionary.directions() if has_head else None
        residual = None if directions is None else subject.to_residual(listener.target, directions)
        if residual is None:
            progress.advance(listener.site.units)
            continue
        parts: list[dict[str, np.ndarray]] = []
        with torch.inference_mode():
            for rows in residual.split(ROWS):
                parts.append(extremes(subject.output_logits(rows), KEPT))
                progress.advance(len(rows))
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        used |= set(np.unique(arrays["high"]).tolist()) | set(np.unique(arrays["low"]).tolist())
        replace_file(cache / "outputs" / f"{listener.site.name}.safetensors", save(arrays))
    vocabulary = {str(i): subject.tokenizer.decode([i]) for i in sorted(used)}
    replace_file(cache / "vocabulary.json", canonical_json(vocabulary).encode())


def extremes(logits: torch.Tensor, kept: int) -> dict[str, np.ndarray]:
    """(n, m) logits as a cache keeps them: `high` and `low` columns (n, kept), their logits, the kurtosis (n,)."""
    import torch

    found = {"kurtosis": excess_kurtosis(logits).cpu().numpy()}
    for end, largest in (("high", True), ("low", False)):
        values, ids = logits.topk(kept, largest=largest)
        found |= {end: ids.to(torch.int32).cpu().numpy(), f"{end}_logits": values.cpu().numpy()}
    return found


def excess_kurtosis(rows: torch.Tensor) -> torch.Tensor:
    """(n, m) to (n,), NaN where a row is constant."""
    squares = (rows - rows.mean(1, keepdim=True)).square()
    return squares.square().mean(1) / squares.mean(1).square() - 3


def bisected(kl_at: Callable[[float], float], target: float) -> tuple[float, float]:
    """The strength whose KL divergence is within a tenth of the target, and that divergence, by bisection."""
    low, high = LOG_STRENGTHS
    for _ in range(MAX_STEPS):
        middle = (low + high) / 2
        kl = kl_at(10.0**middle)
        if abs(kl - target) <= 0.1 * target:
            break
        low, high = (low, middle) if kl > target else (middle, high)
    return 10.0**middle, kl
