"""The subject: a Hugging Face causal language model or encoder, run up to the last hookpoint and no further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from neurogloss.errors import UserError
from neurogloss.protocols import Progress, Quiet
from neurogloss.settings import DEMO_SUBJECT, CollectSettings
from neurogloss.sources import loading
from neurogloss.sources.hookpoints import Hookpoint, heard, resolve
from neurogloss.sources.loading import packaged_folder, require_torch
from neurogloss.sources.spelling import Speller

if TYPE_CHECKING:
    import torch

WRITERS = frozenset(
    "down_proj o_proj c_proj out_proj dense dense_4h_to_h fc2 fc_out out_lin lin2 Wo "
    "embed_tokens wte embed_in word_embeddings".split()
)
"""Matrices whose output is added to the residual stream, by the last part of their path."""
FINAL_NORMS = (
    "norm",
    "ln_f",
    "final_layer_norm",
    "final_layernorm",
    "decoder.final_layer_norm",
    "language_model.norm",
)
"""Where the norm before the LM head is, from the body on."""
BosPolicy = Literal["auto", "always", "never"]
"""Whether a row starts with BOS: where the tokenizer has one, always, or never."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as the subject reads it."""

    ids: tuple[int, ...]
    starts: tuple[int, ...]
    """First character of each token in the text."""


class Subject:
    """A model and its tokenizer, in evaluation mode."""

    def __init__(
        self, name: str, model: Any, tokenizer: Any, fingerprint: str, bos_policy: BosPolicy = "auto"
    ) -> None:
        self.name = name
        """What unit ids call it."""
        self.model = model
        """A Hugging Face causal language model, or an encoder without a head."""
        self.tokenizer = tokenizer
        """Its fast tokenizer."""
        self.fingerprint = fingerprint
        """Hash of what the weights are."""
        self.bos_policy = bos_policy

    @classmethod
    def load(
        cls,
        spec: str,
        progress: Progress | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        bos: BosPolicy = "auto",
    ) -> Subject:
        """The packaged subject by its name, or a Hugging Face model: a local folder, `org/name` on the hub, or
        a .gguf file.

        Args:
            device: as torch names it; `auto` is CUDA, else MPS, else the CPU.
            dtype: `float32`, `bfloat16` or `float16`; `auto` is bfloat16 on CUDA, else float32.
            bos: whether each row starts with BOS.

        Raises:
            MissingExtra: torch, transformers or the packaged weights are not installed.
            UserError: `spec` is none of these or does not load; the device, the dtype or BOS is not to be had.
        """
        if spec == DEMO_SUBJECT:
            path, name = packaged_folder(progress or Quiet()), DEMO_SUBJECT
        else:
            path, name = loading.find(spec)
        where = loading.device(device)
        model, tokenizer = loading.read(path, loading.dtype(dtype, where))
        if not tokenizer.is_fast:
            raise UserError(f"{path} has no fast tokenizer (tokenizer.json), which gives token positions.")
        subject = cls(name, model.eval().to(where), tokenizer, loading.fingerprint(path), bos)
        if bos == "always" and subject.bos is None:
            raise UserError(
                f"Expected a BOS token in {path}, whose tokenizer has none. Use the BOS policy `auto`."
            )
        return subject

    @classmethod
    def of(cls, settings: CollectSettings, progress: Progress | None = None) -> Subject:
        """The subject that the settings name. Raises as `load` does."""
        return cls.load(settings.subject, progress, device=settings.device, dtype=settings.dtype, bos=settings.bos)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        found: torch.device = self.model.device
        return found

    @cached_property
    def _speller(self) -> Speller:
        return Speller(self.tokenizer)

    @cached_property
    def modules(self) -> dict[str, Any]:
        """Every module by its path."""
        return dict(self.model.named_modules())

    @cached_property
    def bos(self) -> int | None:
        """Id that each row starts with, None where the policy or the tokenizer has none.

        The first position takes up outlier activations (an attention sink); with a BOS there they are
        no part of any context.
        """
        if self.bos_policy == "never":
            return None
        token: int | None = self.tokenizer.bos_token_id
        if token is None and self.bos_policy == "always":
            token = self.tokenizer.cls_token_id
        return token

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that stand for no text."""
        return frozenset(self.tokenizer.all_special_ids)

    def hookpoint(self, name: str) -> Hookpoint:
        """The hookpoint of that name or alias. Raises UserError that lists the nearest."""
        return resolve(name, self.modules)

    def tokenize(self, text: str) -> Tokens:
        """Ids and character positions, without special tokens."""
        encoding = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False, truncation=False
        )
        return Tokens(tuple(encoding["input_ids"]), tuple(start for start, _ in encoding["offset_mapping"]))

    def spell(self, ids: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        """The text of `ids`, as the tokenizer decodes them without clean-up, and each one's first character in it.

        The starts ascend; a token that begins inside a character gets that character's start.

        Raises:
            UserError: an id that the model has no embedding for.
        """
        known = self.model.get_input_embeddings().weight.shape[0]
        strange = next((i for i in ids if not 0 <= i < known), None)
        if strange is not None:
            raise UserError(
                f"Expected token ids from 0 to {known - 1}, as {self.name} has them, found {strange}. "
                "Give a corpus that was cut with this subject's tokenizer."
            )
        return self._speller.spell(ids)

    def vectors(
        self, rows: Sequence[Sequence[int]], hookpoints: Sequence[Hookpoint]
    ) -> dict[Hookpoint, torch.Tensor]:
        """What passes each hookpoint while the rows are read, BOS first where there is one.

        Returns:
            For each hookpoint a tensor (len(rows), longest row, width) on the model's device, float32 on the
            CPU and in the model's dtype elsewhere; the BOS position is left out, and what lies beyond a row's
            end means nothing.

        Raises:
            UserError: a hookpoint passes no vector a token.
        """
        require_torch()
        import torch

        first = [] if self.bos is None else [self.bos]
        longest = max(len(row) for row in rows) + len(first)
        ids = torch.zeros((len(rows), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row) + len(first)] = torch.tensor([*first, *row])
            mask[i, : len(row) + len(first)] = 1
        inputs = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        if hasattr(self.model.config, "use_cache"):
            inputs["use_cache"] = False
        with torch.inference_mode():
            found = heard(self.modules, hookpoints, _vectors, lambda: self.model.base_model(**inputs))
        for hookpoint in hookpoints:
            if hookpoint not in found:
                raise _no_vectors(hookpoint, "is never reached by the model's body")
        on_cpu = self.device.type == "cpu"
        after_bos = {hookpoint: vector[:, len(first) :] for hookpoint, vector in found.items()}
        return {hookpoint: vector.float() if on_cpu else vector for hookpoint, vector in after_bos.items()}

    def width(self, hookpoint: Hookpoint) -> int:
        """Size of the vectors that pass a hookpoint."""
        return int(self.vectors([[0]], [hookpoint])[hookpoint].shape[-1])

    def grid(self, hookpoint: Hookpoint) -> None:
        """None: text has no rows and columns."""

    def to_residual(self, hookpoint: Hookpoint, directions: torch.Tensor) -> torch.Tensor | None:
        """(n, width) directions at a hookpoint to (n, d_model) in the residual stream, None where unknown."""
        import torch

        module = self.modules[hookpoint.module]
        d_model = self.model.config.get_text_config().hidden_size
        if getattr(getattr(module, "weight", None), "ndim", 0) == 2:
            if hookpoint.module.rpartition(".")[2] not in WRITERS:
                return None
            if hookpoint.at_input:
                with torch.no_grad():
                    moved = directions.to(module.weight)
                    written: torch.Tensor = module(moved) - module(moved * 0)  # less its bias
                return written.to(directions) if written.shape[-1] == d_model else None
        return directions if directions.shape[-1] == d_model else None

    def require_head(self) -> Any:
        """The LM head. Raises UserError where the subject has none, as an encoder."""
        head = self.model.get_output_embeddings()
        if head is None:
            raise UserError(
                f"Expected a causal language model, found {self.name}, which has no language-model head. "
                "What needs output tokens or continuations, as steering does, needs another subject."
            )
        return head

    def output_logits(self, residual: torch.Tensor) -> torch.Tensor:
        """(n, d_model) directions to (n, vocabulary) logits: the final norm's gain, then the LM head.

        Float32, on the device of the directions.

        Raises:
            UserError: the subject has no LM head.
        """
        from torch.nn.functional import linear

        weight = self.require_head().weight.detach().float()
        logits: torch.Tensor = linear(residual.to(weight) * self._final_gain(weight), weight)
        return logits.to(residual.device)

    def _final_gain(self, like: torch.Tensor) -> torch.Tensor:
        """(d_model,) gain of the final norm, 1 where there is none, on the device of `like`.

        It is what the norm makes of a vector of ones of either sign, so that it does not matter whether the
        norm multiplies by its weight or, as Gemma's does, by one more.
        """
        import torch

        ones = torch.ones_like(like[0])
        ones[1::2] = -1
        norms = dict(self.model.base_model.named_modules())
        norm = next((norms[name] for name in FINAL_NORMS if name in norms), None)
        if norm is None:
            return torch.ones_like(ones)
        with torch.no_grad():
            both = norm(torch.stack([ones, -ones]).to(self.device, self.model.dtype)).to(like)
        return (both[0] - both[1]) / 2 * ones


def _vectors(hookpoint: Hookpoint, value: Any) -> Any:
    """The vector at each position in what a module passes."""
    value = value[0] if isinstance(value, tuple) and value else value
    if getattr(value, "ndim", 0) != 3:
        raise _no_vectors(hookpoint, "passes something else, or nothing by position")
    return value


def _no_vectors(hookpoint: Hookpoint, found: str) -> UserError:
    return UserError(
        f"Expected one vector a token at {hookpoint}, which {found}. "
        "Name a layer, its mlp or self_attn, or a matrix inside them (neurons: …mlp.down_proj.input)."
    )
