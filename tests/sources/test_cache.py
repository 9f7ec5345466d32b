from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.settings import CollectSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.collector import collect
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.evidence import evidence
from neurogloss.sources.sketch import Sketch
from neurogloss.sources.subject import Subject

EARLY, LATE = "model.layers.0.mlp.down_proj.input", "model.layers.1.mlp.down_proj.input"
UNIT = UnitId("tiny-llama", LATE, "neurons", 7)
MakeSettings = Callable[..., CollectSettings]


@pytest.fixture
def copied(collected: Cache, tmp_path: Path) -> Path:
    """A cache folder to spoil."""
    return Path(shutil.copytree(collected.path, tmp_path / "run" / "cache"))


def edit_manifest(cache: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = cache / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    change(manifest)
    file.write_text(json.dumps(manifest), encoding="utf-8")


# --- units ----------------------------------------------------------------------------------------


def test_the_sides_of_a_unit(collected: Cache) -> None:
    assert collected.side(UNIT) == 7
    assert collected.side(replace(UNIT, sign=-1)) == 48 + 7
    assert collected.side(replace(UNIT, index=47, hookpoint=EARLY)) == 47


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"index": 48}, "0 to 47"),
        ({"index": 48, "sign": -1}, "0- to 47"),
        ({"index": -1}, "0 to 47"),
        ({"hookpoint": "model.layers.9.mlp"}, f"tiny-llama/{EARLY}/neurons, tiny-llama/{LATE}/neurons"),
        ({"subject": "another"}, "tiny-llama/"),
        ({"dictionary": "sae"}, "/neurons"),
    ],
)
def test_a_unit_that_is_not_there_is_refused(collected: Cache, wrong: dict[str, Any], expected: str) -> None:
    unit = replace(UNIT, **wrong)
    for ask in (collected.side, collected.statistics, lambda u: evidence(collected, u)):
        with pytest.raises(UserError) as caught:
            ask(unit)
        assert expected in str(caught.value)


def test_an_unsigned_dictionary_has_one_side(copied: Path) -> None:
    edit_manifest(copied, lambda m: m["sites"][1].update(units=96, signed=False))
    cache = Cache(copied)
    assert cache.side(replace(UNIT, index=95)) == 95
    with pytest.raises(UserError, match="95"):
        cache.side(replace(UNIT, index=95, sign=-1))
    assert len(list(cache.units())) == 2 * 96


def test_units_come_side_by_side(collected: Cache) -> None:
    units = list(collected.units())
    assert [unit.hookpoint for unit in units] == [EARLY] * 96 + [LATE] * 96
    for start in (0, 96):
        assert [collected.side(unit) for unit in units[start : start + 96]] == list(range(96))


def test_alive_are_units_with_enough_in_each_half(collected: Cache) -> None:
    n_active = {
        (hookpoint, half): array(collected.path, hookpoint, half, "n_active")
        for hookpoint in (EARLY, LATE)
        for half in HALVES
    }
    for enough in (1, 10, 20):
        wanted = [
            unit
            for unit in collected.units()
            if all(n_active[unit.hookpoint, half][collected.side(unit)] >= enough for half in HALVES)
        ]
        assert collected.alive(enough) == wanted
    assert 0 < len(collected.alive(20)) < len(collected.alive(1))


def array(cache: Path, hookpoint: str, half: str, name: str) -> Any:
    (folder,) = (cache / "sketches").iterdir()
    return np.load(folder / f"{hookpoint}.neurons.{half}" / f"{name}.npy")


def test_a_dead_unit_is_told_as_such(tiny_subject: Subject, make_settings: MakeSettings, tmp_path: Path) -> None:
    import torch

    model = copy.deepcopy(tiny_subject.model)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[UNIT.index] = 0
    run = RunFolder(tmp_path / "run")
    collect(run, make_settings(tokens=3000), Subject("tiny-llama", model, tiny_subject.tokenizer, ""))
    cache = Cache(run.cache)
    for unit in (UNIT, replace(UNIT, sign=-1)):
        assert unit not in cache.alive(1)
        found = cache.statistics(unit)
        assert (found.n_active, found.threshold, found.maximum, found.mean, found.density) == (0, 0, 0, 0, 0)
        assert found.n_contexts == cache.manifest["counts"]["contexts"] and sum(found.histogram) == 0
        seen = evidence(cache, unit)
        for half in (seen.explain, seen.score):
            assert half.top == half.uniform == () and half.negatives
    assert replace(UNIT, index=8) in cache.alive(1)


# --- examples and contexts ------------------------------------------------------------------------


def test_examples_are_the_sketches_rows(collected: Cache) -> None:
    for half in HALVES:
        arrays = {name: array(collected.path, LATE, half, name) for name in Sketch.names()}
        for unit in (UNIT, replace(UNIT, sign=-1)):
            side = collected.side(unit)
            for kind in ("top", "uniform"):
                examples = collected.examples(unit, half, kind)
                order = np.argsort(-arrays[f"{kind}_peaks"][side], kind="stable")
                assert 0 < len(examples) == np.count_nonzero(arrays[f"{kind}_peaks"][side])
                for slot, example in zip(order, examples, strict=False):
                    assert int(example.context.id, 16) == arrays[f"{kind}_hashes"][side, slot]
                    assert example.peak == arrays[f"{kind}_peaks"][side, slot]
                    assert len(example.activations) == len(example.context.tokens)
                    assert min(example.activations) >= 0
            assert collected.uniform_hashes(unit, half).tolist() == arrays["uniform_hashes"][side].tolist()


def test_hashes_of_a_half_are_found_again(collected: Cache) -> None:
    explain, score = (collected.hashes(half).tolist() for half in HALVES)
    assert explain == sorted(explain) and not set(explain) & set(score)
    assert len(explain) + len(score) == collected.manifest["counts"]["contexts"]
    for digest in explain[:5] + score[-5:]:
        assert collected.context(digest).id == f"{digest:016x}"


# --- output tokens --------------------------------------------------------------------------------


def test_output_tokens_are_a_neurons_logits(collected: Cache, tiny_subject: Subject) -> None:
    body = tiny_subject.model.model
    written = body.layers[1].mlp.down_proj.weight[:, UNIT.index] * body.norm.weight
    logits = (tiny_subject.model.lm_head.weight @ written).detach().numpy()
    order = np.argsort(-logits, kind="stable")
    high = [(tiny_subject.tokenizer.decode([i]), logits[i]) for i in order[:3].tolist()]
    low = [(tiny_subject.tokenizer.decode([i]), logits[i]) for i in order[::-1][:3].tolist()]
    found = collected.output_tokens(UNIT, 3)
    assert found is not None
    for mine, wanted in ((found.promoted, high), (found.suppressed, low)):
        assert [token for token, _ in mine] == [token for token, _ in wanted]
        np.testing.assert_allclose([x for _, x in mine], [x for _, x in wanted], rtol=1e-4)
    negative = collected.output_tokens(replace(UNIT, sign=-1), 3)
    assert negative is not None
    assert negative.promoted == tuple((token, -x) for token, x in found.suppressed)
    assert negative.suppressed == tuple((token, -x) for token, x in found.promoted)
    everything = collected.output_tokens(UNIT, 1000)
    assert everything is not None and len(everything.promoted) == len(everything.suppressed) == 20


def test_a_place_without_a_way_to_the_logits_has_no_output_tokens(
    tiny_subject: Subject, make_settings: MakeSettings, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    collect(run, make_settings(hookpoints=("layers.0.self_attn.k_proj",), tokens=500), tiny_subject)
    unit = next(Cache(run.cache).units())
    assert Cache(run.cache).output_tokens(unit) is None


# --- what does not read ---------------------------------------------------------------------------


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    return str(caught.value)


def test_a_folder_without_a_cache(tmp_path: Path) -> None:
    assert f"neurogloss collect {tmp_path}" in refusal(lambda: Cache(tmp_path / "cache"))


@pytest.mark.parametrize("text", ['{"complete": tr', "", "[]", "{}", '{"version": 999, "complete": true}', "\xff"])
def test_a_damaged_manifest_is_named(copied: Path, text: str) -> None:
    (copied / "manifest.json").write_text(text, encoding="latin-1")
    assert str(copied / "manifest.json") in refusal(lambda: Cache(copied))


def test_an_unfinished_cache_is_not_read(copied: Path) -> None:
    edit_manifest(copied, lambda m: m.update(complete=False))
    assert "not finished" in refusal(lambda: Cache(copied))


@pytest.mark.parametrize("size", [0, 4, 100, -1])
@pytest.mark.parametrize(
    "name",
    [
        "thresholds.safetensors",
        "contexts/text.u8",
        "contexts/explain_rows.i64",
        f"outputs/{LATE}.neurons.safetensors",
        f"sketches/*/{LATE}.neurons.explain/uniform_windows.npy",
    ],
)
def test_a_truncated_file_is_named(copied: Path, name: str, size: int) -> None:
    (file,) = copied.glob(name)
    file.write_bytes(file.read_bytes()[:size])
    assert str(file) in refusal(lambda: evidence(Cache(copied), UNIT))


def test_a_missing_file_is_named(copied: Path) -> None:
    (file,) = copied.glob(f"sketches/*/{LATE}.neurons.score/n_active.npy")
    file.unlink()
    assert str(file) in refusal(lambda: Cache(copied).alive(1))


def test_a_changed_file_is_found_by_its_checksum(copied: Path) -> None:
    Cache(copied).verify()
    (file,) = copied.glob(f"sketches/*/{LATE}.neurons.score/n_active.npy")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    assert f"{LATE}.neurons.score/n_active.npy" in refusal(Cache(copied).verify)
