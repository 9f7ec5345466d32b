from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurogloss.errors import UserError
from neurogloss.ids import hash64
from neurogloss.protocols import Quiet
from neurogloss.settings import ImageSettings
from neurogloss.sources.vision import shipped
from neurogloss.sources.vision.pictures import Picture, find, open_picture, tags

MakeSettings = Callable[..., ImageSettings]


def found(settings: ImageSettings, cache: Path) -> dict[str, Picture]:
    _, pictures = find(settings, cache, Quiet())
    return {picture.path: picture for picture in pictures}


def test_images_come_in_an_order_that_mixes_the_folders_with_their_tags(
    folder: Path, image_settings: MakeSettings, tmp_path: Path
) -> None:
    root, pictures = find(image_settings(), tmp_path, Quiet())
    assert root == folder and len(pictures) == 80
    assert [picture.path for picture in pictures] == sorted((p.path for p in pictures), key=hash64)
    assert {picture.caption for picture in pictures[:12]} == {"red", "green", "blue"}
    assert all(picture.id == hash64((folder / picture.path).read_bytes()) for picture in pictures)
    assert list(found(image_settings(images=7), tmp_path).values()) == pictures[:7]
    assert not any(tmp_path.iterdir())


def test_tags_are_the_folders_as_words() -> None:
    assert tags("n01_great-white_shark/young/7.png") == "n01 great white shark, young"
    assert tags("7.png") == ""


def test_duplicates_are_read_once(folder: Path, image_settings: MakeSettings, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    first = sorted(copy.rglob("*.png"))[0]
    shutil.copy(first, copy / "again.png")
    assert len(found(image_settings(pictures=str(copy)), tmp_path)) == 80


def test_images_that_do_not_decode_are_named(folder: Path, image_settings: MakeSettings, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "pointer.png").write_text("version https://git-lfs.github.com/spec/v1\n", encoding="utf-8")
    (copy / "half.png").write_bytes(sorted(folder.rglob("*.png"))[0].read_bytes()[:60])
    (copy / "notes.txt").write_text("no image", encoding="utf-8")
    (copy / ".thumbnails").mkdir()
    (copy / ".thumbnails" / "broken.png").touch()
    with pytest.raises(
        UserError, match="2 files that do not decode: (half.png, pointer.png|pointer.png, half.png)"
    ):
        find(image_settings(pictures=str(copy)), tmp_path, Quiet())
    with pytest.raises(UserError, match=r"half\.png, found one that does not decode"):
        open_picture(copy / "half.png")


@pytest.mark.parametrize(
    ("name", "expected"), [("missing", "nothing there"), ("empty", "found none"), ("file", "a file")]
)
def test_where_no_images_are_it_says_so(
    name: str, expected: str, image_settings: MakeSettings, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=expected):
        find(image_settings(pictures=str(tmp_path / name)), tmp_path, Quiet())


def test_captions_of_a_table_take_the_place_of_tags(
    folder: Path, image_settings: MakeSettings, tmp_path: Path
) -> None:
    lines, table = tmp_path / "captions.jsonl", tmp_path / "captions.csv"
    rows = [("red/000.png", "a red block, low"), ("red/000.png", "one red square"), ("green/001.png", "naïve")]
    lines.write_text(
        "".join(json.dumps({"file_name": path, "text": text}) + "\n" for path, text in rows), encoding="utf-8"
    )
    quoted = "".join(f'{path},"{text}"\n' for path, text in rows)
    table.write_text("path,caption\n" + quoted, encoding="utf-8-sig")
    for captions in (lines, table):
        pictures = found(image_settings(captions=str(captions)), tmp_path)
        assert pictures["red/000.png"].caption == "a red block, low; one red square"
        assert pictures["green/001.png"].caption == "naïve"
        assert pictures["blue/002.png"].caption == "blue"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,words\nred/000.png,a\n", "found path, words"),
        ("path,caption\nred/nowhere.png,a\n", "line 2 names, in"),
        (f"path,caption\nred/000.png,{'a' * 3000}\n", "at most 2000"),
        ("path,caption\n", "found none"),
    ],
)
def test_a_table_that_is_wrong_is_explained(
    text: str, expected: str, image_settings: MakeSettings, tmp_path: Path
) -> None:
    (tmp_path / "captions.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=expected):
        find(image_settings(captions=str(tmp_path / "captions.csv")), tmp_path, Quiet())


def test_a_saved_data_set_is_written_once_as_it_is_stored(
    folder: Path, image_settings: MakeSettings, tmp_path: Path
) -> None:
    import datasets

    files = sorted(folder.rglob("*.png"))[:6]
    rows: dict[str, Any] = {
        "picture": [str(file) for file in files],
        "said": ["", *(f"number {i}" for i in range(1, 6))],
        "kind": [i % 2 for i in range(6)],
    }
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "said": datasets.Value("string"),
            "kind": datasets.ClassLabel(names=["even", "../odd"]),
        }
    )
    datasets.Dataset.from_dict(rows, features).save_to_disk(tmp_path / "saved")
    settings = image_settings(pictures=str(tmp_path / "saved"), image_column="picture", caption_column="said")
    pictures = found(settings, tmp_path / "cache")
    assert {p.path: p.caption for p in pictures.values()} == {
        f"{'_odd' if i % 2 else 'even'}/{i:08}.png": f"number {i}" if i else "even" for i in range(6)
    }
    written = tmp_path / "cache" / "pictures"
    assert [(written / p).read_bytes() for p in sorted(pictures, key=lambda p: p[-9:])] == [
        f.read_bytes() for f in files
    ]
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*.png")}
    assert found(settings, tmp_path / "cache") == pictures
    assert {path: path.stat().st_mtime_ns for path in written.rglob("*.png")} == before
    with pytest.raises(UserError, match="column 'image'"):
        find(image_settings(pictures=str(tmp_path / "saved")), tmp_path / "other", Quiet())


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two data sets in the working folder, as `hub:./NAME`: images in folders of classes, and images in a table.

    The library takes a local folder for a name, which makes it the judge without a network.
    """
    import datasets

    files = sorted(folder.rglob("*.png"))[::8]
    for file in files:
        copied = tmp_path / "plain" / "train" / file.parent.name / file.name
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(file.read_bytes())
    rows: dict[str, Any] = {"image": list(map(str, files)), "said": [f"of {file.stem}" for file in files]}
    features = datasets.Features({"image": datasets.Image(), "said": datasets.Value("string")})
    table = datasets.Dataset.from_dict(rows, features).map(lambda row: row)
    (tmp_path / "table").mkdir()
    table.to_parquet(tmp_path / "table" / "train.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_data_set_of_the_hub_is_streamed_and_written_once(
    hub: Path, folder: Path, image_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = image_settings(pictures="hub:./plain")
    pictures = found(settings, hub / "cache")
    assert {p.path.split("/")[0] for p in pictures.values()} == {"red", "green", "blue"}
    assert all(p.caption == p.path.split("/")[0] for p in pictures.values())
    stored = {file.read_bytes() for file in sorted(folder.rglob("*.png"))[::8]}
    assert {(hub / "cache" / "pictures" / path).read_bytes() for path in pictures} == stored
    # What was written is not asked for again: not even the library is.
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert found(settings, hub / "cache") == pictures


def test_captions_of_the_hub_are_kept_and_no_more_rows_read_than_asked_for(
    hub: Path, folder: Path, image_settings: MakeSettings
) -> None:
    settings = image_settings(pictures="hub:./table::train", caption_column="said", images=4)
    pictures = found(settings, hub / "cache")
    assert len(pictures) == 4 and len(list((hub / "cache" / "pictures").rglob("*.png"))) == 4
    names = {file.read_bytes(): file.stem for file in folder.rglob("*.png")}
    for path, picture in pictures.items():
        assert picture.caption == f"of {names[(hub / 'cache' / 'pictures' / path).read_bytes()]}"
    assert found(settings, hub / "again") == pictures, "the same rows are drawn"


def test_an_image_that_is_gone_is_named_and_nothing_kept(hub: Path, image_settings: MakeSettings) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    kind = arrow.struct({"bytes": arrow.binary(), "path": arrow.string()})
    gone = arrow.array([{"bytes": None, "path": str(hub / "gone.png")}], kind)
    parquet.write_table(arrow.table({"image": gone}), hub / "table" / "train.parquet")
    with pytest.raises(UserError, match=r"an image at .*gone\.png"):
        find(image_settings(pictures="hub:./table"), hub / "cache", Quiet())
    assert not (hub / "cache" / "pictures").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"pictures": "hub:nobody/nothing"}, "data set nobody/nothing on the hub.*or download it"),
        ({"pictures": "hub:./table::dev"}, "data set ./table on the hub, found: .*dev"),
        ({"pictures": "hub:a:b"}, "hub:NAME:CONFIG:SPLIT"),
        (
            {"pictures": "hub:./table", "image_column": "picture"},
            "column 'picture' in hub:./table, found image, said",
        ),
    ],
)
def test_what_the_hub_does_not_have_is_told(
    given: dict[str, Any], expected: str, hub: Path, image_settings: MakeSettings
) -> None:
    with pytest.raises(UserError, match=expected):
        find(image_settings(**given), hub / "cache", Quiet())
    assert not (hub / "cache" / "pictures").exists()


def test_rendered_images_are_the_same_every_time_and_say_what_they_show() -> None:
    first, again = (list(shipped.shapes(6, first=40)) for _ in range(2))
    assert [(path, data(), caption) for path, data, caption in first] == [
        (path, data(), caption) for path, data, caption in again
    ]
    for seed, (path, _, caption) in zip(range(40, 46), first, strict=True):
        factors = shipped.shape(seed).factors
        assert path.startswith(f"{factors['colour']} {factors['shape']}/")
        assert all(any(word in caption for word in shipped.WORDS[f][v]) for f, v in factors.items())


def test_a_rendered_shape_stands_where_it_is_said_in_its_colour() -> None:
    for seed in range(12):
        drawn = shipped.shape(seed)
        pixels = np.asarray(shipped.draw(drawn), np.float64)
        coloured = np.ptp(pixels, axis=2) > 70
        rows, columns = (axis.mean() for axis in np.nonzero(coloured))
        row, column = drawn.factors["position"].split()
        assert (rows < 32) == (row == "top") and (columns < 32) == (column == "left")
        wanted = np.array(shipped.COLOURS[drawn.factors["colour"]])
        shown = np.median(pixels[coloured], axis=0)
        nearest = min(shipped.COLOURS, key=lambda name: np.abs(shown - shipped.COLOURS[name]).sum())
        assert nearest == drawn.factors["colour"], (shown, wanted)


def test_the_digits_are_those_of_scikit_learn(tmp_path: Path) -> None:
    path, data, caption = next(shipped.digits())
    assert path == "zero/0000.png" and caption == "the handwritten digit zero"
    (tmp_path / "0.png").write_bytes(data())
    assert Image.open(tmp_path / "0.png").size == (8, 8)
