from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kurtosis

from neurogloss.ids import UnitId
from neurogloss.protocols import Quiet
from neurogloss.sources.cache import Cache, Site
from neurogloss.sources.dictionaries.special import Neurons
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.outputs import excess_kurtosis, write_outputs
from neurogloss.sources.source import Listener
from neurogloss.sources.subject import Subject


def test_the_kurtosis_of_an_example_worked_by_hand() -> None:
    import torch

    # Around the mean of 3: squares 4 1 0 1 4, fourth powers 16 1 0 1 16; m2 = 2, m4 = 6.8.
    found = excess_kurtosis(torch.tensor([[1.0, 2, 3, 4, 5], [7, 7, 7, 7, 7]]))
    assert found[0] == pytest.approx(6.8 / 4 - 3)
    assert math.isnan(found[1])


def test_output_tokens_come_with_the_kurtosis_of_all_logits(collected: Cache, tiny_subject: Subject) -> None:
    for site in collected.sites:
        columns = tiny_subject.modules[site.hookpoint.removesuffix(".input")].weight.detach().T
        logits = tiny_subject.output_logits(columns).numpy().astype(np.float64)
        wanted = kurtosis(logits, axis=1)
        for index in (0, 7, 47):
            unit = UnitId("tiny-llama", site.hookpoint, "neurons", index)
            for side in (unit, replace(unit, sign=-1)):  # the logits change sign, their kurtosis does not
                found = collected.output_tokens(side)
                assert found is not None and found.kurtosis == pytest.approx(wanted[index], abs=1e-5)


def test_a_subject_without_a_head_has_no_output_tokens(tiny_subject: Subject, tmp_path: Path) -> None:
    body = Subject("tiny-llama", tiny_subject.model.model, tiny_subject.tokenizer, "")
    hookpoint = Hookpoint("layers.0", False)
    site = Site("layers.0", "neurons", "neurons", 32, True)
    listener = Listener(hookpoint, hookpoint, Neurons(32), site)
    write_outputs(tmp_path, body, [listener], Quiet())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vocabulary.json"]
    assert (tmp_path / "vocabulary.json").read_text() == "{}"
