"""The subject: a Hugging Face causal language model, run up to the last hookpoint and no further."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from safetensors import SafetensorError

from neurogloss.errors import MissingExtra, UserError
from neurogloss.folder import user_cache
from neurogloss.ids import content_id
from neurogloss.protocols import Progress, Quiet
from neurogloss.settings import DEMO_SUBJECT
from neurogloss.sources.hookpoints import Hookpoint, resolve
from neurogloss.weights import SMOLLM2

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "transformers", "accelerate", "gguf")
"""The extra [subject]; the last two read the packaged subject."""
INSTALL = f"pip install {' '.join(PACKAGES)}   (the extra [subject])"
WRITERS = ("down_proj", "o_proj", "c_proj", "out_proj", "dense", "dense_4h_to_h", "fc2", "embed_tokens", "wte")
"""Matrices whose output is added to the residual stream, by the last part of their path."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as the subject reads it."""

    ids: tuple[int, ...]
    starts: tuple[int, ...]
    """First character of each token in the text."""


class _Stop(Exception):
    """Ends a forward pass that has delivered all its hookpoints."""


class Subject:
    """A model and its tokenizer, in evaluation mode."""

    def __init__(self, name: str, model: Any, tokenizer: Any, fingerprint: str) -> None:
        self.name = name
        """What unit ids call it."""
        self.model = model
        """A Hugging Face causal language model."""
        self.tokenizer = tokenizer
        """Its fast tokenizer."""
        self.fingerprint = fingerprint
        """Hash of what the weights are."""

    @classmethod
    def load(cls, spec: str, progress: Progress | None = None) -> Subject:
        """The packaged subject by its name, or a Hugging Face model from a local folder.

        Raises:
            MissingExtra: torch, transformers or the packaged weights are not installed.
            UserError: `spec` is neither a known name nor a folder with a causal language model.
        """
        folder = packaged_folder(progress or Quiet()) if spec == DEMO_SUBJECT else Path(spec)
        if not (folder / "config.json").is_file():
            raise UserError(
                f"Expected the name {DEMO_SUBJECT!r} or a folder with a Hugging Face model, found {spec!r}, "
                f"{'a folder without config.json' if folder.is_dir() else 'which is no folder'}. "
                "Download a model into a folder first and give that folder."
            )
        torch, transformers = _torch(), _transformers()
        # RuntimeError: weights of other shapes than the configuration says.
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise UserError(f"{folder} holds no causal language model that loads: {error}") from None
        if not tokenizer.is_fast:
            raise UserError(f"{folder} has no fast tokenizer (tokenizer.json), which gives token positions.")
        return cls(folder.resolve().name, model.eval(), tokenizer, _fingerprint(folder))

    @cached_property
    def modules(self) -> dict[str, Any]:
        """Every module by its path."""
        return dict(self.model.named_modules())

    @cached_property
    def bos(self) -> int | None:
        """Id that each row starts with, None where the tokenizer has none.

        The first position takes up outlier activations (an attention sink); with a BOS there they are
        no part of any context.
        """
        token: int | None = self.tokenizer.bos_token_id
        return token

    def hookpoint(self, name: str) -> Hookpoint:
        """The hookpoint of that name or alias. Raises UserError that lists the nearest."""
        return resolve(name, self.modules)

    def tokenize(self, text: str) -> Tokens:
        """Ids and character positions, without special tokens."""
        encoding = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False, truncation=False
        )
        return Tokens(tuple(encoding["input_ids"]), tuple(start for start, _ in encoding["offset_mapping"]))

    def vectors(
        self, rows: Sequence[Sequence[int]], hookpoints: Sequence[Hookpoint]
    ) -> dict[Hookpoint, torch.Tensor]:
        """What passes each hookpoint while the rows are read, BOS first where there is one.

        Returns:
            For each hookpoint a float32 tensor (len(rows), longest row, width); the BOS position is left
            out, and what lies beyond a row's end means nothing.

        Raises:
            UserError: a hookpoint passes no vector a token.
        """
        _torch()
        import torch

        first = [] if self.bos is None else [self.bos]
        longest = max(len(row) for row in rows) + len(first)
        ids = torch.zeros((len(rows), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row) + len(first)] = torch.tensor([*first, *row])
            mask[i, : len(row) + len(first)] = 1
        found: dict[Hookpoint, torch.Tensor] = {}
        with torch.inference_mode(), self._listening(hookpoints, found):
            try:
                self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
            except _Stop:
                pass
        for hookpoint in hookpoints:
            if hookpoint not in found:
                raise _no_vectors(hookpoint, "is never reached by the model's body")
        return {hookpoint: vector[:, len(first) :].float() for hookpoint, vector in found.items()}

    def width(self, hookpoint: Hookpoint) -> int:
        """Size of the vectors that pass a hookpoint."""
        return int(self.vectors([[0]], [hookpoint])[hookpoint].shape[-1])

    def to_residual(self, hookpoint: Hookpoint, directions: torch.Tensor) -> torch.Tensor | None:
        """(n, width) directions at a hookpoint to (n, d_model) in the residual stream, None where unknown."""
        module = self.modules[hookpoint.module]
        if getattr(getattr(module, "weight", None), "ndim", 0) == 2:
            if hookpoint.module.rpartition(".")[2] not in WRITERS:
                return None
            if hookpoint.at_input:
                written: torch.Tensor = module(directions) - module(directions * 0)  # less its bias
                return written.detach()
        return directions if directions.shape[-1] == self.model.config.hidden_size else None

    def output_logits(self, residual: torch.Tensor) -> torch.Tensor:
        """(n, d_model) directions to (n, vocabulary) logits: the final norm's gain, then the LM head."""
        norm = getattr(self.model.base_model, "norm", None) or getattr(self.model.base_model, "ln_f", None)
        gain = getattr(norm, "weight", None)
        head = self.model.get_output_embeddings().weight.detach().float()
        logits: torch.Tensor = (residual if gain is None else residual * gain.detach().float()) @ head.T
        return logits

    @contextmanager
    def _listening(self, hookpoints: Sequence[Hookpoint], found: dict[Hookpoint, torch.Tensor]) -> Iterator[None]:
        def keep(hookpoint: Hookpoint, value: Any) -> None:
            value = value[0] if isinstance(value, tuple) and value else value
            if getattr(value, "ndim", 0) != 3:
                raise _no_vectors(hookpoint, "passes something else, or nothing by position")
            found[hookpoint] = value
            if len(found) == len(set(hookpoints)):
                raise _Stop

        handles = []
        for hookpoint in dict.fromkeys(hookpoints):
            module = self.modules[hookpoint.module]
            if hookpoint.at_input:
                handles.append(module.register_forward_pre_hook(lambda _, args, at=hookpoint: keep(at, args)))
            else:
                handles.append(module.register_forward_hook(lambda _, __, out, at=hookpoint: keep(at, out)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _no_vectors(hookpoint: Hookpoint, found: str) -> UserError:
    return UserError(
        f"Expected one vector a token at {hookpoint}, which {found}. "
        "Name a layer, its mlp or self_attn, or a matrix inside them (neurons: …mlp.down_proj.input)."
    )


def require_subject_packages() -> None:
    """Raise MissingExtra where what runs a subject is not installed. Imports nothing."""
    for package in PACKAGES:
        if sys.modules.get(package, ...) is None or not importlib.util.find_spec(package):
            raise MissingExtra(package, INSTALL)


def packaged_folder(progress: Progress | None = None) -> Path:
    """Folder of the packaged subject as safetensors, converted on first use into the user's cache."""
    progress = progress or Quiet()
    folder = user_cache() / DEMO_SUBJECT
    if (folder / "config.json").is_file():
        return folder
    source = SMOLLM2.path()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "config.json").is_file():
            progress.start("converting SmolLM2 to safetensors, once (about a minute)", None, "step")
            _convert(source, folder)
    return folder


def _convert(source: Path, folder: Path) -> None:
    torch, transformers = _torch(), _transformers()
    gguf = {"gguf_file": source.name, "local_files_only": True}
    tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, **gguf)
    model = transformers.AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **gguf)
    # What was de-quantised still says it is quantised, and is refused to be saved as such.
    model.hf_quantizer = None
    model.config.__dict__.pop("quantization_config", None)
    for left_over in folder.parent.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(left_over, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    os.replace(temporary, folder)


def _fingerprint(folder: Path) -> str:
    """Hash of the configuration and of each weight file's name and size."""
    weights: Mapping[str, int] = {path.name: path.stat().st_size for path in sorted(folder.glob("*.safetensors"))}
    return content_id([(folder / "config.json").read_text(encoding="utf-8"), weights])


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", INSTALL) from None
    return torch


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingExtra("transformers", INSTALL) from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers
