"""A small causal language model in this process: log probabilities, no server and no instructions needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from neurogloss.llm import Likelihood

if TYPE_CHECKING:
    import torch

ROWS_TOKENS = 1024
"""Continuation tokens in one forward pass, padding included."""


class EmbeddedModel:
    """A Hugging Face causal language model (the subject's own, say), loaded when it is first asked.

    Implements `neurogloss.llm.CausalModel`. The keys and values of the last few prefixes are kept.
    """

    def __init__(self, load: Callable[[], tuple[Any, Any]], name: str) -> None:
        """`load`: gives the model and its tokenizer."""
        self.name, self._load = name, load
        self._prefix = lru_cache(4)(self._read_prefix)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return self._load()

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        """log p(continuation | prefix), in nats; the prefix is read once.

        A continuation that is one word should begin with its space. An empty one has total 0 and no tokens.
        """

        import torch

        _, tokenizer = self._loaded
        rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in continuations]
        found: dict[int, Likelihood] = {i: Likelihood(0.0, 0) for i, row in enumerate(rows) if not row}
        order = sorted((i for i in range(len(rows)) if rows[i]), key=lambda i: len(rows[i]))
        with torch.inference_mode():
            while order:
                take = max(1, ROWS_TOKENS // len(rows[order[-1]]))
                batch, order = order[-take:], order[:-take]
                totals = self._read(prefix, [rows[i] for i in batch])
                found |= {i: Likelihood(t, len(rows[i])) for i, t in zip(batch, totals, strict=True)}
        return [found[i] for i in range(len(rows))]

    def _read_prefix(self, prefix: str) -> tuple[Any, torch.Tensor]:
        """Keys and values of the prefix, and the log probabilities after it."""
        import torch

        model, tokenizer = self._loaded
        ids = tokenizer(prefix, add_special_tokens=False)["input_ids"]
        first = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        out = model(input_ids=torch.tensor([first + ids]), use_cache=True, logits_to_keep=1)
        return out.past_key_values, out.logits[:, -1].float().log_softmax(-1)

    def _read(self, prefix: str, rows: Sequence[Sequence[int]]) -> list[float]:
        import copy

        import torch

        past, first = self._prefix(prefix)
        totals = first[0, [row[0] for row in rows]]
        longest = max(len(row) for row in rows)
        if longest == 1:
            return [float(t) for t in totals]
        past = copy.deepcopy(past)
        past.batch_repeat_interleave(len(rows))
        ids = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
        # Padding stands after every real token, where a causal model does not see it.
        logits = self._loaded[0](input_ids=ids[:, :-1], past_key_values=past).logits
        each = logits.float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
        keep = torch.arange(1, longest)[None] < torch.tensor([len(row) for row in rows])[:, None]
        return [float(t) for t in totals + (each * keep).sum(1)]
