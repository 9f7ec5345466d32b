"""Each format, written by its documented layout, against the formula of its method in plain loops of numpy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import damage, fuzzed
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries import open_dictionary

Array = NDArray[np.float32]
D, D_OUT, N, K, T = 3, 2, 6, 2, 20


def made(seed: int = 0) -> dict[str, Array]:
    """One set of matrices, none square and none symmetric, in the orientation (N, d)."""
    rng = np.random.default_rng(seed)
    shapes = {"E": (N, D), "be": (N,), "W": (N, D), "bd": (D,), "V": (N, D_OUT), "bv": (D_OUT,), "S": (D_OUT, D)}
    shapes |= {"gate": (N,), "r": (N,), "mag": (N,), "x": (T, D), "Q": (D, D)}
    found = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return found | {"theta": np.abs(rng.normal(size=N)).astype(np.float32)}


M = made()
X = M["x"]


def relu(pre: Array) -> Array:
    return np.maximum(pre, 0)


def jump(pre: Array, theta: Array | float) -> Array:
    return np.where(pre > theta, pre, 0)


def top(pre: Array, k: int = K) -> Array:
    out = np.zeros_like(pre)
    for row, values in enumerate(pre):
        for unit in np.argsort(-values)[:k]:
            out[row, unit] = max(values[unit], 0)
    return out


def centred() -> Array:
    return (X - M["bd"]) @ M["E"].T + M["be"]


def uncentred() -> Array:
    return X @ M["E"].T + M["be"]


def safetensors(path: Path, **arrays: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name.replace("__", "."): torch.tensor(np.ascontiguousarray(value)) for name, value in arrays.items()},
        path,
    )


def pickled(path: Path, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}
    torch.save({name.replace("__", "."): value for name, value in tensors.items()}, path)


def settings(path: Path, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


Case = tuple[Path, Array, Array | None]
"""What to open, the codes, the reconstruction."""


def sae_lens_old(folder: Path) -> Case:
    path = folder / "blocks.8.hook_resid_pre"
    settings(
        path / "cfg.json",
        d_in=D,
        d_sae=N,
        hook_point="blocks.8.hook_resid_pre",
        activation_fn_str="topk",
        activation_fn_kwargs={"k": K},
        normalize_activations=False,
    )
    safetensors(path / "sae_weights.safetensors", W_enc=M["E"].T, W_dec=M["W"], b_enc=M["be"], b_dec=M["bd"])
    codes = top(centred())
    return path, codes, codes @ M["W"] + M["bd"]


def sae_lens_skip(folder: Path) -> Case:
    metadata = {"hook_name": "blocks.1.ln2.hook_normalized", "hook_name_out": "blocks.1.hook_mlp_out"}
    settings(folder / "cfg.json", architecture="skip_transcoder", d_in=D, d_out=D_OUT, d_sae=N, metadata=metadata)
    arrays = {"W_enc": M["E"].T, "W_dec": M["V"], "b_enc": M["be"], "b_dec": M["bv"], "W_skip": M["S"]}
    safetensors(folder / "sae_weights.safetensors", **arrays)
    codes = relu(uncentred())
    return folder, codes, codes @ M["V"] + M["bv"] + X @ M["S"].T


def sae_lens_gated(folder: Path) -> Case:
    settings(folder / "cfg.json", architecture="gated", d_in=D, d_sae=N, metadata={})
    arrays = {"W_enc": M["E"].T, "W_dec": M["W"], "b_dec": M["bd"]}
    safetensors(folder / "sae_weights.safetensors", **arrays, b_gate=M["gate"], r_mag=M["r"], b_mag=M["mag"])
    product = (X - M["bd"]) @ M["E"].T
    codes = np.where(product + M["gate"] > 0, relu(product * np.exp(M["r"]) + M["mag"]), 0)
    return folder, codes, codes @ M["W"] + M["bd"]


def sae_lens_constant_norm(folder: Path) -> Case:
    options: dict[str, Any] = {"apply_b_dec_to_input": False, "normalize_activations": "constant_norm_rescale"}
    settings(folder / "cfg.json", architecture="standard", d_in=D, d_sae=N, metadata={}, **options)
    safetensors(folder / "sae_weights.safetensors", W_enc=M["E"].T, W_dec=M["W"], b_enc=M["be"], b_dec=M["bd"])
    scale = np.sqrt(D) / np.linalg.norm(X, axis=1, keepdims=True)
    codes = relu((X * scale) @ M["E"].T + M["be"])
    return folder, codes, (codes @ M["W"] + M["bd"]) / scale


def sparsify_transcoder(folder: Path) -> Case:
    path = folder / "layers.3.mlp"
    settings(path / "cfg.json", d_in=D, num_latents=N, k=K, transcode=True, skip_connection=True)
    arrays = {
        "encoder__weight": M["E"],
        "encoder__bias": M["be"],
        "W_dec": M["W"],
        "b_dec": M["bd"],
        "W_skip": M["Q"],
    }
    safetensors(path / "sae.safetensors", **arrays)
    codes = top(uncentred())
    return path, codes, codes @ M["W"] + M["bd"] + X @ M["Q"].T


def dictionary_learning_batch_top_k(folder: Path) -> Case:
    trainer = {"dict_class": "BatchTopKSAE", "activation_dim": D, "dict_size": N, "k": K}
    settings(folder / "config.json", trainer=trainer)
    arrays = {"encoder__weight": M["E"], "encoder__bias": M["be"], "decoder__weight": M["W"].T, "b_dec": M["bd"]}
    pickled(folder / "ae.pt", **arrays, k=torch.tensor(K), threshold=torch.tensor(0.7))
    codes = jump(centred(), 0.7)
    return folder, codes, codes @ M["W"] + M["bd"]


def gemma_scope_1(folder: Path) -> Case:
    arrays = {"W_enc": M["E"].T, "W_dec": M["W"], "b_enc": M["be"], "b_dec": M["bd"], "threshold": M["theta"]}
    path = folder / "params.npz"
    np.savez(path, **arrays)
    codes = jump(uncentred(), M["theta"])
    return path, codes, codes @ M["W"] + M["bd"]


def gemma_scope_scaled(folder: Path) -> Case:
    arrays = {"w_enc": M["E"].T, "w_dec": M["W"], "b_enc": M["be"], "b_dec": M["bd"], "threshold": M["theta"]}
    np.savez(folder / "params.npz", **arrays, scaling_factor=M["theta"])
    codes = jump(uncentred(), M["theta"])
    return folder, codes, (codes * M["theta"]) @ M["W"] + M["bd"]


def gemma_scope_2(folder: Path) -> Case:
    hooks = {"hf_hook_point_in": "model.layers.9.mlp.input", "hf_hook_point_out": "model.layers.9.mlp.output"}
    settings(folder / "config.json", architecture="jump_relu", **hooks)
    arrays = {"w_enc": M["E"].T, "w_dec": M["V"], "b_enc": M["be"], "b_dec": M["bv"], "threshold": M["theta"]}
    safetensors(folder / "params.safetensors", **arrays, affine_skip_connection=M["S"].T)
    codes = jump(uncentred(), M["theta"])
    return folder, codes, codes @ M["V"] + M["bv"] + X @ M["S"].T


def llama_scope(folder: Path) -> Case:
    hooks = {"hook_point_in": "blocks.5.hook_resid_post", "hook_point_out": "blocks.5.hook_resid_post"}
    norms = {"dataset_average_activation_norm": {"in": 4.0, "out": 4.0}}
    settings(folder / "hyperparams.json", d_model=D, d_sae=N, jump_relu_threshold=0.5, **hooks, **norms)
    arrays = {"encoder__weight": M["E"], "encoder__bias": M["be"], "decoder__weight": M["W"].T}
    safetensors(folder / "checkpoints" / "final.safetensors", **arrays, decoder__bias=M["bd"])
    scale = np.sqrt(D) / 4.0
    codes = jump((scale * X) @ M["E"].T + M["be"], 0.5 * scale)
    return folder, codes, (codes @ M["W"] + M["bd"]) / scale


def llama_scope_r1(folder: Path) -> Case:
    settings(folder / "config.json", d_model=D, d_sae=N)
    arrays = {"encoder__weight": M["E"], "encoder__bias": M["be"], "decoder__weight": M["W"].T}
    rest = {"decoder__bias": M["bd"], "log_jumprelu_threshold": np.log(M["theta"])}
    safetensors(folder / "sae_weights.safetensors", **arrays, **rest)
    codes = jump(uncentred(), M["theta"])
    return folder, codes, codes @ M["W"] + M["bd"]


def openai_topk(folder: Path) -> Case:
    path = folder / "resid_8.pt"
    arrays = {"pre_bias": M["bd"], "latent_bias": M["be"], "encoder__weight": M["E"], "decoder__weight": M["W"].T}
    extra = {"stats_last_nonzero": torch.zeros(N, dtype=torch.long), "activation": "TopK"}
    pickled(path, **arrays, **extra, activation_state_dict={"k": K})
    mean, std = X.mean(1, keepdims=True), X.std(1, ddof=1, keepdims=True)
    codes = top(((X - mean) / (std + 1e-5) - M["bd"]) @ M["E"].T + M["be"])
    return path, codes, (codes @ M["W"] + M["bd"]) * std + mean


def circuit_tracer_layer(folder: Path) -> Case:
    arrays = {"W_enc": M["E"], "W_dec": M["V"], "b_enc": M["be"], "b_dec": M["bv"], "W_skip": M["S"]}
    safetensors(folder / "layer_4.safetensors", **arrays, activation_function__threshold=M["theta"])
    hooks = "feature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\n"
    (folder / "config.yaml").write_text(hooks, encoding="utf-8")
    codes = jump(uncentred(), M["theta"])
    return folder / "layer_4.safetensors", codes, codes @ M["V"] + M["bv"] + X @ M["S"].T


def circuit_tracer_clt(folder: Path) -> Case:
    safetensors(folder / "W_enc_1.safetensors", W_enc_1=M["E"], b_enc_1=M["be"], b_dec_1=M["bd"])
    safetensors(folder / "W_dec_1.safetensors", W_dec_1=np.stack([M["W"], 0 * M["W"]], axis=1))
    return folder / "W_enc_1.safetensors", relu(uncentred()), None


def qwen_scope(folder: Path) -> Case:
    path = folder / f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}" / "layer7.sae.pt"
    pickled(path, W_enc=M["E"], W_dec=M["W"].T, b_enc=M["be"], b_dec=M["bd"])
    codes = top(uncentred())
    return path, codes, codes @ M["W"] + M["bd"]


def goodfire(folder: Path) -> Case:
    arrays = {"encoder_linear__weight": M["E"], "encoder_linear__bias": M["be"]}
    pickled(folder / "l19.pth", **arrays, decoder_linear__weight=M["W"].T, decoder_linear__bias=M["bd"])
    codes = relu(uncentred())
    return folder / "l19.pth", codes, codes @ M["W"] + M["bd"]


def deepseek_r1(folder: Path) -> Case:
    arrays = {"encoder__weight": M["E"], "encoder__bias": M["be"]}
    pickled(folder / "r1.pt", **arrays, decoder__weight=M["W"].T, decoder__bias=M["bd"])
    codes = relu(uncentred())
    return folder / "r1.pt", codes, codes @ M["W"] + M["bd"]


PRISMA: dict[str, Any] = {
    "architecture": "standard",
    "activation_fn_str": "relu",
    "activation_fn_kwargs": {},
    "normalize_activations": "layer_norm",
    "d_in": D,
    "expansion_factor": N // D,
    "hook_point_layer": 9,
    "layer_subtype": "hook_resid_post",
    "model_name": "open-clip:a/b",
    "use_patches_only": True,
    "cls_token_only": False,
}


def prisma(folder: Path) -> Case:
    settings(folder / "config.json", **PRISMA)
    pickled(folder / "n_images_2600058.pt", W_enc=M["E"].T, W_dec=M["W"], b_enc=M["be"], b_dec=M["bd"])
    mean, spread = X.mean(1, keepdims=True), X.std(1, ddof=1, keepdims=True)
    codes = relu(((X - mean) / (spread + 1e-5) - M["bd"]) @ M["E"].T + M["be"])
    return folder, codes, (codes @ M["W"] + M["bd"]) * spread + mean


def prisma_top_k(folder: Path) -> Case:
    given = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": "none"}
    settings(folder / "config.json", **PRISMA | given | {"hook_point_layer": [9]})
    pickled(folder / "weights.pt", W_enc=M["E"].T, W_dec=M["W"], b_enc=M["be"], b_dec=M["bd"])
    codes = top(centred())
    return folder / "weights.pt", codes, codes @ M["W"] + M["bd"]


def prisma_gated(folder: Path) -> Case:
    settings(folder / "config.json", **PRISMA | {"architecture": "gated", "normalize_activations": None})
    arrays = {"W_enc": M["E"].T, "W_dec": M["W"], "b_enc": M["be"], "b_dec": M["bd"]}
    pickled(folder / "weights.pt", **arrays, b_gate=M["gate"], r_mag=M["r"], b_mag=M["mag"])
    product = (X - M["bd"]) @ M["E"].T
    codes = np.where(product + M["gate"] > 0, relu(product * np.exp(M["r"]) + M["mag"]), 0)
    return folder, codes, codes @ M["W"] + M["bd"]


def prisma_transcoder(folder: Path) -> Case:
    given = {"is_transcoder": True, "out_hook_point_layer": 9, "layer_out_subtype": "hook_mlp_out", "d_out": D}
    given |= {"layer_subtype": "ln2.hook_normalized", "normalize_activations": None}
    settings(folder / "config.json", **PRISMA | given)
    arrays = {"W_enc": M["E"].T, "W_dec": M["W"], "b_enc": M["be"], "b_dec": M["bd"], "W_skip": M["Q"]}
    pickled(folder / "weights.pt", **arrays, b_dec_out=M["x"][0])
    codes = relu(centred())
    return folder, codes, codes @ M["W"] + M["x"][0] + X @ (np.eye(D) + M["Q"].T)


def plain_threshold(folder: Path) -> Case:
    path = folder / "mine.safetensors"
    arrays = {"W_enc": M["E"].T, "W_dec": M["W"], "b_dec": M["bd"], "threshold": np.float32([0.4])}
    safetensors(path, **arrays, centre=np.float32(1))
    codes = jump((X - M["bd"]) @ M["E"].T, 0.4)
    return path, codes, codes @ M["W"] + M["bd"]


def plain_codebook(folder: Path) -> Case:
    path = folder / "codebook.npz"
    np.savez(path, W_enc=M["E"].T, W_dec=M["W"], k=K, codebook=1)
    pre = X @ M["E"].T
    codes = np.zeros_like(pre)
    for row, values in enumerate(pre):
        codes[row, np.argsort(-values)[:K]] = 1
    return path, codes, codes @ M["W"]


CASES: tuple[Callable[[Path], Case], ...] = (
    sae_lens_old,
    sae_lens_skip,
    sae_lens_gated,
    sae_lens_constant_norm,
    sparsify_transcoder,
    dictionary_learning_batch_top_k,
    gemma_scope_1,
    gemma_scope_scaled,
    gemma_scope_2,
    llama_scope,
    llama_scope_r1,
    openai_topk,
    circuit_tracer_layer,
    circuit_tracer_clt,
    qwen_scope,
    goodfire,
    deepseek_r1,
    prisma,
    prisma_top_k,
    prisma_gated,
    prisma_transcoder,
    plain_threshold,
    plain_codebook,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@fuzzed(data=st.data())
def test_a_damaged_file_is_refused_or_read(
    case: Callable[[Path], Case], data: st.DataObject, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir()
    path = case(whole)[0]
    folder = damage(data, whole, tmp_path / "damaged")
    try:
        opened = open_dictionary(str(folder / path.relative_to(whole)), None)
    except UserError as error:
        assert "\n" not in str(error)
        return
    x = torch.from_numpy(X)
    if opened.width == D:
        opened.decode(opened.encode(x), x)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_codes_and_reconstruction(case: Callable[[Path], Case], tmp_path: Path) -> None:
    path, codes, decoded = case(tmp_path)
    dictionary = open_dictionary(str(path), D)
    x = torch.from_numpy(X)
    found = dictionary.encode(x)
    np.testing.assert_allclose(found.dense().numpy(), codes, atol=1e-5)
    assert 0 < np.count_nonzero(codes) < codes.size
    out = dictionary.decode(found, x)
    if decoded is None:
        assert out is None
    else:
        assert out is not None
        np.testing.assert_allclose(out.numpy(), decoded, atol=1e-5)
        assert dictionary.directions().shape == (N, decoded.shape[1])
    assert (dictionary.width, dictionary.n_units, dictionary.sparse, dictionary.signed) == (D, N, True, False)
    assert "/" not in dictionary.name
    assert all(len(value) == 64 for value in dictionary.provenance["sha256"].values())
    json.dumps(dict(dictionary.provenance))


HOOKS: Mapping[Callable[[Path], Case], tuple[str | None, str | None]] = {
    sae_lens_old: ("blocks.8.hook_resid_pre", None),
    sae_lens_skip: ("blocks.1.ln2.hook_normalized", "blocks.1.hook_mlp_out"),
    sparsify_transcoder: ("layers.3.mlp.input", "layers.3.mlp"),
    gemma_scope_2: ("model.layers.9.mlp.input", "model.layers.9.mlp.output"),
    llama_scope: ("blocks.5.hook_resid_post", None),
    circuit_tracer_layer: ("blocks.4.hook_resid_mid", "blocks.4.hook_mlp_out"),
    qwen_scope: ("layers.7", None),
    goodfire: (None, None),
    prisma_top_k: ("blocks.9.hook_resid_post", None),
    prisma_transcoder: ("blocks.9.ln2.hook_normalized", "blocks.9.hook_mlp_out"),
}


@pytest.mark.parametrize(("case", "hooks"), HOOKS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_where_it_listens(
    case: Callable[[Path], Case], hooks: tuple[str | None, str | None], tmp_path: Path
) -> None:
    path, _, _ = case(tmp_path)
    dictionary = open_dictionary(str(path), None)
    assert (dictionary.hookpoint, dictionary.target) == hooks
