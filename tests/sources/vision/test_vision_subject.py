from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neurogloss.errors import MissingExtra, UserError
from neurogloss.sources.dictionaries import open_dictionary
from neurogloss.sources.vision.loading import load
from neurogloss.sources.vision.preprocess import Preprocess
from neurogloss.sources.vision.subject import VisionSubject

PLAIN = Preprocess((32, 32), (0.0,) * 3, (1.0,) * 3)


def pictures(n: int, size: tuple[int, int] = (32, 32)) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)) for _ in range(n)]


@pytest.fixture(scope="module")
def registers() -> VisionSubject:
    """A DINOv2 of random weights: CLS, four registers, then 4 x 4 patches of 8 x 8 pixels."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = Dinov2WithRegistersConfig(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
        )
        model = Dinov2WithRegistersModel(config)
    # What a patch embeds to is its mean red, and nothing of where it stands.
    embeddings = model.embeddings
    embeddings.position_embeddings.data.zero_()
    embeddings.patch_embeddings.projection.weight.data.zero_()
    embeddings.patch_embeddings.projection.weight.data[:, 0] = 1 / 64
    embeddings.patch_embeddings.projection.bias.data.zero_()
    return VisionSubject("registers", model, PLAIN)


def test_the_cells_of_a_transformer_are_its_patches_and_not_what_stands_before_them(
    registers: VisionSubject,
) -> None:
    place = registers.hookpoint("embeddings")
    assert registers.cells(place).prefix == 5 and registers.grid(place) == (4, 4)
    images = pictures(3)
    found = registers.vectors(registers.preprocess(images), [place])[place].reshape(3, 4, 4, 24)
    red = np.stack([np.asarray(image)[..., 0] / 255 for image in images]).reshape(3, 4, 8, 4, 8).mean((2, 4))
    np.testing.assert_allclose(found[..., 7].numpy(), red, atol=1e-5)


def test_vectors_are_those_of_a_full_forward_pass(registers: VisionSubject) -> None:
    images = registers.preprocess(pictures(3))
    with torch.no_grad():
        states = registers.model(pixel_values=torch.from_numpy(images), output_hidden_states=True).hidden_states
    places = [registers.hookpoint("encoder.layer.0"), registers.hookpoint("encoder.layer.1.mlp.fc2.input")]
    found = registers.vectors(images, places)
    torch.testing.assert_close(found[places[0]], states[1][:, 5:].reshape(-1, 24))
    assert found[places[1]].shape == (48, registers.width(places[1])) == (48, 96)


def test_the_forward_pass_stops_after_the_last_hookpoint(registers: VisionSubject) -> None:
    reached: list[str] = []
    last = registers.modules["encoder.layer.1"]
    handle = last.register_forward_pre_hook(lambda *_: reached.append("layer 1"))
    try:
        place = registers.hookpoint("encoder.layer.0")
        registers.vectors(registers.preprocess(pictures(1)), [place])
        assert not reached
        registers.vectors(registers.preprocess(pictures(1)), [place, registers.hookpoint("encoder.layer.1")])
        assert reached
    finally:
        handle.remove()


def test_an_unknown_module_is_answered_with_the_nearest(registers: VisionSubject) -> None:
    with pytest.raises(UserError, match=r"encoder\.layer\.1\.mlp"):
        registers.hookpoint("encoder.layer.1.mpl")


def test_what_is_no_map_is_refused(registers: VisionSubject) -> None:
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.folded, self.idle = torch.nn.Flatten(0, 1), torch.nn.Identity()

        def forward(self, images: Any) -> Any:
            return self.folded(images)

    odd = VisionSubject("odd", Odd(), PLAIN)
    with pytest.raises(UserError, match=r"shape \(6, 32, 32\) for two images"):
        odd.grid(odd.hookpoint("folded"))
    with pytest.raises(UserError, match="never reached"):
        odd.grid(odd.hookpoint("idle"))
    with pytest.raises(UserError, match="Expected a classifier"):
        registers.logits(registers.preprocess(pictures(1)))


def test_the_vision_tower_of_a_model_of_text_and_image_is_read() -> None:
    from transformers import CLIPConfig, CLIPModel

    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 16})
    subject = VisionSubject("clip", CLIPModel(config), PLAIN)
    place = subject.hookpoint("vision_model.encoder.layers.0")
    assert subject.grid(place) == (2, 2) and subject.width(place) == 16


def test_the_whole_picture_is_preprocessed_as_an_image_processor_does_that_does_not_crop(tmp_path: Path) -> None:
    from transformers import ViTImageProcessorPil

    processor = ViTImageProcessorPil(
        size={"height": 24, "width": 24}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2] * 3
    )
    processor.save_pretrained(tmp_path)
    preprocess = Preprocess.of_folder(tmp_path)
    assert preprocess.size == (24, 24) and preprocess.resample == 2
    images = pictures(2, size=(50, 40))
    wanted = processor(images, return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(preprocess(images), wanted, atol=1e-5)


def test_a_folder_that_does_not_say_its_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="size of images"):
        Preprocess.of_folder(tmp_path)


@pytest.mark.parametrize("name", ["shapes-cnn", "shapes-vit", "digits-cnn"])
def test_packaged_classifiers_load_and_tell_their_classes(name: str) -> None:
    subject = load(name, device="cpu")
    assert len(subject.classes) == (10 if name == "digits-cnn" else 25)
    logits = subject.logits(subject.preprocess(pictures(2)))
    assert logits.shape == (2, len(subject.classes))
    assert load(name, device="cpu").fingerprint == subject.fingerprint


def test_half_precision_gives_vectors_in_single() -> None:
    exact, half = (load("digits-cnn", device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16"))
    place = exact.hookpoint("resnet.encoder.stages.0")
    images = exact.preprocess(pictures(2))
    wanted, found = (subject.vectors(images, [place])[place] for subject in (exact, half))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0.1, atol=0.1)


def test_what_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="torchvision:NAME"):
        load("resnet18")
    with pytest.raises(UserError, match="weights beside"):
        load("shapes-cnn", "weights.pt")
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}', encoding="utf-8")
    with pytest.raises(UserError, match="no image model that loads"):
        load(str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(MissingExtra, match="timm"):
        load("timm:vit_tiny_patch16_224")


def test_a_sparse_autoencoder_reads_patch_tokens(registers: VisionSubject, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    encoder = torch.randn(24, 40, generator=generator)
    tensors = {
        "W_enc": encoder,
        "W_dec": encoder.T.contiguous(),
        "b_enc": torch.zeros(40),
        "b_dec": torch.zeros(24),
    }
    save_file(tensors, tmp_path / "patches.safetensors")
    place = registers.hookpoint("encoder.layer.0")
    dictionary = open_dictionary(str(tmp_path / "patches.safetensors"), registers.width(place))
    vectors = registers.vectors(registers.preprocess(pictures(2)), [place])[place]
    torch.testing.assert_close(dictionary.encode(vectors).dense(), (vectors @ encoder).clamp_min(0))


def test_a_models_own_weights_are_its_fingerprint() -> None:
    def made(scale: float) -> VisionSubject:
        layer = torch.nn.Conv2d(3, 2, 1, bias=False)
        layer.weight.data[:] = scale
        return VisionSubject("tiny", layer, PLAIN)

    assert made(1.0).fingerprint == made(1.0).fingerprint != made(2.0).fingerprint
