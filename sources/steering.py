"""Interventions on the live subject: continue a prompt with one unit raised, at a set effect size, or taken out.

1. All prompts are cut to the same number of tokens; all but the last go into a key-value cache, clean.
2. The unit is raised by adding strength times its direction at the hookpoint, at the last prompt position and
   every later one (Paulo et al. 2024, arXiv:2410.13928, section on interventions). A transcoder's unit is raised
   where it writes. Only that is added to what passes: nothing is decoded in its place, so what the dictionary does
   not explain, its error term, stays as it was.
3. The strength is found by bisection in log10 on the tuning prompts, until the mean KL divergence of the next
   token, clean against steered, is within a tenth of the target. Tuning prompts are never scored.
4. Each scored prompt is continued greedily, once clean and once steered.
5. The unit is taken out (zero ablation) by subtracting what it contributes at each position, BOS excepted: its
   activation there, which is read in the same pass, times its direction. The error term stays, here too.
6. Several units of a site go through the model together: a row for each prompt and unit, from copies of one
   key-value cache, each row with its own change. Units whose strength is found leave the bisection.
7. What a unit makes the subject say next is how raising it changes the log probability of each next token, mean
   over prompts (TokenChange of Gur-Arieh et al. 2025, arXiv:2501.08319, at a matched KL instead of a fixed value).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.interventions import Ablation, SteeredText, Steering
from neurogloss.records import OutputTokens
from neurogloss.sources.cache import Site
from neurogloss.sources.hookpoints import Hookpoint, hooked
from neurogloss.sources.live import Place, UnitReader
from neurogloss.sources.outputs import KEPT, excess_kurtosis
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
ROWS_AT_ONCE = 256
"""Rows of logits in memory: 50 MB for a vocabulary of 50k."""

Rows = tuple[tuple[int, ...], ...]
"""Token ids of prompts of one length."""


class LiveSubject(UnitReader):
    """A subject whose units can be read, raised and taken out; implements `neurogloss.protocols.LiveSubject`.

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
        return self.steer_many([unit], prompts, tuning_prompts, kl)[0]

    def steer_many(
        self,
        units: Sequence[UnitId],
        prompts: Sequence[str],
        tuning_prompts: Sequence[str],
        kl: float | None = None,
    ) -> list[Steering]:
        """What `steer` gives for each unit on the same prompts, in fewer passes."""
        import torch

        found: dict[int, Steering] = {}
        places = self._by_place(units)
        tuning, scored = self._cut(tuning_prompts), self._cut(prompts)
        at_once = max(ROWS_AT_ONCE // max(len(tuning), len(scored)), 1)
        for place, mine in _parts(places, at_once):
            with torch.inference_mode():
                directions = place.along([units[j] for j in mine])
                strengths, kls = self._tune(tuning, place.writes, directions, self.kl if kl is None else kl)
                ids, past = _copies(*self._prompt(scored), len(mine))
                with self._raised(place.writes, directions, strengths, len(scored)):
                    steered = self._greedy(self._next(ids, past), past)
                texts = self._texts(scored, steered)
            for j, *result in zip(mine, strengths.tolist(), kls.tolist(), texts, strict=True):
                found[j] = Steering(*result)
        return [found[j] for j in range(len(units))]

    def strength(self, unit: UnitId, tuning_prompts: Sequence[str], kl: float | None = None) -> float:
        """How strongly `steer` raises the unit. Raises UserError as it does."""
        import torch

        place = self._place(unit)
        with torch.inference_mode():
            target = self.kl if kl is None else kl
            strengths, _ = self._tune(self._cut(tuning_prompts), place.writes, place.along([unit]), target)
        return float(strengths[0])

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
                with self._raised(place.writes, place.along([unit]), np.array([strength]), 1):
                    steered = self._next(ids, again)
                    texts.append(SteeredText(prompt, *continued, *self._greedy(steered, again)))
                kls.append(_kl(clean.log_softmax(-1), steered.log_softmax(-1)).item())
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
            directions = place.along([unit])
            strengths, _ = self._tune(tuning, place.writes, directions, self.kl)
            ids, past = self._prompt(scored)
            clean = self._next(ids, copy.deepcopy(past)).log_softmax(-1)
            with self._raised(place.writes, directions, strengths, len(scored)):
                change = (self._next(ids, past).log_softmax(-1) - clean).mean(0)
            return OutputTokens(
                promoted=self._tokens(change.topk(KEPT)),
                suppressed=self._tokens(change.topk(KEPT, largest=False)),
                kurtosis=float(excess_kurtosis(change[None])),
            )

    def ablate(self, unit: UnitId, prompts: Sequence[str]) -> Ablation:
        """Continue the prompts clean and without what the unit contributes, there and in the prompt.

        Prompts shorter than PROMPT_TOKENS tokens are left out.

        Raises:
            UserError: the unit is not one of this subject's, or no prompt is long enough.
        """
        return self.ablate_many([unit], prompts)[0]

    def ablate_many(self, units: Sequence[UnitId], prompts: Sequence[str]) -> list[Ablation]:
        """What `ablate` gives for each unit on the same prompts, in fewer passes."""
        import torch

        found: dict[int, Ablation] = {}
        places = self._by_place(units)
        rows = self._cut(prompts)
        at_once = max(ROWS_AT_ONCE // (len(rows) * PROMPT_TOKENS), 1)
        with torch.inference_mode():
            clean, _ = self._read(self._bos(rows, 1))
            for place, mine in _parts(places, at_once):
                prompts_of_each = self._bos(rows, len(mine))
                with self._without(place, [units[j] for j in mine], len(rows)):
                    ablated, past = self._read(prompts_of_each)
                    continued = self._greedy(ablated[:, -1], past)
                kls = _kl(clean, ablated).mean((0, 2)).tolist()
                for j, *result in zip(mine, kls, self._texts(rows, continued), strict=True):
                    found[j] = Ablation(*result)
        return [found[j] for j in range(len(units))]

    def _cut(self, prompts: Sequence[str]) -> Rows:
        rows = [self.subject.tokenize(prompt).ids[:PROMPT_TOKENS] for prompt in prompts]
        first = () if self.subject.bos is None else (self.subject.bos,)
        cut = tuple((*first, *row) for row in rows if len(row) == PROMPT_TOKENS)
        if not cut:
            raise UserError(f"Steering needs prompts of at least {PROMPT_TOKENS} tokens; found none.")
        return cut

    def _tune(
        self, rows: Rows, hookpoint: Hookpoint, directions: torch.Tensor, target: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(U, width) directions to the strength of each, of the target's sign, and the KL it gives."""
        if not target:
            raise UserError("Steering needs a KL divergence to reach, in nats; found 0. Ask for 0.5, or -0.5.")
        ids, past = self._prompt(rows)
        clean = self._next(ids, copy.deepcopy(past)).log_softmax(-1)
        going, wanted = np.arange(len(directions)), abs(target)
        low, high = (np.full(len(going), limit) for limit in LOG_STRENGTHS)
        middle, kls = (low + high) / 2, np.zeros(len(going))
        for _ in range(MAX_STEPS):
            middle[going] = (low[going] + high[going]) / 2
            strengths = np.copysign(10.0**middle, target)
            with self._raised(hookpoint, directions[going], strengths[going], len(rows)):
                steered = self._next(*_copies(ids, past, len(going)))
            kls[going] = _kl(clean, steered.log_softmax(-1)).mean(0).cpu().numpy()
            high[going] = np.where(kls > wanted, middle, high)[going]
            low[going] = np.where(kls > wanted, low, middle)[going]
            going = going[np.abs(kls[going] - wanted) > 0.1 * wanted]
            if not len(going):
                break
        return strengths, kls

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

    def _texts(self, rows: Rows, changed: Sequence[str]) -> list[tuple[SteeredText, ...]]:
        """By unit, from the continuations of the first prompt, of the second, …"""
        prompts = [self.subject.tokenizer.decode(row[-PROMPT_TOKENS:]) for row in rows]  # without BOS
        clean, copies = self._clean(rows), len(changed) // len(rows)
        return [
            tuple(SteeredText(*text) for text in zip(prompts, clean, changed[unit::copies], strict=True))
            for unit in range(copies)
        ]

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

    def _bos(self, rows: Rows, copies: int) -> tuple[torch.Tensor, Any]:
        """Token ids of the prompts, each as often as asked for, and a key-value cache of BOS, None without one."""
        import torch

        ids = torch.tensor(rows, device=self.subject.device).repeat_interleave(copies, 0)
        first, rest = ids[:, :-PROMPT_TOKENS], ids[:, -PROMPT_TOKENS:]
        if not first.shape[1]:
            return rest, None
        return rest, self.subject.model.base_model(input_ids=first, use_cache=True).past_key_values

    def _read(self, rows: tuple[torch.Tensor, Any]) -> tuple[torch.Tensor, Any]:
        """Token ids and what comes before them, to (n, length, vocabulary) log probabilities and their cache."""
        ids, past = rows
        out = self.subject.model(input_ids=ids, past_key_values=past, use_cache=True)
        return out.logits.float().log_softmax(-1), out.past_key_values

    @contextmanager
    def _raised(
        self, hookpoint: Hookpoint, directions: torch.Tensor, strengths: NDArray[np.float64], n_prompts: int
    ) -> Iterator[None]:
        """Add its own multiple of its direction to each unit's rows."""
        import torch

        scale = torch.from_numpy(strengths).to(directions.device, torch.float32)
        deltas = (directions.float() * scale[:, None]).to(directions.dtype).repeat(n_prompts, 1)[:, None]
        with self._changed(hookpoint, lambda value: value + deltas):
            yield

    @contextmanager
    def _without(self, place: Place, units: Sequence[UnitId], n_prompts: int) -> Iterator[None]:
        """Take from each unit's rows what it contributes where they are."""
        import torch

        index = torch.tensor([unit.index for unit in units], device=self.subject.device).repeat(n_prompts)
        signs = torch.tensor([unit.sign for unit in units], device=self.subject.device).repeat(n_prompts)
        read: list[torch.Tensor] = []

        def remember(value: torch.Tensor) -> torch.Tensor:
            read[:] = [value]
            return value

        def reduce(value: torch.Tensor) -> torch.Tensor:
            vectors, length = read[0].flatten(0, 1), read[0].shape[1]
            each = (index.repeat_interleave(length), signs.repeat_interleave(length))
            return value - place.contributions(vectors, *each).view_as(value).to(value.dtype)

        with self._changed(place.reads, remember), self._changed(place.writes, reduce):
            yield

    def _changed(
        self, hookpoint: Hookpoint, change: Callable[[torch.Tensor], torch.Tensor]
    ) -> AbstractContextManager[None]:
        """Put what `change` makes of it in the place of what passes the hookpoint."""

        def passing(_: Hookpoint, value: Any) -> Any:
            return (change(value[0]), *value[1:]) if isinstance(value, tuple) else change(value)

        return hooked(self.subject.modules, [hookpoint], passing)


def _parts(places: Mapping[Place, list[int]], size: int) -> Iterator[tuple[Place, list[int]]]:
    """The units of each place, `size` at a time."""
    for place, mine in places.items():
        for start in range(0, len(mine), size):
            yield place, mine[start : start + size]


def _copies(ids: torch.Tensor, past: Any, n: int) -> tuple[torch.Tensor, Any]:
    """Each row n times, one after another, and the same of a copy of the key-value cache."""
    past = copy.deepcopy(past)
    past.batch_repeat_interleave(n)
    return ids.repeat_interleave(n, 0), past


def _kl(clean: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    """KL(clean || changed) of log probabilities, (n, …, vocabulary) and (n * copies, …, vocabulary).

    Returns:
        (n, copies, …)
    """
    import torch

    changed = changed.unflatten(0, (len(clean), -1))
    wanted = clean[:, None].expand_as(changed)
    return torch.nn.functional.kl_div(changed, wanted, reduction="none", log_target=True).sum(-1)
