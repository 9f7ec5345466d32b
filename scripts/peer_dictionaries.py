"""Dictionaries as other libraries write them, with their own codes and reconstructions beside them.

    python3 -m venv .venv-peers
    .venv-peers/bin/pip install -c constraints.txt torch
    .venv-peers/bin/pip install sae-lens==6.54.12 eai-sparsify==1.3.3 zstandard
    .venv-peers/bin/pip install --no-deps circuit-tracer==0.5.0 dictionary-learning==0.1.0
    .venv-peers/bin/python scripts/peer_dictionaries.py FOLDER
    NEUROGLOSS_PEERS=FOLDER .venv/bin/python -m pytest -m peers

The last two libraries ask for versions of others that exclude each other, none of which a dictionary needs.

Each dictionary lies in FOLDER/LIBRARY/KIND, and beside it an .npz: `path` (what is to be read, below FOLDER), `x`
(T, d), `codes` (T, N) and, where there is one, `decoded` (T, d_out).
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

D, D_OUT, N, K, T = 32, 24, 64, 5, 50


def randomise(module: torch.nn.Module, scale: float = 0.3) -> None:
    """Every parameter at random; thresholds above 0."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(0.0, scale)
            if "threshold" in name:
                parameter.abs_()


def store(folder: Path, path: Path, codes: torch.Tensor, decoded: torch.Tensor | None, x: torch.Tensor) -> None:
    name = "_".join(path.relative_to(folder).parts).removesuffix(".safetensors")
    arrays = {"x": x, "codes": codes} | ({} if decoded is None else {"decoded": decoded})
    plain: dict[str, Any] = {key: value.detach().numpy() for key, value in arrays.items()}
    np.savez(folder / f"{name}.npz", path=np.array(str(path.relative_to(folder))), **plain)
    print(name, f"L0 {float((codes != 0).sum(1).float().mean()):.1f}")


def sae_lens(folder: Path, x: torch.Tensor) -> None:
    from sae_lens.registry import get_sae_class

    centred, normed = {"apply_b_dec_to_input": True}, {"normalize_activations": "layer_norm"}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "standard": ("standard", centred),
        "standard_uncentred": ("standard", {"apply_b_dec_to_input": False}),
        "standard_layer_norm": ("standard", centred | normed),
        "standard_constant_norm": ("standard", centred | {"normalize_activations": "constant_norm_rescale"}),
        "gated": ("gated", centred),
        "jumprelu": ("jumprelu", centred),
        "topk": ("topk", centred | {"k": K}),
        "topk_layer_norm": ("topk", centred | normed | {"k": K}),
        "topk_rescaled": ("topk", centred | {"k": K, "rescale_acts_by_decoder_norm": True}),
        "abstopk": ("abstopk", centred | {"k": K}),
        "matching_pursuit": ("matching_pursuit", centred | {"max_iterations": 6, "residual_threshold": 9.0}),
        **{
            kind: (kind, {"apply_b_dec_to_input": False, "d_out": D_OUT})
            for kind in ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
        },
    }
    for name, (architecture, settings) in kinds.items():
        sae_class, settings_class = get_sae_class(architecture)
        sae = sae_class(settings_class(d_in=D, d_sae=N, **settings))
        randomise(sae)
        if architecture == "matching_pursuit":
            sae.W_dec.data /= sae.W_dec.data.norm(dim=1, keepdim=True)
        sae.save_model(folder / "sae_lens" / name)
        with torch.no_grad():
            codes = sae.encode(x)
            decoded = sae(x) if "skip" in name else sae.decode(codes)
        store(folder, folder / "sae_lens" / name, codes, decoded, x)


def sparsify(folder: Path, x: torch.Tensor) -> None:
    from sparsify import SparseCoder, SparseCoderConfig

    kinds: dict[str, dict[str, Any]] = {
        "layers.3": {},
        "layers.4": {"activation": "groupmax", "k": 8},
        "layers.3.mlp": {"transcode": True, "skip_connection": True},
    }
    for name, settings in kinds.items():
        coder = SparseCoder(D, SparseCoderConfig(**{"num_latents": N, "k": K, **settings}))
        randomise(coder)
        path = folder / "sparsify" / name
        coder.save_to_disk(path)
        with torch.no_grad():
            found = coder.encode(x)
            codes = torch.zeros(T, N).scatter_(1, found.top_indices, found.top_acts)
            decoded = coder.decode(found.top_acts, found.top_indices)
            if coder.W_skip is not None:
                decoded = decoded + x @ coder.W_skip.mT
        store(folder, path, codes, decoded, x)


def dictionary_learning(folder: Path, x: torch.Tensor) -> None:
    # Its package imports a runner of language models, which no dictionary uses.
    runner: Any = types.ModuleType("nnsight")
    runner.LanguageModel = object
    sys.modules.setdefault("nnsight", runner)
    from dictionary_learning import dictionary as classes
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK
    from dictionary_learning.utils import load_dictionary

    made = [
        classes.AutoEncoder(D, N),
        classes.AutoEncoderNew(D, N),
        classes.GatedAutoEncoder(D, N),
        classes.JumpReluAutoEncoder(D, N),
        AutoEncoderTopK(D, N, K),
        BatchTopKSAE(D, N, K),
        MatryoshkaBatchTopKSAE(D, N, K, [N // 4, N - N // 4]),
    ]
    for each in made:
        name = type(each).__name__
        randomise(each)
        if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
            each.threshold.fill_(1.5)
        path = folder / "dictionary_learning" / name
        path.mkdir(parents=True)
        torch.save(each.state_dict(), path / "ae.pt")
        trainer = {"dict_class": name, "activation_dim": D, "dict_size": N, "layer": 3, "lm_name": "tiny"}
        trainer |= {"k": K} if hasattr(each, "k") else {}
        (path / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 128}}))
        read, _ = load_dictionary(str(path), "cpu")
        with torch.no_grad():
            codes = read.encode(x)
            store(folder, path, codes, read.decode(codes), x)


def sae_lens_before_6(folder: Path, x: torch.Tensor) -> None:
    from sae_lens.registry import get_sae_class
    from sae_lens.saes.sae import SAE

    sae_class, settings_class = get_sae_class("standard")
    sae = sae_class(settings_class(d_in=D, d_sae=N))
    randomise(sae)
    for name, settings in {
        "old": {"hook_point": "blocks.3.hook_resid_pre"},
        "old_topk": {
            "activation_fn_str": "topk",
            "activation_fn_kwargs": {"k": K},
            "hook_name": "blocks.3.hook_mlp_out",
        },
    }.items():
        path = folder / "sae_lens" / name
        sae.save_model(path)
        (path / "cfg.json").write_text(json.dumps({"d_in": D, "d_sae": N, "dtype": "float32", **settings}))
        read = SAE.load_from_disk(path)
        with torch.no_grad():
            codes = read.encode(x)
            store(folder, path, codes, read.decode(codes), x)


def released(folder: Path, x: torch.Tensor) -> None:
    """Releases that nothing writes any more, as SAELens and circuit-tracer read them."""
    from circuit_tracer.transcoder.single_layer_transcoder import load_gemma_scope_transcoder
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.saes.sae import SAE
    from safetensors.torch import save_file

    def local(repo_id: str, filename: str, subfolder: str = "", **_: Any) -> str:
        return str(home / repo_id / subfolder / filename)

    loaders.hf_hub_download = local
    home = folder / "released"
    names = {"encoder.weight": (N, D), "encoder.bias": (N,), "decoder.weight": (D, N), "decoder.bias": (D,)}
    state = {name: 0.3 * torch.randn(shape) for name, shape in names.items()}

    llama = home / "fnlp" / "L3R-8x"
    (llama / "checkpoints").mkdir(parents=True)
    settings = {"d_model": D, "d_sae": N, "jump_relu_threshold": 0.4, "hook_point_in": "blocks.3.hook_resid_post"}
    settings["dataset_average_activation_norm"] = {"in": 9.0, "out": 9.0}
    (llama / "hyperparams.json").write_text(json.dumps(settings))
    save_file(state, llama / "checkpoints" / "final.safetensors")

    goodfire = home / "Goodfire" / "Llama-3.1-8B-Instruct-SAE-l19" / "Llama-3.1-8B-Instruct-SAE-l19.pth"
    qwen = home / "Qwen" / f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}" / "layer7.sae.pt"
    for path in (goodfire, qwen):
        path.parent.mkdir(parents=True)
    torch.save({name.replace(".", "_linear."): value for name, value in state.items()}, goodfire)
    short = {
        "W_enc": "encoder.weight",
        "W_dec": "decoder.weight",
        "b_enc": "encoder.bias",
        "b_dec": "decoder.bias",
    }
    torch.save({name: state[long] for name, long in short.items()}, qwen)

    for path, loader in (
        (llama, loaders.llama_scope_sae_huggingface_loader),
        (goodfire, loaders.get_goodfire_huggingface_loader),
        (qwen, loaders.qwen_scope_sae_huggingface_loader),
    ):
        overrides = {"d_in": D, "d_sae": N, "dtype": "float32"}
        found, weights, _ = loader(str(path.parent.relative_to(home)), path.name, "cpu", cfg_overrides=overrides)
        sae = SAE.from_dict(loaders.handle_config_defaulting(found))
        sae.load_state_dict(weights)
        if path == llama:
            sae.fold_activation_norm_scaling_factor(D**0.5 / 9.0)
        with torch.no_grad():
            codes = sae.encode(x)
            store(folder, path, codes, sae.decode(codes), x)

    gemma = home / "gemma" / "params.npz"
    gemma.parent.mkdir()
    arrays = {name: state[long].T.numpy() for name, long in short.items()}
    np.savez(gemma, **arrays, threshold=np.linspace(0, 1, N, dtype=np.float32))
    transcoder = load_gemma_scope_transcoder(str(gemma), 0, device=torch.device("cpu"))
    with torch.no_grad():
        codes = transcoder.encode(x)
        store(folder, gemma, codes, transcoder.decode(codes), x)


def circuit_tracer(folder: Path, x: torch.Tensor) -> None:
    from circuit_tracer.transcoder.activation_functions import JumpReLU
    from circuit_tracer.transcoder.cross_layer_transcoder import CrossLayerTranscoder
    from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder, TranscoderSet

    options: dict[str, Any] = {"device": torch.device("cpu"), "dtype": torch.float32}
    for name, jumps in (("relu", False), ("jumprelu_skip", True)):
        layers = {}
        for i in range(2):
            activation = JumpReLU(torch.zeros(N)) if jumps else torch.nn.functional.relu
            layers[i] = SingleLayerTranscoder(D, N, activation, i, skip_connection=jumps, **options)
            randomise(layers[i])
        path = folder / "circuit_tracer" / name
        TranscoderSet(layers, "mlp.hook_in", "hook_mlp_out").to_safetensors(str(path))
        (path / "config.yaml").write_text(
            "model_kind: transcoder_set\nfeature_input_hook: mlp.hook_in\nfeature_output_hook: hook_mlp_out\n"
        )
        for i, layer in layers.items():
            with torch.no_grad():
                codes = layer.encode(x)
                store(folder, path / f"layer_{i}.safetensors", codes, layer.decode(codes, x), x)
    for name in ("relu", "jump_relu"):
        clt = CrossLayerTranscoder(3, N, D, name, lazy_decoder=False, **options)
        randomise(clt)
        path = folder / "circuit_tracer" / f"clt_{name}"
        clt.to_safetensors(str(path))
        for i in range(3):
            with torch.no_grad():
                store(folder, path / f"W_enc_{i}.safetensors", clt.encode_layer(x, i), None, x)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    x = 2.0 * torch.randn(T, D) + 0.5
    for write in (sae_lens, sae_lens_before_6, released, sparsify, dictionary_learning, circuit_tracer):
        write(folder, x)


if __name__ == "__main__":
    main()
