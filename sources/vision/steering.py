"""What units do to the classes that an image classifier names.

1. At first order a unit raises a logit by its direction times the logit's gradient where it writes, summed over
   positions, mean over images of the explain half. The classes at both ends are the unit's output tokens.
2. On an image, a unit is raised by adding strength times its direction at every position, prefix tokens included.
3. The strength is found by bisection in log10 on the tuning images, until the mean KL divergence of the classes,
   clean against raised, is within a tenth of the target: the scale of steering a text (Paulo et al. 2024,
   arXiv:2410.13928). Tuning images are never scored.
4. What the classifier says of an image is its likeliest classes, clean and with the unit raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from neurogloss.folder import replace_file
from neurogloss.ids import UnitId, canonical_json
from neurogloss.protocols import Float32, Progress
from neurogloss.records import SteeredText, Steering
from neurogloss.sources.cache import Site
from neurogloss.sources.dictionaries import directions_of
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.outputs import KEPT, extremes
from neurogloss.sources.sites import Listener
from neurogloss.sources.vision.live import ImageReader
from neurogloss.sources.vision.pictures import open_picture
from neurogloss.sources.vision.subject import VisionSubject

LOG_STRENGTHS = (-2.0, 4.0)
"""Where the strength is searched, log10 in units of activation."""
MAX_STEPS = 12
"""Bisection steps: the strength is then known to 0.4 %."""
LIKELY = 0.05
"""Probability from which a class is said."""
SAID = 5
"""Classes said of an image at most."""


class LiveClassifier(ImageReader):
    """A classifier whose units can be read and raised."""

    def __init__(self, subject: VisionSubject, sites: Sequence[Site], kl: float = 1.0) -> None:
        super().__init__(subject, sites)
        self.kl = kl
        """Target of the strength search, nats."""

    def steer(
        self,
        unit: UnitId,
        prompts: Sequence[str],
        tuning_prompts: Sequence[str],
        seed: int = 0,
        kl: float | None = None,
    ) -> Steering:
        """What the classifier says of images, clean and with the unit raised along its sign.

        Args:
            prompts, tuning_prompts: paths of images.
            kl: target of the strength search, nats; None: what the subject was set to.

        Raises:
            UserError: an image does not decode, or the subject is no classifier with named classes.
        """
        tuning, scored = self._pixels(tuning_prompts), self._pixels(prompts)
        strength, reached = self._tune(unit, tuning, self.kl if kl is None else kl)
        both = zip(self._log_p(scored), self._log_p(scored, unit, strength), strict=True)
        # An image is no text to go on from.
        return Steering(strength, reached, tuple(SteeredText("", *map(self._said, rows)) for rows in both))

    def _pixels(self, paths: Sequence[str]) -> Float32:
        return self._subject.preprocess([open_picture(Path(path)) for path in paths])

    def _tune(self, unit: UnitId, pixels: Float32, target: float) -> tuple[float, float]:
        """The strength, and the KL divergence that it gives."""
        clean, (low, high) = self._log_p(pixels), LOG_STRENGTHS
        for _ in range(MAX_STEPS):
            middle = (low + high) / 2
            kl = float((np.exp(clean) * (clean - self._log_p(pixels, unit, 10**middle))).sum(1).mean())
            if abs(kl - target) <= 0.1 * target:
                break
            low, high = (low, middle) if kl > target else (middle, high)
        return 10**middle, kl

    def _log_p(self, pixels: Float32, unit: UnitId | None = None, strength: float = 0.0) -> NDArray[np.float64]:
        """(n, classes) log probabilities, with a unit raised."""
        import torch

        edits = {}
        if unit is not None:
            listener = self._open(self._sites[unit.hookpoint, unit.dictionary])
            delta = directions_of(listener.dictionary)[unit.index].float() * unit.sign * strength
            edits[listener.target] = lambda flat: flat + delta.to(flat)
        logits = torch.from_numpy(self._subject.logits(pixels, edits)).double()
        found: NDArray[np.float64] = logits.log_softmax(1).numpy()
        return found

    def _said(self, log_p: NDArray[np.float64]) -> str:
        """The likeliest classes, the first one in any case."""
        names, order = self._subject.class_names(len(log_p)), np.argsort(-log_p, kind="stable")[:SAID]
        return ", ".join(names[i] for n, i in enumerate(order.tolist()) if n == 0 or log_p[i] >= np.log(LIKELY))


def write_class_effects(
    cache: Path, subject: VisionSubject, pixels: Float32, listeners: Sequence[Listener], progress: Progress
) -> None:
    """Write `outputs/` and `vocabulary.json` of a cache, by the gradients on some images (n, C, H, W); nothing of
    units without directions.

    Raises:
        UserError: the subject is no classifier, or its classes have no names.
    """
    import torch

    progress.start("classes that units raise", len(listeners), "sites")
    gradients: Mapping[Hookpoint, Float32] = subject.gradients(pixels, list({each.target for each in listeners}))
    for listener in listeners:
        directions = listener.dictionary.directions()
        if directions is None:
            continue
        effects = directions.float().cpu() @ torch.from_numpy(gradients[listener.target]).T
        kept = min(KEPT, max(effects.shape[1] // 2, 1))
        replace_file(cache / "outputs" / f"{listener.site.name}.safetensors", save(extremes(effects, kept)))
        progress.advance()
    names = subject.class_names(len(next(iter(gradients.values()))))
    replace_file(cache / "vocabulary.json", canonical_json({str(i): n for i, n in enumerate(names)}).encode())
