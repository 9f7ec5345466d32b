"""What a vision model finds beside an image, and how raising a unit changes it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from neurogloss.ids import UnitId
from neurogloss.records import Context
from neurogloss.sources.cache import Cache
from neurogloss.sources.vision.pictures import open_picture
from neurogloss.sources.vision.preprocess import Preprocess
from neurogloss.sources.vision.retrieval import TEMPERATURE, Gallery
from neurogloss.sources.vision.steering import LiveClassifier, gallery
from neurogloss.sources.vision.subject import VisionSubject

RED = UnitId("colours", "convolution", "neurons", 0)
PLAIN = Preprocess((4, 4), (0.0,) * 3, (1.0,) * 3)


def paths(folder: Path, *colours: str) -> list[str]:
    return [str(path) for colour in colours for path in sorted((folder / colour).iterdir())[:4]]


def test_the_nearest_by_cosine_from_the_mean() -> None:
    # The mean is (10, 10): what is left are the four axes, whatever their length.
    found = Gallery.of(np.array([[13, 10], [7, 10], [10, 11], [10, 9]], np.float32))
    asked = np.array([[20, 10], [10, 0], [10, 10]], np.float32)
    assert found.cosines(asked).tolist() == [[1, -1, 0, 0], [0, 0, -1, 1], [0, 0, 0, 0]]
    shares = np.exp(found.log_p(asked))
    assert shares.sum(1) == pytest.approx([1, 1, 1]) and shares[2] == pytest.approx([0.25] * 4)
    assert np.log(shares[0, 0] / shares[0, 2]) == pytest.approx(1 / TEMPERATURE)
    # Of its own images none finds itself; 0 and 1 lie opposite each other.
    own = np.array([[13, 10], [7, 10], [10, 11], [10, 9]], np.float32)
    assert found.others(own, 2).tolist() == [[2, 3], [2, 3], [0, 1], [0, 1]]


class Headed(torch.nn.Module):
    """A pooling and a head, which a linear layer that gives nothing out goes before."""

    def __init__(self) -> None:
        super().__init__()
        self.aside, self.head = torch.nn.Linear(3, 3), torch.nn.Linear(3, 2)

    def forward(self, images: Any) -> Any:
        pooled = images.mean((2, 3))
        return self.head(pooled + 0 * self.aside(pooled))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Headed(), lambda x: x.mean((2, 3))),
        (torch.nn.Sequential(torch.nn.AvgPool2d(2)), lambda x: x.mean((2, 3))),
        (torch.nn.Flatten(), lambda x: x.flatten(1)),
    ],
)
def test_an_embedding_is_what_the_head_reads_or_what_is_given_out(model: Any, expected: Any) -> None:
    images = np.random.default_rng(0).normal(size=(5, 3, 4, 4)).astype(np.float32)
    found = VisionSubject("any", model, PLAIN).embeddings(images)
    assert found == pytest.approx(expected(torch.from_numpy(images)).numpy(), abs=1e-6)


def test_of_an_encoder_it_is_what_was_pooled_else_the_first_token() -> None:
    class Encoder(torch.nn.Module):
        def __init__(self, pools: bool) -> None:
            super().__init__()
            self.cut, self.pools = torch.nn.Conv2d(3, 3, 2, 2), pools

        def forward(self, images: Any) -> Any:
            patches = self.cut(images).flatten(2).mT
            tokens = torch.cat([patches.new_full((len(images), 1, 3), 7), patches], 1)
            pooled = patches.mean(1) if self.pools else None
            return SimpleNamespace(last_hidden_state=tokens, pooler_output=pooled)

    images = np.ones((2, 3, 4, 4), np.float32)
    assert VisionSubject("first", Encoder(False), PLAIN).embeddings(images).tolist() == [[7] * 3] * 2
    pools = Encoder(True)
    wanted = pools.cut(torch.from_numpy(images)).mean((2, 3)).detach().numpy()
    assert VisionSubject("pooled", pools, PLAIN).embeddings(images) == pytest.approx(wanted, abs=1e-6)


def test_the_gallery_is_of_the_explain_half(image_run: Cache) -> None:
    found = gallery(image_run)
    assert 20 < len(found) < 60 and all(context.text in ("red", "green", "blue") for context in found)
    assert {int(context.id, 16) for context in found} <= set(image_run.hashes("explain").tolist())
    assert found == gallery(image_run)


def test_a_raised_unit_has_its_images_found(subject: VisionSubject, image_run: Cache, folder: Path) -> None:
    # Without named classes, what is found is all that is said, and sets the strength.
    nameless = VisionSubject("colours", subject.model, subject.preprocess)
    live = LiveClassifier(nameless, image_run.sites, gallery=gallery(image_run))
    shown, tuning = paths(folder, "green", "blue"), paths(folder, "green")[:2]
    steered = live.steer(RED, shown, tuning)
    assert [text.clean for text in steered.texts] == ["green"] * 4 + ["blue"] * 4
    assert steered.kl == pytest.approx(1, abs=0.1)
    assert {text.steered for text in live.steer(RED, shown, tuning, kl=8).texts} == {"red"}

    # By hand: raised red, at the strength that it says.
    shares = Gallery.of(nameless.embeddings(nameless.pixels([Path(c.picture) for c in gallery(image_run)])))
    pixels = nameless.preprocess([open_picture(Path(path)) for path in tuning])
    raised = torch.tensor([steered.strength, 0, 0])
    clean, changed = (
        shares.log_p(nameless.embeddings(pixels, edits))
        for edits in ({}, {nameless.hookpoint("convolution"): lambda flat: flat + raised})
    )
    assert steered.kl == pytest.approx(float((np.exp(clean) * (clean - changed)).sum(1).mean()), rel=1e-3)


def test_of_a_classifier_both_are_said(subject: VisionSubject, image_run: Cache, folder: Path) -> None:
    live = LiveClassifier(subject, image_run.sites, gallery=gallery(image_run))
    shown, tuning = paths(folder, "green"), paths(folder, "blue")
    found, alone = (each.steer(RED, shown, tuning) for each in (live, LiveClassifier(subject, image_run.sites)))
    assert found.strength == alone.strength and found.texts[:4] == alone.texts and len(found.texts) == 8
    assert {text.clean for text in found.texts[4:]} == {"green"}


def test_what_is_found_is_said_once_nearest_first(subject: VisionSubject, folder: Path, image_run: Cache) -> None:
    said = [("a red one", "red"), ("red, too", "red"), ("a red one", "red"), ("green", "green"), ("blue", "blue")]
    contexts = [
        Context(f"{i:016x}", (text,), paths(folder, colour)[i % 4]) for i, (text, colour) in enumerate(said)
    ]
    live = LiveClassifier(subject, image_run.sites, gallery=contexts)
    (_, text) = live.steer(RED, [contexts[0].picture], paths(folder, "blue")).texts
    assert text.clean == "a red one; red, too"
