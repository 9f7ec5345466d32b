"""Interventions on the live subject: continue a prompt with one unit raised, at a set effect size.

1. All prompts are cut to the same number of tokens; all but the last go into a key-value cache, clean.
2. The unit is raised by adding strength times its direction at the hookpoint, at the last prompt position and
   every later one (Paulo et al. 2024, arXiv:2410.13928, section on interventions). A transcoder's unit is raised
   where it writes. Only that is added to what passes: nothing is decoded in its place, so what the dictionary does
   not explain, its error term, stays as it was.
3. The strength is found by bisection in log10 on the tuning prompts, until the mean KL divergence of the next
   token, clean against steered, is within a tenth of the target. Tuning prompts are never scored.
4. Each scored prompt is continued greedily, once clean and once steered.
5. What a unit makes the subject say next is how raising it changes the log probability of each next token, mean
   over prompts (TokenChange of Gur-Arieh et al. 2025, arXiv:2501.08319, at a matched KL instead of a fixed value).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import SteeredText, Steering
from neurogloss.records import OutputTokens
from neurogloss.sources.cache import Site
from neurogloss.sources.hookpoints import Hookpoint, hooked
from neurogloss.sources.live import Place, UnitReader
from neurogloss.sources.outputs import KEPT, bisected, excess_kurtosis
from neurogloss.sources.subject import Subject

if TYPE_CHECKING:
    import torch

PROMPT_TOKENS = 16
"""Length of a prompt."""
NEW_TOKENS = 12
"""Length of a continuation."""

Rows = tuple[tuple[int, ...], ...]
"""Token ids of prompts of one length."""


class LiveSubject(UnitReader):
    """A subject whose units can be read and raised; implements `neurogloss.protocols.LiveSubject`.

    Raises:
        UserError: the subject has no language-model head.
    """

    def __init__(self, subject: Subject, sites: Sequence[Site], kl: float = 1.0) -> None:
        subject.require_head()
        super().__init__(subject, sites)
        self.kl = kl
        """Target of the strength search, nats."""
        self._clean = lru_cache(32)(self._continue_clean)

    def steer(
        self,
        unit: UnitId,
        prompts: Sequence[str],
        tuning_prompts: Sequence[str],
        seed: int = 0,
        kl: float | None = None,
    ) -> Steering:
        """Continue the prompts clean and with the unit raised along its sign.

        Prompts shorter than PROMPT_TOKENS tokens are left out.

        Args:
            kl: target of the strength search, nats; below 0 the unit is lowered until that much has changed, and
                the strength is negative. None: what the subject was set to.

        Raises:
            UserError: the unit is not one of this subject's, no prompt is long enough, or the target is 0.
        """
        import torch

        place = self._place(unit)
        tuning, scored = self._cut(tuning_prompts), self._cut(prompts)
        with torch.inference_mode():
            strength, reached = self._tune(tuning, place, unit, self.kl if kl is None else kl)
            ids, past = self._prompt(scored)
            with self._raised(place, unit, strength):
                steered = self._greedy(self._next(ids, past), past)
            texts = [self.subject.tokenizer.decode(row[-PROMPT_TOKENS:]) for row in scored]  # without BOS
            return Steering(strength, reached, tuple(map(SteeredText, texts, self._clean(scored), steered)))

    def strength(self, unit: UnitId, tuning_prompts: Sequence[str], kl: float | None = None) -> float:
        """How strongly `steer` raises the unit. Raises UserError as it does."""
        import torch

        place = self._place(unit)
        with torch.inference_mode():
            return self._tune(self._cut(tuning_prompts), place, unit, self.kl if kl is None else kl)[0]

    def steer_by(self, unit: UnitId, prompts: Sequence[str], strength: float) -> Steering:
        """Continue whole prompts of any length, clean and with `strength` times the unit's direction added.

        Returns:
            Its KL is that of the next token after these prompts, nats, mean over them.

        Raises:
            UserError: the unit is not one of this subject's, or a prompt has no token or too many.
        """
        import torch

        place, texts, kls = self._place(unit), [], []
        for prompt, row in zip(prompts, self._whole(prompts), strict=True):
            with torch.inference_mode():
                ids, past = self._prompt((row,))
                again = copy.deepcopy(past)
                clean = self._next(ids, past)
                continued = self._greedy(clean, past)
                with self._raised(place, unit, strength):
                    steered = self._next(ids, again)
                    texts.append(SteeredText(prompt, *continued, *self._greedy(steered, again)))
                kls.append(_kl(clean.log_softmax(-1), steered.log_softmax(-1)))
        return Steering(strength, float(np.mean(kls)), tuple(texts))

    def _whole(self, prompts: Sequence[str]) -> Rows:
        rows = [self.subject.tokenize(prompt).ids for prompt in prompts]
        self._check_lengths(rows)
        first = () if self.subject.bos is None else (self.subject.bos,)
        found = tuple((*first, *row) for row in rows)
        if min(map(len, found), default=0) < 2:
            raise UserError("Expected prompts of a word or more, found one that is shorter. Leave it out.")
        return found

    def token_change(self, unit: UnitId, prompts: Sequence[str], tuning_prompts: Sequence[str]) -> OutputTokens:
        """The next tokens whose log probability raising the unit changes most, at the KL that was set.

        Prompts shorter than PROMPT_TOKENS tokens are left out.

        Returns:
            KEPT tokens at each end with their change, nats, mean over the prompts; its kurtosis is that of the
            changes over the vocabulary.

        Raises:
            UserError: the unit is not one of this subject's, or no prompt is long enough.
        """
        import torch

        place = self._place(unit)
        tuning, scored = self._cut(tuning_prompts), self._cut(prompts)
        with torch.inference_mode():
            strength, _ = self._tune(tuning, place, unit, self.kl)
            ids, past = self._prompt(scored)
            clean = self._next(ids, copy.deepcopy(past)).log_softmax(-1)
            with self._raised(place, unit, strength):
                change = (self._next(ids, past).log_softmax(-1) - clean).mean(0)
            return OutputTokens(
                promoted=self._tokens(change.topk(KEPT)),
                suppressed=self._tokens(change.topk(KEPT, largest=False)),
                kurtosis=float(excess_kurtosis(change[None])),
            )

    def _cut(self, prompts: Sequence[str]) -> Rows:
        rows = [self.subject.tokenize(prompt).ids[:PROMPT_TOKENS] for prompt in prompts]
        first = () if self.subject.bos is None else (self.subject.bos,)
        cut = tuple((*first, *row) for row in rows if len(row) == PROMPT_TOKENS)
        if not cut:
            raise UserError(f"Steering needs prompts of at least {PROMPT_TOKENS} tokens; found none.")
        return cut

    def _tune(self, rows: Rows, place: Place, unit: UnitId, target: float) -> tuple[float, float]:
        """The strength, of the target's sign, and the KL divergence that it gives."""
        if not target:
            raise UserError("Steering needs a KL divergence to reach, in nats; found 0. Ask for 0.5, or -0.5.")
        ids, past = self._prompt(rows)
        clean = self._next(ids, copy.deepcopy(past)).log_softmax(-1)

        def reached(strength: float) -> float:
            with self._raised(place, unit, math.copysign(strength, target)):
                return _kl(clean, self._next(ids, copy.deepcopy(past)).log_softmax(-1))

        strength, kl = bisected(reached, abs(target))
        return math.copysign(strength, target), kl

    def _continue_clean(self, rows: Rows) -> list[str]:
        ids, past = self._prompt(rows)
        return self._greedy(self._next(ids, past), past)

    def _greedy(self, logits: torch.Tensor, past: Any) -> list[str]:
        """NEW_TOKENS tokens of each row, given the logits of the first; fewer where the subject ends its text."""
        import torch

        new = [logits.argmax(-1, keepdim=True)]
        while len(new) < NEW_TOKENS:
            new.append(self._next(new[-1], past).argmax(-1, keepdim=True))
        tokenizer, continuations = self.subject.tokenizer, []
        for row in torch.cat(new, 1).tolist():
            end = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else len(row)
            continuations.append(tokenizer.decode(row[:end], skip_special_tokens=True))
        return continuations

    def _tokens(self, best: Any) -> tuple[tuple[str, float], ...]:
        """Values and ids of tokens, as torch finds the largest, to their text and value."""
        texts = self.subject.tokenizer.batch_decode(best.indices[:, None])
        return tuple(zip(texts, best.values.tolist(), strict=True))

    def _prompt(self, rows: Rows) -> tuple[torch.Tensor, Any]:
        """Token ids, and a key-value cache of all but the last, clean."""
        import torch

        ids = torch.tensor(rows, device=self.subject.device)
        return ids, self.subject.model.base_model(input_ids=ids[:, :-1], use_cache=True).past_key_values

    def _next(self, ids: torch.Tensor, past: Any) -> torch.Tensor:
        """(n, vocabulary) logits after the last of `ids`, which `past` grows by."""
        logits: torch.Tensor = self.subject.model(input_ids=ids[:, -1:], past_key_values=past).logits[:, -1]
        return logits.float()

    def _raised(self, place: Place, unit: UnitId, strength: float) -> AbstractContextManager[None]:
        """Add a multiple of the unit's direction to what passes where it writes."""
        delta = (place.direction(unit).float() * strength).to(self.subject.model.dtype)

        def passing(_: Hookpoint, value: Any) -> Any:
            return (value[0] + delta, *value[1:]) if isinstance(value, tuple) else value + delta

        return hooked(self.subject.modules, [place.writes], passing)


def _kl(clean: torch.Tensor, changed: torch.Tensor) -> float:
    """Mean KL(clean || changed) of (n, vocabulary) log probabilities."""
    import torch

    found = torch.nn.functional.kl_div(changed, clean, reduction="none", log_target=True)
    return float(found.sum(-1).mean())
