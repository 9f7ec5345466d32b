from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neurogloss.errors import UserError
from neurogloss.records import Context, Example
from neurogloss.sources.cache import Cache
from neurogloss.sources.vision import masks
from neurogloss.sources.vision.pictures import open_picture
from neurogloss.sources.vision.subject import VisionSubject


def example(values: np.ndarray) -> Example:
    context = Context("0" * 16, ("a caption",), "picture.png")
    return Example(context, tuple(values.ravel().tolist()), (values.shape[0], values.shape[1]))


@pytest.mark.parametrize(
    ("grid", "size"), [((4, 4), (16, 16)), ((7, 7), (224, 224)), ((3, 5), (10, 12)), ((1, 1), (4, 4))]
)
def test_a_map_is_upsampled_as_torch_does_it_without_aligned_corners(
    grid: tuple[int, int], size: tuple[int, int]
) -> None:
    values = np.random.default_rng(0).normal(size=grid).astype(np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], size, mode="bilinear", align_corners=False
    )[0, 0]
    np.testing.assert_allclose(masks.upsampled(example(values), size), wanted.numpy(), atol=1e-5)


def test_a_mask_lies_over_the_cell_that_is_active() -> None:
    values = np.zeros((4, 4), np.float32)
    values[1, 2] = 1.0
    found = masks.mask(example(values), 0.5, (16, 16))
    rows, columns = np.nonzero(found)
    assert rows.mean() == pytest.approx(5.5) and columns.mean() == pytest.approx(9.5)  # the cell's middle
    assert not masks.mask(example(values), 1.0, (16, 16)).any()


def test_thresholds_are_quantiles_of_all_cells_of_the_explain_half(
    image_run: Cache, subject: VisionSubject
) -> None:
    pictures = [image_run.context(digest).picture for digest in image_run.hashes("explain").tolist()]
    images = subject.preprocess([open_picture(Path(picture)) for picture in pictures])
    means = images.reshape(len(images), 3, 4, 4, 4, 4).mean((3, 5))  # of each channel in each cell
    cells = 1.5 * means - 0.5 * means.sum(1, keepdims=True)
    by_unit = cells.transpose(1, 0, 2, 3).reshape(3, -1)
    low, high = (np.quantile(by_unit, 0.99, axis=1, method=method) for method in ("lower", "higher"))
    found = np.array([masks.threshold(image_run, unit) for unit in list(image_run.units())[:3]])
    assert (low * 0.955 < found).all() and (found < high * 1.045).all()


def test_a_run_over_texts_has_no_masks(image_run: Cache) -> None:
    class Texts:
        path = image_run.path.parent / "elsewhere"
        measure = "tokens"

    with pytest.raises(UserError, match="run of images"):
        masks.threshold(Texts(), next(image_run.units()))  # type: ignore[arg-type]
