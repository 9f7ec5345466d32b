from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurogloss.errors import UserError
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.subject import Subject

TEXTS = ("The river rose", "salt, pepper and 🦆", "x", "for (int i = 0; i < n; i++) { total += prices[i]; }")
DOWN = Hookpoint("model.layers.0.mlp.down_proj", True)
LAYER = Hookpoint("model.layers.0", False)


def rows_of(subject: Subject) -> list[tuple[int, ...]]:
    return [subject.tokenize(text).ids for text in TEXTS]


# --- loading --------------------------------------------------------------------------------------


def test_a_subject_is_called_after_its_folder(tiny_subject: Subject, tiny_subject_folder: Path) -> None:
    again = Subject.load(f"{tiny_subject_folder}/.")
    assert tiny_subject.name == again.name == "tiny-llama"
    assert tiny_subject.fingerprint == again.fingerprint
    assert not again.model.training


def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_another_configuration_has_another_fingerprint(
    tiny_subject: Subject, tiny_subject_folder: Path, tmp_path: Path
) -> None:
    folder = copied(tiny_subject_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-5}), encoding="utf-8")
    assert Subject.load(str(folder)).fingerprint != tiny_subject.fingerprint


def damage_config(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")


def name_unknown_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "nonesuch"}', encoding="utf-8")


def ask_for_other_shapes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}), encoding="utf-8")


def truncate_weights(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])


def remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def remove_tokenizer(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        damage_config,
        name_unknown_model,
        ask_for_other_shapes,
        truncate_weights,
        remove_weights,
        remove_tokenizer,
    ],
)
def test_a_folder_that_does_not_load_is_named(
    spoil: Callable[[Path], None], tiny_subject_folder: Path, tmp_path: Path
) -> None:
    folder = copied(tiny_subject_folder, tmp_path)
    spoil(folder)
    with pytest.raises(UserError) as caught:
        Subject.load(str(folder))
    assert str(folder) in str(caught.value)


def test_what_is_no_model_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"folder without config\.json"):
        Subject.load(str(tmp_path))
    with pytest.raises(UserError, match="no-such-model.*which is no folder"):
        Subject.load("no-such-model")


# --- tokens ---------------------------------------------------------------------------------------


def test_tokens_have_places_in_the_text_and_none_is_special(tiny_subject: Subject) -> None:
    text = "The river\n\n🦆 é " * 900  # longer than the model's context: nothing is truncated
    tokens = tiny_subject.tokenize(text)
    assert tiny_subject.tokenizer.decode(tokens.ids) == text
    assert tiny_subject.bos == 0 and tiny_subject.bos not in tokens.ids
    assert len(tokens.starts) == len(tokens.ids) and list(tokens.starts) == sorted(tokens.starts)
    assert tokens.starts[:2] == (0, 3)  # "The", " riv…"


# --- vectors --------------------------------------------------------------------------------------


def test_vectors_are_those_of_a_full_forward_pass(tiny_subject: Subject) -> None:
    import torch

    found = tiny_subject.vectors(rows_of(tiny_subject), [DOWN, LAYER])
    for i, row in enumerate(rows_of(tiny_subject)):
        ids = torch.tensor([[0, *row]])  # BOS first, nothing else in the batch
        with torch.no_grad():
            states = tiny_subject.model(ids, output_hidden_states=True).hidden_states
            body = tiny_subject.model.model
            block = body.layers[0]
            after_attention = (
                states[0]
                + block.self_attn(
                    block.input_layernorm(states[0]),
                    position_embeddings=tiny_subject.model.model.rotary_emb(
                        states[0], torch.arange(ids.shape[1])[None]
                    ),
                    attention_mask=torch.full((ids.shape[1],) * 2, -torch.inf).triu(1)[None, None],
                )[0]
            )
            normed = block.post_attention_layernorm(after_attention)
            neurons = torch.nn.functional.silu(block.mlp.gate_proj(normed)) * block.mlp.up_proj(normed)
        torch.testing.assert_close(found[LAYER][i, : len(row)], states[1][0, 1:], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[DOWN][i, : len(row)], neurons[0, 1:], rtol=1e-4, atol=1e-5)


def test_the_pass_stops_after_the_last_hookpoint(tiny_subject: Subject) -> None:
    called: list[str] = []
    handles = [
        tiny_subject.modules[name].register_forward_hook(lambda *_, name=name: called.append(name))
        for name in ("model.layers.0", "model.layers.1.self_attn", "model.layers.1.mlp", "lm_head")
    ]
    tiny_subject.vectors([[5]], [LAYER, Hookpoint("model.layers.1.mlp.gate_proj", True), LAYER])
    for handle in handles:
        handle.remove()
    assert called == ["model.layers.0", "model.layers.1.self_attn"]


def hooks(subject: Subject) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in subject.modules.values())


def test_listening_leaves_no_hook(tiny_subject: Subject) -> None:
    before = hooks(tiny_subject)
    found = tiny_subject.vectors([[5]], [DOWN, LAYER, LAYER])
    assert set(found) == {DOWN, LAYER}
    assert hooks(tiny_subject) == before


def test_a_subject_without_bos_keeps_its_first_token(tiny_subject: Subject) -> None:
    import torch

    bare = Subject("bare", tiny_subject.model, tiny_subject.tokenizer, "")
    bare.__dict__["bos"] = None
    row = rows_of(bare)[0]
    with_bos = tiny_subject.vectors([row], [LAYER])[LAYER]
    torch.testing.assert_close(bare.vectors([(0, *row)], [LAYER])[LAYER][:, 1:], with_bos)


def test_the_width_of_a_hookpoint(tiny_subject: Subject) -> None:
    assert tiny_subject.width(DOWN) == 48
    assert tiny_subject.width(LAYER) == 32
    assert tiny_subject.width(Hookpoint("model.layers.1.self_attn", False)) == 32  # returns a tuple
    assert tiny_subject.width(Hookpoint("model.layers.1", True)) == 32


@pytest.mark.parametrize(
    "hookpoint",
    [
        Hookpoint("lm_head", False),  # never computed
        Hookpoint("model.layers", False),  # a list, never called
        Hookpoint("model.embed_tokens", True),  # token ids
        Hookpoint("model", False),  # an output with parts
        Hookpoint("model.layers.0.self_attn", True),  # given by keyword
    ],
    ids=str,
)
def test_a_place_without_a_vector_a_token_is_refused(tiny_subject: Subject, hookpoint: Hookpoint) -> None:
    before = hooks(tiny_subject)
    with pytest.raises(UserError, match=f"vector a token at {hookpoint}"):
        tiny_subject.width(hookpoint)
    assert hooks(tiny_subject) == before


# --- what a direction writes ----------------------------------------------------------------------


def test_directions_go_to_the_residual_stream_and_to_the_logits(tiny_subject: Subject) -> None:
    import torch

    neuron = tiny_subject.to_residual(DOWN, torch.eye(48)[[7]])
    assert neuron is not None
    column = tiny_subject.modules[DOWN.module].weight[:, 7].detach().numpy()
    np.testing.assert_allclose(neuron[0].detach().numpy(), column, rtol=1e-5)
    stream = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    assert tiny_subject.to_residual(LAYER, stream) is stream
    with torch.no_grad():
        norm = tiny_subject.model.model.norm
        norm.weight.mul_(2)
        try:
            doubled = tiny_subject.output_logits(stream)
        finally:
            norm.weight.div_(2)
    head = tiny_subject.model.lm_head.weight.detach()
    torch.testing.assert_close(doubled, 2 * stream @ head.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["mlp.gate_proj", "self_attn.q_proj", "self_attn.k_proj"])
@pytest.mark.parametrize("at_input", [True, False])
def test_what_does_not_write_to_the_residual_stream_is_not_said_to(
    tiny_subject: Subject, name: str, at_input: bool
) -> None:
    import torch

    hookpoint = Hookpoint(f"model.layers.0.{name}", at_input)
    assert tiny_subject.to_residual(hookpoint, torch.eye(tiny_subject.width(hookpoint))) is None


def test_gpt2_weights_lie_the_other_way_round() -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=50, n_positions=16))

    class Ids:
        bos_token_id: Any = None

    subject = Subject("gpt2", model.eval(), Ids(), "")
    hookpoint = subject.hookpoint("h.0.mlp.c_proj.input")
    assert subject.width(hookpoint) == 128
    residual = subject.to_residual(hookpoint, torch.eye(128))
    assert residual is not None
    torch.testing.assert_close(residual, model.transformer.h[0].mlp.c_proj.weight.detach())
    assert subject.output_logits(residual).shape == (128, 50)
