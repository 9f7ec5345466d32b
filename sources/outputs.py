"""What each unit promotes and suppresses: its direction through the final norm's gain and the LM head.

The logit lens of a decoder row (nostalgebraist 2020; Gur-Arieh et al. 2025, arXiv:2501.08319, "VocabProj").
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from neurogloss.folder import replace_file
from neurogloss.ids import canonical_json
from neurogloss.protocols import Progress
from neurogloss.sources.dictionaries import Dictionary
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.subject import Subject

KEPT = 20
"""Tokens kept at each end."""
ROWS = 256
"""Directions at once: bounds the logits at 50 MB for a vocabulary of 50k."""


def write_outputs(
    cache: Path, subject: Subject, dictionaries: Mapping[Hookpoint, Dictionary], progress: Progress
) -> None:
    """Write `outputs/` and `vocabulary.json` of a cache."""
    import torch

    used: set[int] = set()
    progress.start("output tokens", sum(d.n_units for d in dictionaries.values()), "units")
    for hookpoint, dictionary in dictionaries.items():
        residual = subject.to_residual(hookpoint, dictionary.directions())
        if residual is None:
            progress.advance(dictionary.n_units)
            continue
        parts: dict[str, list[np.ndarray]] = {"high": [], "high_logits": [], "low": [], "low_logits": []}
        with torch.inference_mode():
            for rows in residual.split(ROWS):
                logits = subject.output_logits(rows)
                for end, largest in (("high", True), ("low", False)):
                    values, ids = logits.topk(KEPT, largest=largest)
                    parts[end].append(ids.to(torch.int32).numpy())
                    parts[f"{end}_logits"].append(values.numpy())
                progress.advance(len(rows))
        arrays = {name: np.concatenate(part) for name, part in parts.items()}
        used |= set(np.unique(arrays["high"]).tolist()) | set(np.unique(arrays["low"]).tolist())
        replace_file(cache / "outputs" / f"{hookpoint}.safetensors", save(arrays))
    vocabulary = {str(i): subject.tokenizer.decode([i]) for i in sorted(used)}
    replace_file(cache / "vocabulary.json", canonical_json(vocabulary).encode())
