"""Where to listen in a subject: names of modules, their aliases, and the nearest where a name is unknown.

A hookpoint is a module path in Hugging Face naming, read at the module's output, or at its input where
`.input` is appended. TransformerLens, sparsify and nnterp names are accepted as aliases.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass

from neurogloss.errors import UserError

# Alias to Hugging Face path under the model's body, for models with `layers.N.mlp.down_proj`.
ALIASES: tuple[tuple[str, str], ...] = (
    (r"blocks\.(\d+)\.hook_resid_post", r"layers.\1"),
    (r"blocks\.(\d+)\.hook_resid_pre", r"layers.\1.input"),
    (r"blocks\.(\d+)\.hook_mlp_out", r"layers.\1.mlp"),
    (r"blocks\.(\d+)\.mlp\.hook_post", r"layers.\1.mlp.down_proj.input"),
    (r"blocks\.(\d+)\.attn\.hook_z", r"layers.\1.self_attn.o_proj.input"),
    (r"blocks\.(\d+)\.hook_attn_out", r"layers.\1.self_attn"),
    (r"layers\.(\d+)\.mlp\.act", r"layers.\1.mlp.down_proj.input"),
    (r"layers\.(\d+)\.attn", r"layers.\1.self_attn"),
    (r"layers_output\[(\d+)\]", r"layers.\1"),
    (r"layers_input\[(\d+)\]", r"layers.\1.input"),
    (r"mlps_output\[(\d+)\]", r"layers.\1.mlp"),
    (r"attentions_output\[(\d+)\]", r"layers.\1.self_attn"),
)


@dataclass(frozen=True, slots=True)
class Hookpoint:
    """One place in a subject."""

    module: str
    """Module path, as `model.named_modules()` has it."""
    at_input: bool
    """Whether the module's input is read, and not its output."""

    def __str__(self) -> str:
        return self.module + (".input" if self.at_input else "")


def resolve(name: str, modules: Collection[str]) -> Hookpoint:
    """The hookpoint that `name` means among a subject's `modules`.

    Raises:
        UserError: where no module has that name; it lists the nearest that do.
    """
    wanted = name.strip()
    for pattern, path in ALIASES:
        if re.fullmatch(pattern, wanted):
            wanted = re.sub(pattern, path, wanted)
            break
    at_input = wanted.endswith(".input")
    path = wanted.removesuffix(".input")
    if path not in modules:
        path = path.removesuffix(".output")
    for candidate in (path, f"model.{path}", f"transformer.{path}"):
        if candidate and candidate in modules:
            return Hookpoint(candidate, at_input)
    named = [module for module in modules if module]
    nearest = difflib.get_close_matches(path, named, n=5, cutoff=0.0)
    raise UserError(
        f"Expected a module of the subject, found {name!r}. The nearest are: {', '.join(nearest)}. "
        "Append .input to read a module's input (neurons: …mlp.down_proj.input)."
    )


def layer_of(hookpoint: str) -> int | None:
    """The layer number in a hookpoint's name, None where it has none."""
    match = re.search(r"\.(\d+)(?:\.|$)", hookpoint)
    return int(match.group(1)) if match else None
