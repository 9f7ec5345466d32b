from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurogloss.errors import UserError
from neurogloss.settings import DEMO_SUBJECT
from neurogloss.sources.corpus import read_documents
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.loading import packaged_folder
from neurogloss.sources.spelling import Speller
from neurogloss.sources.subject import Subject
from neurogloss.weights import SMOLLM2

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


def test_weights_that_changed_have_another_fingerprint(
    tiny_subject: Subject, tiny_subject_folder: Path, tmp_path: Path
) -> None:
    folder = copied(tiny_subject_folder, tmp_path)
    assert Subject.load(str(folder)).fingerprint == tiny_subject.fingerprint
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-3] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert Subject.load(str(folder)).fingerprint != tiny_subject.fingerprint


def test_device_and_dtype(tiny_subject_folder: Path) -> None:
    import torch

    assert Subject.load(str(tiny_subject_folder), device="cpu").model.dtype == torch.float32
    half = Subject.load(str(tiny_subject_folder), device="cpu", dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16 and half.device.type == "cpu"
    found = half.vectors([[5, 6]], [LAYER])[LAYER]
    assert found.dtype == torch.float32
    states = half.model(torch.tensor([[0, 5, 6]]), output_hidden_states=True).hidden_states
    torch.testing.assert_close(found, states[1][:, 1:].detach().float())
    with pytest.raises(UserError, match="dtype of auto, .*found 'int8'"):
        Subject.load(str(tiny_subject_folder), dtype="int8")
    with pytest.raises(UserError, match="device of this machine, found 'nonesuch'"):
        Subject.load(str(tiny_subject_folder), device="nonesuch")


def test_the_bos_policy(tiny_subject: Subject, tiny_subject_folder: Path, tmp_path: Path) -> None:
    import torch

    never = Subject.load(str(tiny_subject_folder), bos="never")
    assert never.bos is None and tiny_subject.bos == 0 and 0 in never.special_ids
    with_bos = never.vectors([[0, 5, 6]], [LAYER])[LAYER][:, 1:]
    torch.testing.assert_close(with_bos, tiny_subject.vectors([[5, 6]], [LAYER])[LAYER])
    assert Subject.load(str(tiny_subject_folder), bos="always").bos == 0
    folder = copied(tiny_subject_folder, tmp_path)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    del config["bos_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert Subject.load(str(folder)).bos is None
    with pytest.raises(UserError, match="BOS token"):
        Subject.load(str(folder), bos="always")


def test_an_encoder_is_read_and_has_no_logits(tmp_path: Path) -> None:
    import torch
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = BertForMaskedLM(BertConfig(vocab_size=20, **sizes)).eval()
    model.save_pretrained(tmp_path / "bert")
    fast(wordpiece(True)).save_pretrained(tmp_path / "bert")
    subject = Subject.load(str(tmp_path / "bert"), device="cpu")
    hookpoint, rows = subject.hookpoint("blocks.0.hook_out"), [[3, 4, 5], [6, 7]]
    found = Subject("b", subject.model, subject.tokenizer, "", "never").vectors(rows, [hookpoint])[hookpoint]
    for row, vectors in zip(rows, found, strict=True):
        with torch.no_grad():
            states = model(torch.tensor([row]), output_hidden_states=True).hidden_states
        torch.testing.assert_close(vectors[: len(row)], states[1][0], rtol=1e-4, atol=1e-5)
    neurons = subject.hookpoint("blocks.0.mlp.hook_post")
    assert subject.to_residual(neurons, torch.eye(48)).shape == (48, 32)  # type: ignore[union-attr]
    assert subject.to_residual(subject.hookpoint("blocks.0.mlp.hook_pre"), torch.eye(48)) is None
    with pytest.raises(UserError, match="no language-model head"):
        subject.output_logits(torch.zeros(1, 32))


def test_a_model_with_encoder_and_decoder_is_refused(tmp_path: Path, tiny_subject: Subject) -> None:
    from transformers import T5Config

    T5Config(vocab_size=20, d_model=8).save_pretrained(tmp_path)
    tiny_subject.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="an encoder with a decoder"):
        Subject.load(str(tmp_path))


def test_a_hub_name_that_is_out_of_reach_says_to_download() -> None:
    with pytest.raises(UserError, match="nobody/nothing on the hub.*download it into a folder"):
        Subject.load("nobody/nothing")


def test_what_is_no_gguf_file_is_named(tmp_path: Path) -> None:
    for data in (b"not it", b"GGUF", b"GGUF" + bytes(200)):
        (tmp_path / "model.gguf").write_bytes(data)
        with pytest.raises(UserError, match=r"model\.gguf"):
            Subject.load(str(tmp_path / "model.gguf"))


# --- tokens ---------------------------------------------------------------------------------------


def test_tokens_have_places_in_the_text_and_none_is_special(tiny_subject: Subject) -> None:
    text = "The river\n\n🦆 é " * 900  # longer than the model's context: nothing is truncated
    tokens = tiny_subject.tokenize(text)
    assert tiny_subject.tokenizer.decode(tokens.ids) == text
    assert tiny_subject.bos == 0 and tiny_subject.bos not in tokens.ids
    assert len(tokens.starts) == len(tokens.ids) and list(tokens.starts) == sorted(tokens.starts)
    assert tokens.starts[:2] == (0, 3)  # "The", " riv…"


SPECIAL = ["<s>", "[UNK]", "[CLS]"]
LINES = ("the river rose in the night", "salt, pepper; naïve cook's soup.", "日本語 🦆")


def bpe() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        LINES, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=SPECIAL)
    )
    return tokenizer


def unigram() -> Any:
    """As SentencePiece makes it: ▁ for a space, single bytes for what has no piece, one space in front."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pieces = ["▁", *"▁the ▁river rose ▁in s a l t , e r".split(), *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = [*((token, 0.0) for token in SPECIAL), *((piece, -float(n)) for n, piece in enumerate(pieces))]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=1, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def wordpiece(cleanup: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = [*SPECIAL, *"the river ro ##se in , ; . cook ' ##s s n night 日 🦆".split()]
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=cleanup)
    return tokenizer


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "byte-level": bpe,
    "unigram": unigram,
    "wordpiece": lambda: wordpiece(False),
    "wordpiece with clean-up": lambda: wordpiece(True),
}


def fast(tokenizer: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="[UNK]")


def plain_starts(tokenizer: Any, ids: Sequence[int], text: str) -> list[int]:
    """Where the text of all ids before stops to be the beginning of the whole."""
    starts = [0]
    for n in range(1, len(ids)):
        before = tokenizer.decode(list(ids[:n]), clean_up_tokenization_spaces=False)
        starts.append(max(starts[-1], len(os.path.commonprefix([before, text]))))
    return starts[: len(ids)]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_ids_are_spelled_as_the_tokenizer_decodes_them(kind: str) -> None:
    tokenizer = fast(TOKENIZERS[kind]())
    speller, rng = Speller(tokenizer), np.random.default_rng(0)
    rows = [tokenizer.encode(line, add_special_tokens=False) for line in LINES]
    rows += [rng.integers(0, len(tokenizer), n).tolist() for n in (0, 1, 2, 3, 5, 9, 9, 40, 40)]
    for ids in rows:
        text, starts = speller.spell(ids)
        assert text == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        assert len(starts) == len(ids) and sorted(starts) == list(starts)
        assert all(0 <= start <= len(text) for start in starts)
        if "\ufffd" not in text:  # else what stands before is no part of the whole
            assert list(starts) == plain_starts(tokenizer, ids, text)


def test_a_duck_takes_four_byte_tokens_and_one_character() -> None:
    tokenizer = fast(unigram())
    ids = [tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in "a🦆b".encode()]
    assert Speller(tokenizer).spell(ids) == ("a🦆b", (0, 1, 1, 1, 1, 2))
    # The space that is stripped in front belongs to the first token all the same.
    river = tokenizer.convert_tokens_to_ids(["▁the", "▁river"])
    assert Speller(tokenizer).spell(river) == ("the river", (0, 3))


def test_spelling_is_the_inverse_of_tokenizing(tiny_subject: Subject) -> None:
    for text in (*TEXTS, "\n\n é 日本語 👩\u200d🚀"):
        tokens = tiny_subject.tokenize(text)
        assert tiny_subject.spell(tokens.ids) == (text, tokens.starts)


@pytest.mark.model
def test_the_packaged_tokenizer_is_spelled_as_it_decodes() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(packaged_folder(), local_files_only=True)
    speller, rng = Speller(tokenizer), np.random.default_rng(0)
    for document in islice(read_documents("demo"), 100):
        encoding = tokenizer(document.text, add_special_tokens=False, return_offsets_mapping=True)
        text, starts = speller.spell(encoding["input_ids"])
        assert text == tokenizer.decode(encoding["input_ids"], clean_up_tokenization_spaces=False)
        assert text == document.text and starts == tuple(start for start, _ in encoding["offset_mapping"])
    for _ in range(100):
        ids = rng.integers(0, len(tokenizer), 50).tolist()
        text, starts = speller.spell(ids)
        assert text == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        assert sorted(starts) == list(starts) and len(starts) == 50


@pytest.mark.model
def test_a_gguf_file_is_the_model_that_it_holds() -> None:
    import torch

    packaged = Subject.load(DEMO_SUBJECT, device="cpu", dtype="float32")
    found = Subject.load(str(SMOLLM2.path()), device="cpu", dtype="float32")
    assert found.name == SMOLLM2.path().stem and found.fingerprint != packaged.fingerprint
    ids, hookpoint = packaged.tokenize("The capital of France").ids, packaged.hookpoint("layers.2")
    assert found.tokenize("The capital of France").ids == ids and found.bos == packaged.bos
    torch.testing.assert_close(
        found.vectors([ids], [hookpoint])[hookpoint], packaged.vectors([ids], [hookpoint])[hookpoint]
    )


def test_ids_that_the_subject_has_not_are_refused(tiny_subject: Subject) -> None:
    known = tiny_subject.model.config.vocab_size
    for strange in (known, -1):
        with pytest.raises(UserError, match=f"from 0 to {known - 1}, .*found {strange}"):
            tiny_subject.spell([1, strange])


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


def test_the_gain_of_a_norm_that_multiplies_by_one_more() -> None:
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        vocab_size=50,
    )
    model = Gemma2ForCausalLM(config).eval().requires_grad_(False)
    model.model.norm.weight.fill_(0.5)
    stream = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    found = Subject("gemma", model, None, "").output_logits(stream)
    torch.testing.assert_close(found, 1.5 * stream @ model.lm_head.weight.T, rtol=1e-4, atol=1e-5)
