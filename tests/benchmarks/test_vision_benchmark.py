from __future__ import annotations

import numpy as np
import torch

from benchmarks import vision
from neurogloss.sources.vision import shipped


def test_detectors_respond_where_the_shape_is_and_their_rule_holds() -> None:
    shapes = [shipped.shape(seed) for seed in range(30)]
    rules: list[vision.Rule] = [{"colour": "red"}, {"shape": "star", "texture": "dotted"}, {}]
    images = vision.PREPROCESS([shipped.draw(shape) for shape in shapes])
    maps = vision.Detectors(rules, shapes)(torch.from_numpy(images)).numpy()
    assert maps.shape == (30, 3, vision.GRID, vision.GRID)
    for shape, found in zip(shapes, maps, strict=True):
        assert found[0].any() == (shape.factors["colour"] == "red")
        assert found[1].any() == (shape.factors["shape"] == "star" and shape.factors["texture"] == "dotted")
        if found[0].any():
            middles = (np.argwhere(found[0]).mean(0) + 0.5) * shipped.SIZE / vision.GRID
            assert np.abs(middles - shape.centre).max() < shape.radius
    assert not vision.Detectors(rules, [])(torch.zeros(1, 3, 64, 64)).any()


def test_a_label_names_a_factor_by_any_of_its_words() -> None:
    assert vision.names("a RED disc, small", "shape", "circle")
    assert vision.names("plus, sign", "shape", "cross")
    assert not vision.names("plus something", "shape", "cross")
    assert not vision.names("reddish", "colour", "red")
    assert vision.names("left, upper things", "position", "top left")


def test_rules_are_of_one_factor_of_two_and_of_none() -> None:
    found = vision.rules()
    sizes = [len(rule) for rule in found]
    assert sizes == sorted(sizes, key=(1, 2, 0).index)
    assert (sizes.count(1), sizes.count(2), sizes.count(0)) == (20, vision.CONJUNCTIONS, vision.NOTHING)
    assert len({tuple(sorted(rule.items())) for rule in found if rule}) == 38
