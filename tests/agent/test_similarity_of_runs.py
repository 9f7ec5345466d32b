from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import neurogloss as ng
from neurogloss.errors import UserError
from neurogloss.runs.compare import grid
from neurogloss.sources.contexts import HALVES

LAYERS = ("model.layers.0.mlp.down_proj.input", "model.layers.1.mlp.down_proj.input")
FIRST, SECOND = (LAYERS[0], None), (LAYERS[1], None)


@pytest.fixture
def changed(collected: Path, tmp_path: Path):
    """A copy of the run whose manifest says something else."""

    def change(**values: object) -> Path:
        run = Path(shutil.copytree(collected, tmp_path / "-".join(values)))
        path = run / "cache" / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        for name, value in values.items():
            part, _, key = name.partition("__")
            manifest[part] = manifest[part] | {key: value}
        path.write_text(json.dumps(manifest), encoding="utf-8")
        return run

    return change


def test_co_activation_is_that_of_the_samples_of_both_halves(collected: Path) -> None:
    found = ng.similar(collected, collected, FIRST, SECOND, by=["coactivation"])
    cache = ng.open_run(collected).cache
    for pair in found.pairs[::7]:
        halves = [[cache.uniform_hashes(unit.unit, half) for half in HALVES] for unit in (pair.a, pair.b)]
        tau = min(int(sample.max()) for unit in halves for sample in unit)
        active = [{h for sample in unit for h in sample.tolist() if h < tau} for unit in halves]
        assert pair.similarity == pytest.approx(len(active[0] & active[1]) / len(active[0] | active[1]), abs=1e-6)


def test_neurons_of_one_layer_point_the_same_way_only_to_themselves(collected: Path) -> None:
    found = ng.similar(collected, collected, FIRST, FIRST, by=["decoder"], match="nearest", min_active=1)
    values = {round(pair.values["decoder"], 6) for pair in found.pairs}
    assert values == {0.0}, "neurons write along axes; a unit is not compared with itself"
    assert found.matched == (0, 0) and len(found.distinctive[0]) == found.units[0]


def test_decoders_of_two_layers_are_refused_with_the_reason(collected: Path) -> None:
    with pytest.raises(UserError, match=f"one space only; A writes to {LAYERS[0]} .*, B to {LAYERS[1]}"):
        ng.similar(collected, collected, FIRST, SECOND, by=["decoder"])
    both = ng.similar(collected, collected, FIRST, SECOND, by=["decoder", "coactivation"])
    assert set(both.missing) == {"decoder"} and [level.kind for level in both.levels] == ["coactivation"]
    assert both.ranked_by == "coactivation" and "decoder" not in both.pairs[0].values
    with pytest.raises(UserError, match="several places"):
        ng.similar(collected, collected, by=["decoder"])


def test_another_subject_writes_to_another_space(collected: Path, changed) -> None:
    other = changed(subject__fingerprint="b2:0")
    with pytest.raises(UserError, match="one space only"):
        ng.similar(collected, other, FIRST, FIRST, by=["decoder"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"corpus__total": 1}, "different corpora"), ({"settings__context_chars": 7}, "of different lengths")],
)
def test_co_activation_needs_one_corpus_cut_alike(collected: Path, changed, change, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        ng.similar(collected, changed(**change), by=["coactivation"])


def test_rare_units_are_left_out_and_counted(collected: Path) -> None:
    found = ng.similar(collected, collected, FIRST, SECOND, by=["coactivation"], min_active=40)
    left = found.left_out["a: active in fewer than 40 contexts"]
    assert left > 0 and left + found.units[0] == 2 * 48
    cache = ng.open_run(collected).cache
    assert all(cache.statistics(pair.a.unit).n_active >= 40 for pair in found.pairs)
    with pytest.raises(UserError, match="active in 9999 contexts, found none of 96"):
        ng.similar(collected, collected, FIRST, SECOND, by=["coactivation"], min_active=9999)


def test_text_is_missing_without_labels_and_a_kind_that_is_none_is_refused(collected: Path) -> None:
    found = ng.similar(collected, collected, FIRST, SECOND, by=["text", "correlation"], min_active=20)
    assert "no unit of" in found.missing["text"] and found.ranked_by == "correlation"
    with pytest.raises(UserError, match="Expected some of text, decoder, .*; found taste"):
        ng.similar(collected, collected, by=["taste"])  # type: ignore[list-item]
    with pytest.raises(UserError, match="found the matching 'best'"):
        ng.similar(collected, collected, match="best")  # type: ignore[arg-type]


def test_the_grid_compares_place_by_place(collected: Path) -> None:
    cells = grid(collected, collected, by="coactivation")
    assert cells.rows == cells.columns == tuple(f"{layer}/neurons" for layer in LAYERS)
    whole = ng.similar(collected, collected, FIRST, SECOND, by=["coactivation"])
    assert cells.means[0, 1] == pytest.approx(np.mean([pair.similarity for pair in whole.pairs]), abs=1e-6)
    assert (cells.floors > 0).all() and (cells.floors < cells.means).all() and cells.missing == ()
    partly = grid(collected, collected, by="decoder")
    assert np.isnan(partly.means).tolist() == [[False, True], [True, False]] and len(partly.missing) == 2
    with pytest.raises(UserError, match="found none"):
        grid(collected, collected, FIRST, SECOND, by="decoder")
