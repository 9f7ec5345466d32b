"""Interventions on the live subject: continue a prompt with one unit raised, at a set effect size.

1. All prompts are cut to the same number of tokens; all but the last go into a key-value cache, clean.
2. The unit is raised by adding strength times its direction at the hookpoint, at the last prompt position and
   every later one (Paulo et al. 2024, arXiv:2410.13928, section on interventions).
3. The strength is found by bisection in log10 on the tuning prompts, until the mean KL divergence of the next
   token, clean against steered, is within a tenth of the target. Tuning prompts are never scored.
4. Each scored prompt is continued greedily, once clean and once steered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import SteeredText, Steering
from neurogloss.sources.cache import Site
from neurogloss.sources.dictionaries import open_dictionary
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.subject import Subject

if TYPE_CHECKING:
    import torch

PROMPT_TOKENS = 16
"""Length of a prompt."""
NEW_TOKENS = 12
"""Length of a continuation."""
LOG_STRENGTHS = (-2.0, 4.0)
"""Where the strength is searched, log10 in units of activation."""
MAX_STEPS = 12
"""Bisection steps: the strength is then known to 0.4 %."""

Rows = tuple[tuple[int, ...], ...]
"""Token ids of prompts of one length."""


class LiveSubject:
    """A subject that can be steered; implements `neurogloss.protocols.LiveSubject`."""

    def __init__(self, subject: Subject, sites: Sequence[Site], kl: float = 1.0) -> None:
        subject.require_head()
        self.subject = subject
        self._sites = {(site.hookpoint, site.dictionary): site for site in sites}
        self._directions = lru_cache(4)(self._read_directions)
        self.kl = kl
        """Target of the strength search, nats."""
        self._clean = lru_cache(32)(lambda rows: self._continue(rows, None, None))

    def steer(
        self, unit: UnitId, prompts: Sequence[str], tuning_prompts: Sequence[str], seed: int = 0
    ) -> Steering:
        """Continue the prompts clean and with the unit raised (lowered, for a negative side).

        Prompts shorter than PROMPT_TOKENS tokens are left out.

        Raises:
            UserError: the unit is not one of this subject's, or no prompt is long enough.
        """
        import torch

        hookpoint, direction = self._direction(unit)
        tuning, scored = self._cut(tuning_prompts), self._cut(prompts)
        if not tuning or not scored:
            raise UserError(f"Steering needs prompts of at least {PROMPT_TOKENS} tokens; found none.")
        with torch.inference_mode():
            strength, kl = self._tune(tuning, hookpoint, direction)
            steered = self._continue(scored, hookpoint, direction * strength)
            clean = self._clean(scored)
        texts = [self.subject.tokenizer.decode(row[-PROMPT_TOKENS:]) for row in scored]  # without BOS
        return Steering(
            strength, kl, tuple(SteeredText(t, c, s) for t, c, s in zip(texts, clean, steered, strict=True))
        )

    def _direction(self, unit: UnitId) -> tuple[Hookpoint, torch.Tensor]:
        if unit.subject != self.subject.name:
            raise UserError(f"Expected a unit of {self.subject.name}, found {unit}.")
        if (unit.hookpoint, unit.dictionary) not in self._sites:
            known = ", ".join("/".join(place) for place in self._sites)
            raise UserError(f"Expected a unit of {known}, found {unit}.")
        target, directions = self._directions(self._sites[unit.hookpoint, unit.dictionary])
        if not 0 <= unit.index < len(directions):
            raise UserError(
                f"Expected an index from 0 to {len(directions) - 1} at {unit.hookpoint}, found {unit}."
            )
        return target, directions[unit.index] * unit.sign

    def _read_directions(self, site: Site) -> tuple[Hookpoint, torch.Tensor]:
        """What the site's units write to, and how."""
        hookpoint = self.subject.hookpoint(site.hookpoint)
        dictionary = open_dictionary(site.spec, self.subject.width(hookpoint))
        target = self.subject.hookpoint(dictionary.target) if dictionary.target else hookpoint
        return target, dictionary.directions().to(self.subject.device, self.subject.model.dtype)

    def _cut(self, prompts: Sequence[str]) -> Rows:
        rows = [self.subject.tokenize(prompt).ids[:PROMPT_TOKENS] for prompt in prompts]
        first = () if self.subject.bos is None else (self.subject.bos,)
        return tuple((*first, *row) for row in rows if len(row) == PROMPT_TOKENS)

    def _tune(self, rows: Rows, hookpoint: Hookpoint, direction: torch.Tensor) -> tuple[float, float]:
        """The strength and the KL it gives."""
        import torch

        ids = torch.tensor(rows, device=self.subject.device)
        past = self._past(ids)
        clean = self._next(ids, past).log_softmax(-1)
        low, high = LOG_STRENGTHS
        for _ in range(MAX_STEPS):
            middle = (low + high) / 2
            past.crop(-1)
            with self._raised(hookpoint, direction * 10**middle):
                steered = self._next(ids, past).log_softmax(-1)
            kl = float((clean.exp() * (clean - steered)).sum(-1).mean())
            if abs(kl - self.kl) <= 0.1 * self.kl:
                break
            low, high = (low, middle) if kl > self.kl else (middle, high)
        return float(10**middle), kl

    def _continue(self, rows: Rows, hookpoint: Hookpoint | None, delta: torch.Tensor | None) -> list[str]:
        """NEW_TOKENS greedy tokens after each prompt, fewer where the subject ends its text."""
        import torch

        ids = torch.tensor(rows, device=self.subject.device)
        past = self._past(ids)
        new: list[torch.Tensor] = []
        with self._raised(hookpoint, delta):
            for _ in range(NEW_TOKENS):
                ids = self._next(ids, past).argmax(-1, keepdim=True)
                new.append(ids)
        tokenizer, continuations = self.subject.tokenizer, []
        for row in torch.cat(new, 1).tolist():
            end = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else len(row)
            continuations.append(tokenizer.decode(row[:end], skip_special_tokens=True))
        return continuations

    def _past(self, ids: torch.Tensor) -> Any:
        """Key-value cache of all prompt tokens but the last, clean."""
        return self.subject.model.base_model(input_ids=ids[:, :-1], use_cache=True).past_key_values

    def _next(self, ids: torch.Tensor, past: Any) -> torch.Tensor:
        """(n, vocabulary) logits after the last of `ids`, which `past` grows by."""
        logits: torch.Tensor = self.subject.model(input_ids=ids[:, -1:], past_key_values=past).logits[:, -1]
        return logits.float()

    @contextmanager
    def _raised(self, hookpoint: Hookpoint | None, delta: torch.Tensor | None) -> Iterator[None]:
        """Add `delta` to every vector that passes the hookpoint."""
        if hookpoint is None or delta is None:
            yield
            return
        module = self.subject.modules[hookpoint.module]

        def at_input(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (args[0] + delta, *args[1:])

        def at_output(_: Any, __: Any, out: Any) -> Any:
            return (out[0] + delta, *out[1:]) if isinstance(out, tuple) else out + delta

        handle = (
            module.register_forward_pre_hook(at_input)
            if hookpoint.at_input
            else module.register_forward_hook(at_output)
        )
        try:
            yield
        finally:
            handle.remove()
