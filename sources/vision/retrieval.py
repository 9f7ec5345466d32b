"""Which images a vision model finds beside an image: the nearest of a gallery by its embedding.

1. An image's embedding is what the model's last linear layer reads of it, else what the model gives out
   (`VisionSubject.embeddings`). The gallery's mean is taken off, and it is brought to unit length.
2. Images of the gallery are ranked by their cosine with it.
3. The cosines over a temperature, through a softmax, are how likely the model takes each for the same thing (Wu et
   al. 2018, arXiv:1805.01978): a distribution, so that a change of it can be measured as that of classes is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurogloss.protocols import Float32

TEMPERATURE = 0.07
"""That of Wu et al."""


@dataclass(frozen=True)
class Gallery:
    """Images that others are compared with."""

    mean: Float32
    """(dimension,): taken off every embedding."""
    directions: Float32
    """(n, dimension), rows of unit length."""

    @classmethod
    def of(cls, embeddings: Float32) -> Gallery:
        """From the embeddings of its images (n, dimension)."""
        mean = embeddings.mean(0)
        return cls(mean, _unit_rows(embeddings - mean))

    def cosines(self, embeddings: Float32) -> Float32:
        """(m, dimension) to (m, n)."""
        found: Float32 = _unit_rows(embeddings - self.mean) @ self.directions.T
        return found

    def log_p(self, embeddings: Float32) -> NDArray[np.float64]:
        """(m, n) log probabilities."""
        from scipy.special import log_softmax

        found: NDArray[np.float64] = log_softmax(self.cosines(embeddings).astype(np.float64) / TEMPERATURE, axis=1)
        return found

    def others(self, embeddings: Float32, k: int) -> NDArray[np.int64]:
        """(n, dimension), of the gallery's own images in order, to (n, k): the nearest others, nearest first."""
        cosines = self.cosines(embeddings)
        np.fill_diagonal(cosines, -np.inf)
        found: NDArray[np.int64] = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        return found


def _unit_rows(vectors: Float32) -> Float32:
    """Rows of unit length; those of no length stay 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Float32 = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return found
