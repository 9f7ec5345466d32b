from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurogloss.ids import UnitId, canonical_json, content_id, derive_seed, hash64, layer_of

part = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=12)
subject = st.lists(part, min_size=1, max_size=3).map("/".join)


@given(st.builds(UnitId, subject, part, part, st.integers(0, 10**9), st.sampled_from([1, -1])))
def test_a_printed_unit_id_reads_back(unit: UnitId) -> None:
    assert UnitId.parse(str(unit)) == unit


def test_a_unit_id_prints_its_side() -> None:
    unit = UnitId("org/model", "model.layers.3.mlp.down_proj.input", "neurons", 803, -1)
    assert str(unit) == "org/model/model.layers.3.mlp.down_proj.input/neurons/803-"


@pytest.mark.parametrize("text", ["", "a/b/3", "a/b/c/", "a/b/c/-", "a/b/c/3--", "a/b/c/-3", "a//c/3", "a/b/c/٣"])
def test_what_is_no_unit_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected subject/hookpoint/dictionary/index, found"):
        UnitId.parse(text)


def test_units_sort_by_number_and_not_by_digits() -> None:
    units = [UnitId("s", "h", "d", index) for index in (10, 9, 100)]
    assert [unit.index for unit in sorted(units)] == [9, 10, 100]


def test_canonical_json_is_one_text_for_one_value() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    assert content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1}) != content_id({"a": 1, "b": 3})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(math.nan)


def test_hashes_are_what_they_were() -> None:
    # A change of these changes every sketch, split and ledger that was ever written.
    assert hash64("context") == 6898879143770696791
    assert hash64(1, 2) == 604386471783950339
    assert content_id([1, "a"]) == "b2:0cd1815628877fc2ca4ef2a690d32040"


def test_hashes_do_not_run_their_parts_together() -> None:
    assert len({hash64("ab", "c"), hash64("a", "bc"), hash64("abc"), hash64("abc", "")}) == 4


def test_hashes_are_the_same_in_another_process() -> None:
    code = "from neurogloss.ids import hash64; print(hash64('text', 3, b'x'))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(result.stdout) == hash64("text", 3, b"x")


def test_hashes_are_about_uniform() -> None:
    shares = [hash64("context", i) / 2**64 for i in range(4000)]
    # The mean of 4000 uniform numbers has a standard deviation of 0.0046.
    assert abs(sum(shares) / len(shares) - 0.5) < 0.023
    assert 0 <= min(shares) < 0.01 and 0.99 < max(shares) < 1


def test_seeds_differ_by_purpose_and_fit_a_signed_integer() -> None:
    seeds = {derive_seed(seed, "draw", unit) for seed in range(20) for unit in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, "draw", 1) != derive_seed(0, "split", 1)


def test_the_layer_of_a_hookpoint() -> None:
    assert layer_of("model.layers.14.mlp.down_proj.input") == 14
    assert layer_of("transformer.h.3") == 3
    assert layer_of("model.norm") is None
