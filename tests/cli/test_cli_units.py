"""Short names of units: as short as tells them apart, and understood where a unit is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

import neurogloss as ng
from neurogloss.cli.units import find, names
from neurogloss.errors import UserError
from neurogloss.ids import UnitId


def unit(hookpoint: str, index: int = 5, sign: int = 1, subject: str = "s", dictionary: str = "neurons") -> UnitId:
    return UnitId(subject, hookpoint, dictionary, index, sign)


@pytest.mark.parametrize(
    ("hookpoints", "common", "short"),
    [
        (["a.4.mlp"], "s/a.4.mlp/neurons", ["5"]),
        (["a.4.mlp.in", "a.14.mlp.in"], "s/a.*.mlp.in/neurons", ["4/5", "14/5"]),
        (["a.4.mlp", "a.4.attn"], "s/a.4.*/neurons", ["mlp/5", "attn/5"]),
        (["a.4.mlp.in", "a.7.attn.in"], "s/a.*.in/neurons", ["4/5", "7/5"]),  # the layer is enough
        # One is the beginning, or the end, of the other: something of it is left.
        (["a.4", "a.4.in"], "s/a.*/neurons", ["4/5", "4.in/5"]),
        (["in", "a.in"], "s/*/neurons", ["in/5", "a.in/5"]),
        (["x", "y.z"], "s/*/neurons", ["x/5", "y.z/5"]),
    ],
)
def test_hookpoints_are_named_by_what_differs(hookpoints: list[str], common: str, short: list[str]) -> None:
    units = [unit(hookpoint) for hookpoint in hookpoints]
    named = names(units)
    assert (named.common, [named.of(unit) for unit in units]) == (common, short)


def test_dictionaries_in_one_layer_are_told_apart_by_name() -> None:
    units = [unit("a.14", dictionary="sae-0"), unit("a.14", dictionary="sae-1"), unit("a.14.mlp.in")]
    named = names(units)
    assert [named.of(unit) for unit in units] == ["14/sae-0/5", "14/sae-1/5", "14/neurons/5"]


def test_sign_subject_and_dictionary() -> None:
    units = [unit("a", 3), unit("a", 3, -1), unit("a", 3, subject="t"), unit("a", 3, dictionary="sae")]
    named = names(units)
    assert named.common == "*/a/*"
    assert [named.of(unit) for unit in units] == ["s/neurons/3", "s/neurons/3-", "t/neurons/3", "s/sae/3"]


def test_a_short_name_is_found(small_run: Path, small_labels: list[ng.Label]) -> None:
    run = ng.open_run(small_run)
    named = names(label.unit for label in small_labels)
    for label in small_labels:
        assert find(run, named.of(label.unit)) == find(run, str(label.unit)) == label.unit
        assert find(run, f"mlp.down_proj.input/neurons/{str(label.unit).rpartition('/')[2]}") == label.unit


def test_a_short_name_that_fits_none_or_several_is_refused(small_run: Path) -> None:
    run = ng.open_run(small_run)
    for text in ("9/5", "1/99999", "nonsense", ""):
        with pytest.raises(UserError, match="Expected one unit"):
            find(run, text)
