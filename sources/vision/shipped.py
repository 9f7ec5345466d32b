"""Sets of images that need no download: rendered shapes with known factors, and scikit-learn's digits.

A shape is drawn with six factors, each drawn by a seed: what it is, its colour, its texture, where it stands, how
large it is, and how light the noisy background is. The caption names the first five, in varied words.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import derive_seed

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Image = tuple[str, Callable[[], bytes], str]
"""Path, what gives the bytes of the file, and caption."""
SIZE = 64
"""Height and width of a rendered image."""
IMAGES = 2_000
"""In the set that demo and benchmark read."""

COLOURS = {
    "red": (214, 40, 40),
    "green": (42, 157, 60),
    "blue": (38, 84, 214),
    "yellow": (240, 200, 20),
    "purple": (132, 50, 168),
}
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "shape": {
        "circle": ("circle", "disc"),
        "square": ("square", "box"),
        "triangle": ("triangle",),
        "cross": ("cross", "plus sign"),
        "star": ("star",),
    },
    "colour": {name: (name,) for name in COLOURS},
    "texture": {
        "plain": ("plain", "solid"),
        "striped": ("striped", "stripy"),
        "dotted": ("dotted", "spotted"),
        "chequered": ("chequered", "checked"),
    },
    "position": {
        f"{row} {column}": (f"{row} {column}", f"{word} {column}")
        for row, word in (("top", "upper"), ("bottom", "lower"))
        for column in ("left", "right")
    },
    "size": {"small": ("small", "little"), "large": ("large", "big")},
}
"""By factor and value, the words for it."""
SENTENCES = (
    "a {size} {texture} {colour} {shape} in the {position}",
    "{colour} {shape}, {texture}, {size}, {position}",
    "in the {position} of the picture there is a {size} {colour} {shape} with a {texture} surface",
    "a {texture} {shape} in {colour}; it is {size} and stands {position}",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One rendered image."""

    factors: dict[str, str]
    """By the names of WORDS."""
    centre: tuple[float, float]
    """Row and column of the middle of the shape, in pixels."""
    radius: float
    """In pixels."""
    caption: str
    seed: int

    @property
    def label(self) -> str:
        """What the packaged classifiers tell apart."""
        return f"{self.factors['colour']} {self.factors['shape']}"


def shape(seed: int) -> Shape:
    """The image of a seed."""
    rng = np.random.default_rng(derive_seed(seed, "shape"))
    factors = {factor: str(rng.choice(list(values))) for factor, values in WORDS.items()}
    said = {factor: str(rng.choice(WORDS[factor][value])) for factor, value in factors.items()}
    caption = str(rng.choice(SENTENCES)).format(**said)
    radius = float(rng.uniform(7, 9.5) if factors["size"] == "small" else rng.uniform(12.5, 15))
    row, column = factors["position"].split()
    low, high = SIZE / 4 - 1, 3 * SIZE / 4 + 1
    centre = (low if row == "top" else high, low if column == "left" else high)
    shift = rng.uniform(-1.5, 1.5, 2)
    return Shape(factors, (centre[0] + shift[0], centre[1] + shift[1]), radius, caption, seed)


def draw(drawn: Shape) -> Picture:
    """The image, SIZE x SIZE, RGB."""
    from PIL import Image as Pillow

    rng = np.random.default_rng(derive_seed(drawn.seed, "pixels"))
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    inside = _inside(drawn.factors["shape"], rows - drawn.centre[0], columns - drawn.centre[1], drawn.radius)
    light = _texture(drawn.factors["texture"], rows, columns)[..., None]
    colour = np.array(COLOURS[drawn.factors["colour"]]) * rng.uniform(0.9, 1.1)
    ground = rng.uniform(70, 180) + rng.normal(0, 8, (SIZE, SIZE, 1))
    pixels = np.where(inside[..., None], colour * light + 255 * (1 - light), ground) + rng.normal(
        0, 4, (SIZE, SIZE, 3)
    )
    return Pillow.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _inside(shape: str, y: Any, x: Any, radius: float) -> Any:
    match shape:
        case "circle":
            return np.hypot(y, x) < radius
        case "square":
            return np.maximum(abs(y), abs(x)) < 0.86 * radius
        case "triangle":
            return (y < 0.75 * radius) & (y + radius > 1.75 * abs(x))
        case "cross":
            return (np.minimum(abs(y), abs(x)) < 0.32 * radius) & (np.maximum(abs(y), abs(x)) < radius)
    angle = np.arctan2(x, -y)
    return np.hypot(y, x) < radius * (0.45 + 0.65 * (abs((angle * 5 / (2 * np.pi)) % 1 - 0.5) * 2) ** 1.2)


def _texture(texture: str, rows: Any, columns: Any) -> Any:
    """Share of the shape's colour, in [0, 1]; the rest is white."""
    match texture:
        case "striped":
            return np.where((rows + columns) % 6 < 3, 1.0, 0.15)
        case "dotted":
            return np.where(np.hypot(rows % 6 - 3, columns % 6 - 3) < 1.7, 0.1, 1.0)
        case "chequered":
            return np.where((rows // 4 + columns // 4) % 2 < 1, 1.0, 0.15)
    return np.ones_like(rows)


def shapes(n: int = IMAGES, first: int = 0) -> Iterator[Image]:
    """Rendered images of n seeds, in a folder a class."""
    for seed in range(first, first + n):
        drawn = shape(seed)
        yield f"{drawn.label}/{seed:06}.png", partial(_file, drawn), drawn.caption


def digits() -> Iterator[Image]:
    """The 1,797 digits of scikit-learn, 8 x 8 and grey, in a folder a class."""
    from sklearn.datasets import load_digits

    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    found = load_digits()
    for number, (pixels, value) in enumerate(zip(found.images, found.target, strict=True)):
        grey = (pixels * 255 / 16).astype(np.uint8)
        name = names[value]
        caption = f"the handwritten digit {name}"
        yield f"{name}/{number:04}.png", partial(png, grey), caption


def _file(drawn: Shape) -> bytes:
    return png(np.asarray(draw(drawn)))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG file of an image, (height, width) or (height, width, 3)."""
    from PIL import Image as Pillow

    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


SETS: dict[str, Callable[[], Iterator[Image]]] = {"shapes": shapes, "digits": digits}
"""By the names that mean them."""
