"""Where to listen in a subject: names of modules, their aliases, the nearest where a name is unknown, and hooks.

A hookpoint is a module path in Hugging Face naming, read at the module's output, or at its input where
`.input` is appended. TransformerLens (also its bridge), sparsify, nnsight and nnterp names are accepted as
aliases:

1. The subject's stack of layers is found among its modules (`model.layers`, `transformer.h`, …).
2. An alias says which layer and which site in it; a site is looked up among the names that model families
   give it, in that layer.
3. Any other name is a module's path, whole, or from the body or the stack on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from neurogloss.errors import UserError

SITES: dict[str, tuple[str, ...]] = {
    "after": ("",),
    "before": (".input",),
    "middle": (
        ".ln_2.input",
        ".pre_feedforward_layernorm.input",
        ".post_attention_layernorm.input & .input_layernorm & .self_attn",
        ".attention.output.LayerNorm.input",
        ".layernorm_after.input",
        ".layer_norm2.input",
    ),
    "attention_in": (
        ".input_layernorm",
        ".ln_1",
        ".self_attn_layer_norm",
        ".attn_norm",
        ".layernorm_before",
        ".layer_norm1",
    ),
    "attention": (
        ".attention.output.dense",
        ".self_attn",
        ".attn",
        ".self_attention",
        ".attention",
    ),
    "attention_out": (".post_attention_layernorm & .post_feedforward_layernorm", "attention"),
    "heads": (
        ".self_attn.o_proj.input",
        ".self_attn.out_proj.input",
        ".self_attn.dense.input",
        ".attn.c_proj.input",
        ".attn.attention.out_proj.input",
        ".attn.out_proj.input",
        ".attn.Wo.input",
        ".self_attention.dense.input",
        ".attention.dense.input",
        ".attention.output.dense.input",
        ".attention.out_lin.input",
    ),
    "mlp_in": (
        ".pre_feedforward_layernorm",
        ".mlp.input",
        ".intermediate.dense.input",
        ".ffn.lin1.input",
        ".fc1.input",
    ),
    "before_neurons": (
        ".mlp.gate_proj",
        ".mlp.c_fc",
        ".mlp.dense_h_to_4h",
        ".mlp.fc1",
        ".mlp.fc_in",
        ".intermediate.dense",
        ".ffn.lin1",
        ".fc1",
    ),
    "neurons": (
        ".mlp.down_proj.input",
        ".mlp.c_proj.input",
        ".mlp.dense_4h_to_h.input",
        ".mlp.fc2.input",
        ".mlp.fc_out.input",
        ".mlp.Wo.input",
        ".output.dense.input",
        ".ffn.lin2.input",
        ".fc2.input",
    ),
    "mlp": (".mlp", ".output.dense", ".ffn", ".fc2"),
    "mlp_out": (".post_feedforward_layernorm", "mlp"),
}
"""What each site may be called, from the layer's path on, the first that is there; after `&`, what else the
layer must hold for that. A name without a dot is another site, tried next. The outputs of attention and MLP
are what is added to the stream, after the norm that Gemma puts there."""

ALIASES: tuple[tuple[str, str], ...] = (
    # TransformerLens
    (r"blocks\.(\d+)\.hook_resid_post", "after"),
    (r"blocks\.(\d+)\.hook_resid_mid", "middle"),
    (r"blocks\.(\d+)\.hook_resid_pre", "before"),
    (r"blocks\.(\d+)\.hook_attn_out", "attention_out"),
    (r"blocks\.(\d+)\.hook_mlp_in", "middle"),
    (r"blocks\.(\d+)\.hook_mlp_out", "mlp_out"),
    (r"blocks\.(\d+)\.ln1\.hook_normalized", "attention_in"),
    (r"blocks\.(\d+)\.ln2\.hook_normalized", "mlp_in"),
    (r"blocks\.(\d+)\.attn\.hook_z", "heads"),
    (r"blocks\.(\d+)\.mlp\.hook_pre", "before_neurons"),
    (r"blocks\.(\d+)\.mlp\.hook_post", "neurons"),
    # The bridge of TransformerLens 3
    (r"blocks\.(\d+)\.hook_out", "after"),
    (r"blocks\.(\d+)\.hook_in", "before"),
    (r"blocks\.(\d+)\.ln1\.hook_out", "attention_in"),
    (r"blocks\.(\d+)\.ln2\.hook_out", "mlp_in"),
    (r"blocks\.(\d+)\.attn\.hook_in", "attention_in"),
    (r"blocks\.(\d+)\.attn\.hook_out", "attention"),
    (r"blocks\.(\d+)\.attn\.o\.hook_in", "heads"),
    (r"blocks\.(\d+)\.ln1_post\.hook_out", "attention_out"),
    (r"blocks\.(\d+)\.mlp\.hook_in", "mlp_in"),
    (r"blocks\.(\d+)\.mlp\.hook_out", "mlp"),
    (r"blocks\.(\d+)\.mlp\.out\.hook_in", "neurons"),
    (r"blocks\.(\d+)\.ln2_post\.hook_out", "mlp_out"),
    # sparsify; before it a body's own name
    (r"(?:\w+\.)*(?:layers?|h)\.(\d+)\.mlp\.act", "neurons"),
    (r"(?:\w+\.)*(?:layers?|h)\.(\d+)\.attn", "attention"),
    (r"layers\.(\d+)\.mlp", "mlp"),
    # nnterp
    (r"layers_output\[(\d+)\]", "after"),
    (r"layers_input\[(\d+)\]", "before"),
    (r"mlps_output\[(\d+)\]", "mlp"),
    (r"attentions_output\[(\d+)\]", "attention"),
)
"""Alias, with the number of its layer, to site. A module of the subject that has this very name comes first."""

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks)\.(\d+)(?=\.|$)")


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
    stack = _stack(modules)
    found, path = _alias(name.strip(), stack, modules)
    if found:
        return found
    path = path.removesuffix(".input").removesuffix(".output")
    nearest = difflib.get_close_matches(path, [module for module in modules if module], n=5, cutoff=0.0)
    raise UserError(
        f"Expected a module of the subject, found {name!r}. The nearest are: {', '.join(nearest)}. "
        "Append .input to read a module's input (neurons: …mlp.down_proj.input)."
    )


def _alias(wanted: str, stack: str, modules: Collection[str]) -> tuple[Hookpoint | None, str]:
    """What `wanted` means, if anything, and the path that it comes nearest to."""
    for pattern, site in ALIASES:
        match = re.fullmatch(pattern, wanted)
        if match and wanted not in modules:
            layer = f"{stack}.{match[1]}"
            return _at(layer, site, modules), wanted if "layers." in wanted else layer
    path = re.sub(r"\.(input|output)\[0\]$", r".\1", wanted)  # nnsight: the first of several
    path = re.sub(r"(?<=\w)\[(\d+)\]", r".\1", path)
    for candidate in _readings(path, stack):
        for end, at_input in (("", False), (".input", True), (".output", False)):
            module = candidate.removesuffix(end)
            if candidate.endswith(end) and module and module in modules:
                return Hookpoint(module, at_input), path
    return None, path


def _stack(modules: Collection[str]) -> str:
    """Path of the subject's layers; of several, that of the language model, else the first."""
    stacks = []
    for module in modules:
        match = _LAYER.search(module)
        if match and match.end() == len(module):
            stacks.append(module[: match.start(1) - 1])
    language = [stack for stack in stacks if "language" in stack or "text" in stack]
    return next(iter(language or stacks), "layers")


def _at(layer: str, site: str, modules: Collection[str]) -> Hookpoint | None:
    if layer not in modules:
        return None
    for candidate in SITES[site]:
        if not candidate.startswith(".") and candidate:
            return _at(layer, candidate, modules)
        end, *needed = candidate.split(" & ")
        module = layer + end.removesuffix(".input")
        if all(path in modules for path in (module, *(layer + other for other in needed))):
            return Hookpoint(module, end.endswith(".input"))
    return None


def _readings(path: str, stack: str) -> list[str]:
    """`path` as it stands, below each part of the body, and with the stack's own name."""
    parts = stack.split(".")
    readings = [path] + [".".join([*parts[:n], path]) for n in range(1, len(parts))]
    match = _LAYER.search(path)
    if match:
        readings.append(f"{stack}.{path[match.start(1) :]}")
    return readings


class _Stop(Exception):
    """Ends a forward pass that has delivered all its hookpoints."""


@contextmanager
def hooked(
    modules: Mapping[str, Any], hookpoints: Iterable[Hookpoint], passing: Callable[[Hookpoint, Any], Any]
) -> Iterator[None]:
    """While this is open, `passing` gets what passes each hookpoint, and what it returns goes on instead: None
    leaves it as it is.
    """
    handles = []
    for hookpoint in dict.fromkeys(hookpoints):
        module = modules[hookpoint.module]
        if hookpoint.at_input:
            handles.append(module.register_forward_pre_hook(lambda _, args, at=hookpoint: passing(at, args)))
        else:
            handles.append(module.register_forward_hook(lambda _, __, out, at=hookpoint: passing(at, out)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def heard(
    modules: Mapping[str, Any],
    hookpoints: Iterable[Hookpoint],
    read: Callable[[Hookpoint, Any], Any],
    forward: Callable[[], object],
) -> dict[Hookpoint, Any]:
    """What `read` makes of what passes each hookpoint in a forward pass, which is ended once all have been passed.

    Those that are never reached are missing.
    """
    found: dict[Hookpoint, Any] = {}
    wanted = set(hookpoints)

    def keep(hookpoint: Hookpoint, value: Any) -> None:
        found[hookpoint] = read(hookpoint, value)
        if len(found) == len(wanted):
            raise _Stop

    with hooked(modules, wanted, keep):
        try:
            forward()
        except _Stop:
            pass
    return found
