from __future__ import annotations

import pytest

from neurogloss.errors import UserError
from neurogloss.sources.hookpoints import Hookpoint, layer_of, resolve

LAYER = ("", ".self_attn", ".self_attn.o_proj", ".mlp", ".mlp.gate_proj", ".mlp.down_proj")
LLAMA = {"", "model", "model.norm", "lm_head"} | {f"model.layers.{n}{end}" for n in range(12) for end in LAYER}
GPT2 = {"", "transformer", "transformer.ln_f", "transformer.h.0", "transformer.h.0.mlp"}


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("model.layers.3.mlp", "model.layers.3.mlp"),
        ("model.layers.3.mlp.output", "model.layers.3.mlp"),
        ("model.layers.3.mlp.down_proj.input", "model.layers.3.mlp.down_proj.input"),
        ("layers.3.mlp.down_proj.input", "model.layers.3.mlp.down_proj.input"),
        (" layers.11 ", "model.layers.11"),
        # TransformerLens
        ("blocks.11.hook_resid_post", "model.layers.11"),
        ("blocks.11.hook_resid_pre", "model.layers.11.input"),
        ("blocks.2.hook_mlp_out", "model.layers.2.mlp"),
        ("blocks.2.mlp.hook_post", "model.layers.2.mlp.down_proj.input"),
        ("blocks.2.attn.hook_z", "model.layers.2.self_attn.o_proj.input"),
        ("blocks.2.hook_attn_out", "model.layers.2.self_attn"),
        # sparsify
        ("layers.4.mlp.act", "model.layers.4.mlp.down_proj.input"),
        ("layers.4.attn", "model.layers.4.self_attn"),
        # nnterp
        ("layers_output[5]", "model.layers.5"),
        ("layers_input[5]", "model.layers.5.input"),
        ("mlps_output[5]", "model.layers.5.mlp"),
        ("attentions_output[5]", "model.layers.5.self_attn"),
    ],
)
def test_names_and_aliases(name: str, printed: str) -> None:
    found = resolve(name, LLAMA)
    assert str(found) == printed
    assert found == Hookpoint(printed.removesuffix(".input"), printed.endswith(".input"))
    assert resolve(str(found), LLAMA) == found


def test_names_of_another_family() -> None:
    assert resolve("h.0.mlp.input", GPT2) == Hookpoint("transformer.h.0.mlp", True)


def test_a_module_that_is_called_output_is_itself() -> None:
    modules = {"", "encoder.layer.0", "encoder.layer.0.output"}
    assert resolve("encoder.layer.0.output", modules) == Hookpoint("encoder.layer.0.output", False)
    assert resolve("encoder.layer.0.output.input", modules) == Hookpoint("encoder.layer.0.output", True)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("model.layers.3.mlp.down_prj.input", "model.layers.3.mlp.down_proj"),
        ("layers.12.mlp", "model.layers.2.mlp"),
        ("blocks.12.hook_resid_post", "model.layers.2"),
        ("lm-head", "lm_head"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(name, LLAMA)
    assert repr(name) in str(caught.value)
    assert nearest in str(caught.value).partition("nearest are: ")[2].partition(". Append")[0].split(", ")


@pytest.mark.parametrize("name", ["", "  ", ".input", ".output"])
def test_no_name_is_unknown(name: str) -> None:
    with pytest.raises(UserError, match="module of the subject"):
        resolve(name, LLAMA)


def test_the_layer_of_a_hookpoint() -> None:
    assert layer_of("model.layers.14.mlp.down_proj.input") == 14
    assert layer_of("transformer.h.3") == 3
    assert layer_of("model.norm") is None
