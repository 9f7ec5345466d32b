"""Pictures as they are sent: their size, what is marked in them, and what is read where they are not seen."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.llm import Message
from neurogloss.prompts.pictures import LONGEST, OUTLINE, SHORTEST, all_in_words, draw, in_words, showing
from neurogloss.prompts.render import Prompt
from neurogloss.records import Passage

Image = pytest.importorskip("PIL.Image")
GREY = 200


def pixels(data: bytes) -> NDArray[np.int64]:
    """(height, width, 3)"""
    image: Any = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    return np.asarray(image).astype(int)


def picture(folder: Path, width: int, height: int, name: str = "grey.png", **options: Any) -> str:
    path = folder / name
    Image.new("RGB", (width, height), (GREY,) * 3).save(path, **options)
    return str(path)


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        ((8, 8), (SHORTEST, SHORTEST)),
        ((300, 100), (300, 100)),
        ((1000, 500), (LONGEST, LONGEST // 2)),
        ((3, 900), (1, LONGEST)),
    ],
)
def test_sizes_are_bounded_and_keep_their_proportion(
    tmp_path: Path, size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    assert pixels(draw(picture(tmp_path, *size))).shape == (drawn[1], drawn[0], 3)


def test_the_marked_cell_stays_and_the_rest_is_outlined_and_dark(tmp_path: Path) -> None:
    """Of 2 x 3 cells of 100 pixels, the second one of the second row."""
    found = pixels(draw(picture(tmp_path, 300, 200), (4,), (2, 3)))
    assert abs(found[105:195, 105:195] - GREY).max() < 24, "as it was, up to its edge"
    for row, column in ((50, 50), (50, 150), (150, 50), (150, 250)):
        assert abs(found[row, column] - GREY / 4).max() < 12
    for row, column in ((97, 150), (150, 97), (150, 202)):
        assert abs(found[row, column] - OUTLINE).max() < 60, "orange beside the cell"


def test_adjacent_cells_are_outlined_as_one(tmp_path: Path) -> None:
    found = pixels(draw(picture(tmp_path, 300, 200), (1, 4), (2, 3)))
    assert abs(found[5:195, 105:195] - GREY).max() < 24


@pytest.mark.parametrize("marks", [(), (0, 1, 2, 3)])
def test_without_marks_and_marked_as_a_whole_it_is_as_it_was(tmp_path: Path, marks: tuple[int, ...]) -> None:
    path = picture(tmp_path, 300, 200)
    assert draw(path, marks, (2, 2)) == draw(path)
    assert abs(pixels(draw(path)) - GREY).max() < 5


def test_the_same_image_gives_the_same_bytes_and_another_mark_others(tmp_path: Path) -> None:
    one, other = (picture(tmp_path, 300, 200, name) for name in ("one.png", "other.png"))
    assert draw(one, (1,), (2, 2)) == draw(other, (1,), (2, 2)) != draw(one, (2,), (2, 2))


def test_any_kind_of_image_is_read(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (300, 200), (10, 20, 30, 128)).save(path)
    assert pixels(draw(str(path))).shape == (200, 300, 3)
    palette = tmp_path / "palette.gif"
    Image.new("P", (300, 200)).save(palette)
    assert pixels(draw(str(palette), (0,), (2, 2))).shape == (200, 300, 3)


@pytest.mark.parametrize("data", [None, b"", b"no image"])
def test_an_image_that_is_not_there_any_more(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "gone.png"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError, match=r"gone\.png.*--pictures captions"):
        draw(str(path))


def test_pictures_follow_the_last_message_in_their_order(tmp_path: Path) -> None:
    path = picture(tmp_path, 300, 200)
    prompt = Prompt((Message("system", "See."), Message("user", "Which?")), "b2:0")
    passages = [Passage(("words",)), Passage((), (0,), path, (2, 2)), Passage(("said",), (), path, (2, 2))]
    system, user = showing(prompt, passages).messages
    assert system == prompt.messages[0]
    assert user.pictures == (draw(path, (0,), (2, 2)), draw(path)) and user.content == "Which?"
    assert showing(prompt, passages[:1]) == prompt


def test_where_nothing_is_seen_an_image_is_its_caption() -> None:
    """A voxel responds to a stimulus as a whole, which is then marked as a whole."""
    words = Passage((" a", " cat"), (1,))
    assert in_words(words) == words
    assert in_words(Passage(("a cat",), (), "cat.png", (2, 2))) == Passage(("a cat",))
    assert in_words(Passage(("a cat",), (0,), "cat.png", (1, 1))) == Passage(("a cat",), (0,))
    assert in_words(Passage(("a cat",), (0, 3), "cat.png", (2, 2))) is None, "a part of it has no words"
    assert in_words(Passage((), (), "cat.png", (2, 2))) is None
    assert in_words(Passage((" ",), (), "cat.png", (2, 2))) is None


def test_of_several_all_or_none_are_put_into_words() -> None:
    cat, nothing = Passage(("a cat",), (), "cat.png", (2, 2)), Passage((), (), "dog.png", (2, 2))
    assert all_in_words([cat, Passage(("text",))]) == (Passage(("a cat",)), Passage(("text",)))
    assert all_in_words([cat, nothing]) is None
