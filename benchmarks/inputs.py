"""Fixed inputs for the benchmarks of collecting: a small causal LM, token rows, TopK SAEs. Made once, from a seed.

The LM is a Llama of 4 layers with random weights; what counts here is the work, and that the SAEs fire as trained
ones do: their encoder rows are activations themselves, less the mean, so that some latents are common and most are
rare. Both programs that are compared read the same files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from neurogloss.sources.corpus import read_documents

VOCABULARY, ROW, WIDTH, LAYERS, K = 5_000, 256, 256, 4, 32
LAYER = 2
"""After which the SAEs listen, unless told otherwise."""


def make(folder: Path, rows: int, sizes: Sequence[int], layer: int = LAYER) -> Path:
    """The folder, with `model/`, `tokens.safetensors` (rows, 256) and `sae_N/layers.2/` in it."""
    if not (folder / "model" / "config.json").is_file():
        _model(folder / "model")
    tokens = folder / "tokens.safetensors"
    if not tokens.is_file() or load_file(tokens)["tokens"].shape[0] < rows:
        save_file({"tokens": _tokens(folder / "model", rows)}, tokens)
    for size in sizes:
        if not (folder / f"sae_{size}" / f"layers.{layer}" / "cfg.json").is_file():
            _sae(folder, size, layer)
    return folder


def make_real(folder: Path, rows: int) -> Path:
    """The same of the packaged subject and the packaged SAE: `model`, tokens, `sae_4608/layers.14`."""
    from neurogloss.sources.dictionaries import open_dictionary
    from neurogloss.sources.dictionaries.linear import LinearDictionary
    from neurogloss.sources.loading import packaged_folder

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").exists():
        (folder / "model").symlink_to(packaged_folder())
    save_file({"tokens": _tokens(folder / "model", rows)}, folder / "tokens.safetensors")
    sae = open_dictionary("sae-0", None)
    assert isinstance(sae, LinearDictionary)
    arrays = {
        "encoder.weight": sae.encoder.numpy(),
        "encoder.bias": sae.encoder_bias.numpy(),
        "W_dec": sae.decoder.numpy(),
        "b_dec": sae.decoder_bias.numpy(),
    }
    _sparsify(folder / f"sae_{sae.n_units}" / "layers.14", arrays)
    return folder


def _model(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, special_tokens=["<|end|>"])
    bpe.train_from_iterator((document.text for document in read_documents("demo")), trainer)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=ROW,
        initializer_range=0.05,
    )
    PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", pad_token="<|end|>").save_pretrained(folder)
    LlamaForCausalLM(config).float().save_pretrained(folder)


def _tokens(model: Path, rows: int) -> np.ndarray:
    """(rows, 256): the shipped corpus, read as often as it takes, each time from another place on."""
    from tokenizers import Tokenizer

    bpe = Tokenizer.from_file(str(model / "tokenizer.json"))
    ids = np.concatenate([bpe.encode(document.text).ids for document in read_documents("demo")])
    wanted = rows * ROW
    laps = [np.roll(ids, 97 * lap) for lap in range(wanted // len(ids) + 1)]
    return np.concatenate(laps)[:wanted].reshape(rows, ROW).astype(np.int64)


def _sae(folder: Path, size: int, layer: int) -> None:
    """In the layout of the sparsify library."""
    import torch

    from neurogloss.sources.subject import Subject

    subject = Subject.load(str(folder / "model"))
    rows = load_file(folder / "tokens.safetensors")["tokens"][: max(size // 200, 64)].tolist()
    at = subject.hookpoint(f"model.layers.{layer}")
    vectors = torch.cat(
        [subject.vectors(rows[i : i + 16], [at])[at].flatten(0, 1) for i in range(0, len(rows), 16)]
    )
    mean = vectors.mean(0)
    drawn = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(2))[:size]
    units = torch.nn.functional.normalize(vectors[drawn] - mean, dim=1)
    sample = vectors[:1024] - mean
    active = (sample @ units.T).topk(K)
    made = torch.nn.functional.embedding_bag(active.indices, units, per_sample_weights=active.values, mode="sum")
    scale = (sample * made).sum() / made.square().sum()  # the best one, as a trained decoder would have it
    arrays = {
        "encoder.weight": units.numpy(),
        "encoder.bias": np.zeros(size, np.float32),
        "W_dec": (units * scale).numpy(),
        "b_dec": mean.numpy(),
    }
    _sparsify(folder / f"sae_{size}" / f"layers.{layer}", arrays)


def _sparsify(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """A TopK SAE in the layout of the sparsify library."""
    folder.mkdir(parents=True, exist_ok=True)
    size, width = arrays["W_dec"].shape
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "sae.safetensors")
    config = {"activation": "topk", "expansion_factor": size // width, "normalize_decoder": True}
    config |= {"num_latents": size, "k": K, "multi_topk": False, "skip_connection": False, "transcode": False}
    config |= {"d_in": width}
    (folder / "cfg.json").write_text(json.dumps(config), encoding="utf-8")
