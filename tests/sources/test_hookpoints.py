from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from neurogloss.errors import UserError
from neurogloss.sources.hookpoints import Hookpoint, resolve
from neurogloss.sources.subject import Subject

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


def tiny(family: str) -> Any:
    """A random model of two layers, in evaluation mode; width 32, MLP 48 (GPT-2: 128)."""
    import torch
    import transformers as t

    sizes = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "initializer_range": 0.3}
    usual = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, **sizes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        models: dict[str, Callable[[], Any]] = {
            "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(n_embd=32, n_layer=2, n_head=2, **sizes)),
            "neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**usual)),
            "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**usual)),
            "gemma2": lambda: t.Gemma2ForCausalLM(
                t.Gemma2Config(**{**usual, "num_key_value_heads": 1, "head_dim": 16})
            ),
            "bert": lambda: t.BertModel(t.BertConfig(**usual)),
            "distilbert": lambda: t.DistilBertModel(
                t.DistilBertConfig(dim=32, hidden_dim=48, n_layers=2, n_heads=2, **sizes)
            ),
        }
        return models[family]().eval().requires_grad_(False)


FAMILIES: dict[str, dict[str, tuple[str, ...]]] = {
    "gpt2": {
        "transformer.h.1": (
            "blocks.1.hook_resid_post",
            "blocks.1.hook_out",
            "layers.1",
            "layers_output[1]",
            "h.1",
        ),
        "transformer.h.1.input": ("blocks.1.hook_resid_pre", "blocks.1.hook_in", "layers_input[1]"),
        "transformer.h.1.ln_2.input": ("blocks.1.hook_resid_mid",),
        "transformer.h.1.mlp": ("blocks.1.hook_mlp_out", "layers.1.mlp", "h.1.mlp", "mlps_output[1]"),
        "transformer.h.1.mlp.input": ("blocks.1.ln2.hook_normalized", "blocks.1.mlp.hook_in"),
        "transformer.h.1.mlp.c_fc": ("blocks.1.mlp.hook_pre",),
        "transformer.h.1.mlp.c_proj.input": ("blocks.1.mlp.hook_post", "h.1.mlp.act", "blocks.1.mlp.out.hook_in"),
        "transformer.h.1.attn": ("blocks.1.hook_attn_out", "h.1.attn", "layers.1.attn", "attentions_output[1]"),
        "transformer.h.1.attn.c_proj.input": ("blocks.1.attn.hook_z", "blocks.1.attn.o.hook_in"),
    },
    "neox": {
        "gpt_neox.layers.0": ("blocks.0.hook_resid_post", "layers.0", "layers[0].output[0]"),
        "gpt_neox.layers.0.mlp": ("blocks.0.hook_mlp_out", "layers.0.mlp"),
        "gpt_neox.layers.0.mlp.dense_4h_to_h.input": ("blocks.0.mlp.hook_post", "layers.0.mlp.act"),
        "gpt_neox.layers.0.attention": ("blocks.0.hook_attn_out", "layers.0.attention", "layers.0.attn"),
        "gpt_neox.layers.0.attention.dense.input": ("blocks.0.attn.hook_z",),
    },
    "llama": {
        "model.layers.1": ("blocks.1.hook_out", "model.layers[1].output[0]", "layers.1.output"),
        "model.layers.1.post_attention_layernorm.input": ("blocks.1.hook_resid_mid",),
        "model.layers.1.input_layernorm": ("blocks.1.ln1.hook_normalized",),
        "model.layers.1.mlp.gate_proj": ("blocks.1.mlp.hook_pre",),
        "model.layers.1.mlp.down_proj.input": ("layers.1.mlp.act",),
    },
    "gemma2": {
        "model.layers.0.post_feedforward_layernorm": ("blocks.0.hook_mlp_out", "blocks.0.ln2_post.hook_out"),
        "model.layers.0.mlp": ("blocks.0.mlp.hook_out", "mlps_output[0]"),
        "model.layers.0.pre_feedforward_layernorm": ("blocks.0.ln2.hook_normalized", "blocks.0.mlp.hook_in"),
        "model.layers.0.pre_feedforward_layernorm.input": ("blocks.0.hook_resid_mid",),
        "model.layers.0.post_attention_layernorm": ("blocks.0.hook_attn_out",),
        "model.layers.0.self_attn": ("blocks.0.attn.hook_out", "attentions_output[0]"),
    },
    "bert": {
        "encoder.layer.1": ("blocks.1.hook_resid_post", "layers.1", "layer.1", "bert.encoder.layer.1"),
        "encoder.layer.1.output.dense": ("blocks.1.hook_mlp_out", "layers.1.mlp"),
        "encoder.layer.1.output.dense.input": ("blocks.1.mlp.hook_post", "encoder.layer.1.mlp.act"),
        "encoder.layer.1.attention.output.dense": ("blocks.1.hook_attn_out",),
        "encoder.layer.1.attention.output.dense.input": ("blocks.1.attn.hook_z",),
    },
    "distilbert": {
        "transformer.layer.1": ("blocks.1.hook_resid_post",),
        "transformer.layer.1.ffn.lin2.input": ("blocks.1.mlp.hook_post",),
        "transformer.layer.1.attention.out_lin.input": ("blocks.1.attn.hook_z",),
    },
}


@pytest.mark.parametrize("family", FAMILIES)
def test_aliases_of_each_family(family: str) -> None:
    modules = dict(tiny(family).named_modules())
    for printed, names in FAMILIES[family].items():
        assert {name: str(resolve(name, modules)) for name in (printed, *names)} == dict.fromkeys(
            (printed, *names), printed
        )


class Ids:
    bos_token_id = None


def read(model: Any, ids: list[int], *names: str) -> dict[str, Any]:
    subject = Subject("tiny", model, Ids(), "")
    hookpoints = [subject.hookpoint(name) for name in names]
    found = subject.vectors([ids], hookpoints)
    return {name: found[hookpoint][0] for name, hookpoint in zip(names, hookpoints, strict=True)}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_aliases_reach_the_residual_stream(family: str) -> None:
    import torch

    model, ids = tiny(family), [3, 7, 5, 40]
    with torch.no_grad():
        states = model.base_model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    names = {"blocks.0.hook_resid_pre": 0, "blocks.0.hook_out": 1, "layers_output[0]": 1, "layers_input[1]": 1}
    found = read(model, ids, *names)
    for name, layer in names.items():
        torch.testing.assert_close(found[name], states[layer][0])


@pytest.mark.parametrize("family", FAMILIES)
def test_what_attention_and_mlp_write_adds_up_to_the_stream(family: str) -> None:
    """The site after a layer is the one before it plus both outputs; encoders norm between."""
    import torch

    model = tiny(family)
    sites = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
    before, attention, mlp, after = read(model, [3, 7, 5, 40], *(f"blocks.0.{site}" for site in sites)).values()
    if family == "bert":
        layer = model.encoder.layer[0]
        total = layer.output.LayerNorm(layer.attention.output.LayerNorm(before + attention) + mlp)
    elif family == "distilbert":
        layer = model.transformer.layer[0]
        total = layer.output_layer_norm(layer.sa_layer_norm(before + attention) + mlp)
    else:
        total = before + attention + mlp
    torch.testing.assert_close(after, total, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "bert"])
def test_the_middle_of_a_layer_is_the_stream_plus_attention(family: str) -> None:
    import torch

    sites = ("hook_resid_pre", "hook_attn_out", "hook_resid_mid")
    before, attention, middle = read(tiny(family), [3, 7, 5], *(f"blocks.1.{site}" for site in sites)).values()
    torch.testing.assert_close(middle, before + attention, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["ViT", "CLIPVision"])
def test_the_middle_of_a_vision_transformers_layer_is_the_stream_plus_attention(family: str) -> None:
    import torch
    import transformers as t

    config = getattr(t, f"{family}Config")(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
    )
    model = getattr(t, f"{family}Model")(config).eval()
    modules, seen = dict(model.named_modules()), {}

    def listen(site: str) -> None:
        found = str(resolve(f"blocks.1.{site}", modules))
        name = found.removesuffix(".input")

        def keep(module: Any, given: Any, out: Any) -> None:
            out = given if name != found else out
            seen[site] = out[0] if isinstance(out, tuple) else out

        modules[name].register_forward_hook(keep)

    for site in ("hook_resid_pre", "hook_attn_out", "hook_resid_mid"):
        listen(site)
    with torch.inference_mode():
        model(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(seen["hook_resid_mid"], seen["hook_resid_pre"] + seen["hook_attn_out"])


def test_a_middle_that_a_parallel_layer_has_not_is_unknown() -> None:
    with pytest.raises(UserError, match=r"gpt_neox\.layers\.1"):
        resolve("blocks.1.hook_resid_mid", dict(tiny("neox").named_modules()))


@pytest.mark.parametrize("family", FAMILIES)
def test_neurons_and_heads_are_what_the_output_matrices_read(family: str) -> None:
    import torch

    model = tiny(family)
    names = ("blocks.1.attn.hook_z", "blocks.1.attn.hook_out", "blocks.1.mlp.hook_post", "blocks.1.mlp.hook_out")
    heads, attention, neurons, mlp = read(model, [3, 7, 5], *names).values()
    modules = dict(model.named_modules())
    for name, read_by, written in ((names[0], heads, attention), (names[2], neurons, mlp)):
        matrix = modules[resolve(name, modules).module]
        torch.testing.assert_close(matrix(read_by), written, rtol=1e-4, atol=1e-4)
    assert neurons.shape == (3, 128 if family == "gpt2" else 48) and heads.shape == (3, 32)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_the_mlp_writes_what_it_makes_of_its_input(family: str) -> None:
    import torch

    model = tiny(family)
    inside, written = read(model, [3, 7, 5], "blocks.1.ln2.hook_normalized", "mlps_output[1]").values()
    mlp = dict(model.named_modules())[resolve("mlps_output[1]", dict(model.named_modules())).module]
    torch.testing.assert_close(mlp(inside[None])[0], written, rtol=1e-4, atol=1e-4)


def test_of_two_stacks_the_language_models_is_meant() -> None:
    vision = {f"model.vision_tower.encoder.layers.{n}" for n in range(4)}
    modules = {"", *sorted(vision), *(f"model.language_model.layers.{n}" for n in range(4))}
    assert str(resolve("blocks.3.hook_resid_post", modules)) == "model.language_model.layers.3"
    assert str(resolve("model.layers.3", modules)) == "model.language_model.layers.3"
    assert str(resolve("model.vision_tower.encoder.layers.3", modules)) == "model.vision_tower.encoder.layers.3"


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
