"""Images that a user's generator draws or edits are experiments like the others, and its failures are said."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from neurogloss.agent.experiments import Generator, Laboratory, Menu
from neurogloss.agent.nodes.experiment import Experiment
from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.llm import ToolCall
from neurogloss.protocols import Material
from neurogloss.records import Context, EvidenceHalf, Example
from neurogloss.sources.vision.steering import Cut

Image = pytest.importorskip("PIL.Image")
CODE = '''
import numpy as np
from PIL import Image

class Painter:
    """Draws nothing but a colour; edits by making an image blue; noise follows the seed."""

    def draw(self, text, seed):
        if text == "nothing":
            return None
        if text == "noise":
            return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (4, 4), np.uint8))
        return Image.new("L" if text == "white" else "RGB", (4, 4), text)

    def edit(self, picture, text, seed):
        return Image.new("RGB", picture.size, "blue")

class Sketcher:
    def draw(self, text, seed):
        return Image.new("RGB", (4, 4), text)
'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "painters_of_tests.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "painters_of_tests:Painter"


class Looking:
    """Answers with the share of red in an image's first pixel, four times."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def peaks(self, unit: UnitId, pictures: Sequence[Any]) -> list[float]:
        self.seen += pictures
        images = [Image.open(each.picture) if isinstance(each, Cut) else each for each in pictures]
        return [4 * image.getpixel((0, 0))[0] / 255 for image in images]


@pytest.fixture
def menu(place: str, tmp_path: Path) -> Callable[[str], Menu]:
    picture = tmp_path / "red.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    context = Context("0" * 16, ("red",), str(picture))
    half = EvidenceHalf((Example(context, (4.0,), (1, 1)),), (), ())
    material = Material(UnitId("subject", "layer", "neurons", 0), half, None, 5)

    def made(kind: str) -> Menu:
        generator = Generator(place.replace("Painter", kind))
        return Menu(Laboratory(None, None, Looking, generator), material, [str(picture)])

    return made


def use(menu: Menu, name: str, **arguments: Any) -> Any:
    return json.loads(menu.use(ToolCall(name, arguments)))


def test_what_is_drawn_and_what_is_edited_is_read_like_other_images(menu: Callable[[str], Menu]) -> None:
    painter = menu("Painter")
    assert use(painter, "draw", descriptions=["red", "white", "black"]) == [
        {"drawn": "red", "strength": 10.0},
        {"drawn": "white", "strength": 10.0},
        {"drawn": "black", "strength": 0.0},
    ]
    assert use(painter, "edit", picture=1, change="make it blue") == {"strength": 0.0, "was": 10.0}
    assert "no picture 2" in use(painter, "edit", picture=2, change="make it blue")["error"]


def test_the_same_words_are_drawn_the_same(menu: Callable[[str], Menu]) -> None:
    first, again = (use(menu("Painter"), "draw", descriptions=["noise"]) for _ in range(2))
    assert first == again


def test_a_generator_that_cannot_edit_is_not_asked_to(menu: Callable[[str], Menu]) -> None:
    names = {tool.name for tool in menu("Sketcher").tools}
    assert "draw" in names and "edit" not in names


@pytest.mark.parametrize(("text", "wrong"), [("nothing", "NoneType"), ("no such colour", "failed.*colour")])
def test_a_drawing_that_fails_is_told_to_who_asked(menu: Callable[[str], Menu], text: str, wrong: str) -> None:
    with pytest.raises(UserError, match=wrong):
        raise UserError(use(menu("Painter"), "draw", descriptions=[text])["error"])


def test_the_generator_is_part_of_what_decides_the_answers(place: str) -> None:
    plain, drawing = (
        Experiment(None, Laboratory(None, None, Looking, generator)).settings  # type: ignore[arg-type]
        for generator in (None, Generator(place))
    )
    assert drawing == {**plain, "generator": place}


@pytest.mark.parametrize("name", ["no_such_module:It", "json:NoSuch", "json", "json:JSONDecoder"])
def test_what_is_no_generator_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="generator|draw"):
        Generator(name)
