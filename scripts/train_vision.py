"""Train the small image classifiers that ship with the package.

    OMP_NUM_THREADS=1 python scripts/train_vision.py [NAME …] [--out sources/data/vision]

`shapes-cnn` (a ResNet of three blocks) and `shapes-vit` (three layers, patches of 8 x 8) tell the 25 combinations
of colour and shape of rendered images apart; texture, position, size and background vary freely. `digits-cnn`
tells scikit-learn's digits apart. Each takes one to five minutes of one core, and is written as a folder with
a Hugging Face image model. Prints the accuracy on images that were not trained on.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification

from neurogloss.sources.vision import shipped
from neurogloss.sources.vision.preprocess import Preprocess

DATA = Path(__file__).parent.parent / "sources" / "data" / "vision"
FIRST_SEED = 1_000_000
"""Far from the seeds of the images that ship."""
BATCH = 64


@dataclass(frozen=True)
class Task:
    images: Callable[[], list[shipped.Image]]
    model: Callable[[int], Any]
    """By the number of classes."""
    preprocess: Preprocess
    epochs: int
    rate: float


def _cnn(classes: int) -> Any:
    sizes = {"embedding_size": 16, "hidden_sizes": [16, 32, 64], "depths": [1, 1, 1]}
    return ResNetForImageClassification(ResNetConfig(**sizes, layer_type="basic", num_labels=classes))


def _vit(classes: int) -> Any:
    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
    return ViTForImageClassification(
        ViTConfig(
            **sizes,
            image_size=shipped.SIZE,
            patch_size=8,
            num_labels=classes,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


def _digits_cnn(classes: int) -> Any:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16, 32], "depths": [1, 1, 1]}
    config = ResNetConfig(**sizes, num_channels=1, layer_type="basic", num_labels=classes)
    return ResNetForImageClassification(config)


def _shapes() -> list[shipped.Image]:
    return list(shipped.shapes(8_000, FIRST_SEED))


COLOUR, GREY = ((0.5,) * 3, (0.25,) * 3), ((0.3,), (0.4,))
SHAPES = Preprocess((shipped.SIZE, shipped.SIZE), *COLOUR)
TASKS = {
    "shapes-cnn": Task(_shapes, _cnn, SHAPES, 6, 3e-3),
    "shapes-vit": Task(_shapes, _vit, SHAPES, 20, 1.5e-3),
    "digits-cnn": Task(lambda: list(shipped.digits()), _digits_cnn, Preprocess((32, 32), *GREY), 8, 5e-3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(TASKS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=DATA)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names:
        train(name, TASKS[name], arguments.out / name)


def train(name: str, task: Task, folder: Path) -> float:
    """Train one model, write it, and return its accuracy on a tenth of the images, which it has not seen."""
    began = time.process_time()
    images = task.images()
    labels = [path.split("/")[0] for path, _, _ in images]
    classes = list(dict.fromkeys(labels)) if name.startswith("digits") else sorted(set(labels))
    pixels = task.preprocess([Image.open(io.BytesIO(data())) for _, data, _ in images])
    wanted = np.array([classes.index(label) for label in labels])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.model(len(classes))
    order = np.random.default_rng(0).permutation(len(images))
    held, used = order[: len(images) // 10], order[len(images) // 10 :]
    _fit(model, pixels, wanted, used, task)
    accuracy = _accuracy(model.eval(), pixels[held], wanted[held])
    _save(model, classes, task.preprocess, folder)
    seconds = time.process_time() - began
    print(f"{name}: accuracy {accuracy:.3f} on {len(held)} held-out images, {seconds:.0f} CPU-seconds")
    return accuracy


def _fit(model: Any, pixels: NDArray[Any], wanted: NDArray[Any], used: NDArray[Any], task: Task) -> None:
    rng, steps = np.random.default_rng(1), task.epochs * (len(used) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=task.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, task.rate, total_steps=steps)
    model.train()
    for _ in range(task.epochs):
        shuffled = rng.permutation(used)
        for i in range(len(used) // BATCH):
            rows = shuffled[i * BATCH : (i + 1) * BATCH]
            logits = model(pixel_values=torch.from_numpy(pixels[rows])).logits
            loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(wanted[rows]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def _accuracy(model: Any, pixels: NDArray[Any], wanted: NDArray[Any]) -> float:
    with torch.inference_mode():
        found = [model(pixel_values=torch.from_numpy(part)).logits.argmax(1).numpy() for part in _parts(pixels)]
    return float(np.mean(np.concatenate(found) == wanted))


def _parts(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    return [pixels[i : i + 256] for i in range(0, len(pixels), 256)]


def _save(model: Any, classes: Sequence[str], preprocess: Preprocess, folder: Path) -> None:
    from transformers import ViTImageProcessorPil

    model.config.id2label = dict(enumerate(classes))
    model.config.label2id = {label: i for i, label in enumerate(classes)}
    model.save_pretrained(folder)
    height, width = preprocess.size
    ViTImageProcessorPil(
        size={"height": height, "width": width}, image_mean=list(preprocess.mean), image_std=list(preprocess.std)
    ).save_pretrained(folder)


if __name__ == "__main__":
    main()
