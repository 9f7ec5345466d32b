"""Sparse dictionaries and token ids through a whole pass, against the dictionary on one context after another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.settings import CollectSettings
from neurogloss.sources import calibration, collector
from neurogloss.sources.cache import Cache, read_manifest
from neurogloss.sources.collector import collect
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.corpus import context_id, half_of, read_token_rows
from neurogloss.sources.dictionaries import activations, open_dictionary
from neurogloss.sources.pairs import Pairs
from neurogloss.sources.reader import Reader
from neurogloss.sources.sketch import Sketch
from neurogloss.sources.steering import LiveSubject
from neurogloss.sources.subject import Subject

MakeSettings = Callable[..., CollectSettings]
LAYER, WIDTH, UNITS, K = "model.layers.0", 32, 96, 6


@pytest.fixture(scope="module")
def dictionaries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A top-k autoencoder of random directions, and one whose decoder is turned round."""
    rows = np.random.default_rng(1).normal(size=(UNITS, WIDTH)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    paths = {}
    for name, decoder in (("topk", rows / 2), ("turned", -3 * rows)):
        paths[name] = str(tmp_path_factory.mktemp(name) / f"{name}.safetensors")
        arrays = {"W_enc": np.ascontiguousarray(rows.T), "W_dec": decoder, "k": np.array(K)}
        save_file(arrays, paths[name])
    return paths


@pytest.fixture(scope="module")
def token_rows(tmp_path_factory: pytest.TempPathFactory, tiny_subject: Subject) -> str:
    """40 rows of 70 ids, a special one in each, one row twice."""
    rng = np.random.default_rng(2)
    ordinary = [i for i in range(len(tiny_subject.tokenizer)) if i not in tiny_subject.special_ids]
    rows = rng.choice(ordinary, (40, 70)).astype(np.int32)
    rows[:, 40] = min(tiny_subject.special_ids)
    rows[7] = rows[3]
    path = tmp_path_factory.mktemp("tokens") / "rows.safetensors"
    save_file({"tokens": rows}, path)
    return str(path)


def peaks_one_by_one(subject: Subject, tokens: str, sae: str, half: str) -> dict[int, np.ndarray]:
    """By context the peak of every unit, read row by row, special positions left out."""
    at, dictionary, found = subject.hookpoint(LAYER), open_dictionary(sae, WIDTH), {}
    for row in read_token_rows(tokens):
        if half_of(row.id, 0) == half:
            codes = dictionary.encode(subject.vectors([row.ids], [at])[at][0]).dense()
            codes[[i for i, token in enumerate(row.ids) if token in subject.special_ids]] = 0
            for first in range(0, len(row.ids), 32):
                found[context_id(row.id, first)] = codes[first : first + 32].amax(0).numpy()
    return found


def test_samples_are_those_of_the_dictionary_on_each_row(
    dictionaries: dict[str, str],
    token_rows: str,
    make_settings: MakeSettings,
    tiny_subject: Subject,
    tmp_path: Path,
) -> None:
    run, sae = RunFolder(tmp_path / "run"), dictionaries["topk"]
    settings = make_settings(hookpoints=(LAYER,), dictionaries=(sae,), corpus=token_rows, shard_tokens=700)
    manifest = collect(run, settings, tiny_subject)
    assert manifest["counts"] == {"contexts": 39 * 3, "contexts_too_long": 0, "documents": 39, "tokens": 39 * 70}
    assert manifest["parity"][f"{LAYER}.topk"]["l0"] == K
    cache = Cache(run.cache)
    for half in HALVES:
        wanted = peaks_one_by_one(tiny_subject, token_rows, sae, half)
        assert cache.hashes(half).tolist() == sorted(wanted)
        for index in range(0, UNITS, 7):
            unit = UnitId("tiny-llama", LAYER, "topk", index)
            active = {digest: peaks[index] for digest, peaks in wanted.items() if peaks[index] > 0}
            top = [example.peak for example in cache.examples(unit, half, "top")]
            np.testing.assert_allclose(top, sorted(active.values(), reverse=True)[:4], rtol=1e-3)
            uniform = {int(example.context.id, 16) for example in cache.examples(unit, half, "uniform")}
            assert uniform == set(sorted(active)[:8])


def test_tokens_of_ids_join_to_their_text(
    token_rows: str, make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    collect(run, make_settings(hookpoints=(LAYER,), corpus=token_rows), tiny_subject)
    cache = Cache(run.cache)
    for row in list(read_token_rows(token_rows))[:5]:
        pieces = [cache.context(context_id(row.id, first)) for first in (0, 32, 64)]
        assert [len(piece.tokens) for piece in pieces] == [32, 32, 6]
        assert "".join(piece.text for piece in pieces) == tiny_subject.spell(row.ids)[0]


def test_several_dictionaries_in_one_pass(
    dictionaries: dict[str, str],
    token_rows: str,
    make_settings: MakeSettings,
    tiny_subject: Subject,
    tmp_path: Path,
) -> None:
    both, alone = RunFolder(tmp_path / "both"), RunFolder(tmp_path / "alone")
    sae = dictionaries["topk"]
    given = {"hookpoints": (LAYER,), "corpus": token_rows}
    collect(both, make_settings(**given, dictionaries=(sae, "neurons")), tiny_subject)
    collect(alone, make_settings(**given, dictionaries=(sae,)), tiny_subject)
    found = Cache(both.cache)
    assert [(site.dictionary, site.units, site.signed) for site in found.sites] == [
        ("topk", UNITS, False),
        ("neurons", WIDTH, True),
    ]
    unit = next(unit for unit in Cache(alone.cache).alive(3))
    for half in HALVES:
        assert found.examples(unit, half, "uniform") == Cache(alone.cache).examples(unit, half, "uniform")


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes are taken in by a thread, as those are that come from another device."""
    monkeypatch.setattr(collector, "Reader", lambda *given: Reader(*given[:3], beside=True))


def test_codes_that_are_taken_in_beside_the_next_leave_the_same_bytes(
    dictionaries: dict[str, str],
    token_rows: str,
    make_settings: MakeSettings,
    tiny_subject: Subject,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(activations, "VALUES_CPU", 60 * UNITS)  # several parts a batch
    given = {"hookpoints": (LAYER,), "corpus": token_rows, "shard_tokens": 700}
    settings = make_settings(**given, dictionaries=(dictionaries["topk"], "neurons"))
    alone, threaded = RunFolder(tmp_path / "alone"), RunFolder(tmp_path / "threaded")
    collect(alone, settings, tiny_subject)
    request.getfixturevalue("beside")
    threads: set[int] = set()
    take = Sketch.take
    monkeypatch.setattr(Sketch, "take", lambda *given: (threads.add(threading.get_ident()), take(*given))[1])
    collect(threaded, settings, tiny_subject)
    assert threads - {threading.get_ident()}
    files = {path.relative_to(alone.cache): path.read_bytes() for path in alone.cache.rglob("*") if path.is_file()}
    assert files == {
        path.relative_to(threaded.cache): path.read_bytes() for path in threaded.cache.rglob("*") if path.is_file()
    }


def test_what_fails_beside_ends_the_pass_which_can_go_on(
    dictionaries: dict[str, str],
    token_rows: str,
    make_settings: MakeSettings,
    tiny_subject: Subject,
    tmp_path: Path,
    beside: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings(hookpoints=(LAYER,), corpus=token_rows, shard_tokens=700)
    run, left = RunFolder(tmp_path / "run"), iter(range(5))
    take = Sketch.take

    def fails(sketch: Sketch, pairs: Pairs, n_contexts: int) -> None:
        if next(left, None) is None:
            raise MemoryError("no room")
        take(sketch, pairs, n_contexts)

    with monkeypatch.context() as broken, pytest.raises(MemoryError):
        broken.setattr(Sketch, "take", fails)
        collect(run, settings, tiny_subject)
    assert not read_manifest(run.cache)["complete"]
    assert collect(run, settings, tiny_subject)["complete"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dictionaries": ("turned",)}, "to reconstruct"),
        ({"dictionaries": ("topk",), "hookpoints": ("model.layers.0.mlp.down_proj.input",)}, "of width 48"),
        ({"dictionaries": ("topk", "turned"), "hookpoints": (LAYER, LAYER, LAYER)}, "in pairs"),
        ({"dictionaries": ("topk",), "hookpoints": ()}, "Give it with --hookpoint"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    dictionaries: dict[str, str],
    token_rows: str,
    make_settings: MakeSettings,
    tiny_subject: Subject,
    tmp_path: Path,
    given: dict[str, tuple[str, ...]],
    said: str,
) -> None:
    run = RunFolder(tmp_path / "run")
    given = {"hookpoints": (LAYER,), **given}
    given["dictionaries"] = tuple(dictionaries[name] for name in given["dictionaries"])
    with pytest.raises(UserError, match=said):
        collect(run, make_settings(corpus=token_rows, **given), tiny_subject)
    assert not run.cache.exists()


@pytest.fixture
def topk_settings(dictionaries: dict[str, str], token_rows: str, make_settings: MakeSettings) -> CollectSettings:
    return make_settings(hookpoints=(LAYER,), dictionaries=(dictionaries["topk"],), corpus=token_rows)


def test_a_dictionary_is_measured_on_the_vectors_of_several_batches(
    topk_settings: CollectSettings, tiny_subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = collect(RunFolder(tmp_path / "at_once"), topk_settings, tiny_subject)
    monkeypatch.setattr("neurogloss.sources.texts.BATCH_TOKENS_CPU", 150)  # two rows
    batches = collect(RunFolder(tmp_path / "batches"), topk_settings, tiny_subject)
    (one,), (several,) = at_once["parity"].values(), batches["parity"].values()
    assert one["n_vectors"] == several["n_vectors"] > 1_024
    assert one["fvu"] == pytest.approx(several["fvu"], rel=1e-5)
    monkeypatch.setattr(calibration, "VECTORS", 500)
    (fewer,) = collect(RunFolder(tmp_path / "fewer"), topk_settings, tiny_subject)["parity"].values()
    assert fewer["n_vectors"] == 500


def test_codes_of_many_units_are_made_a_part_at_a_time(
    topk_settings: CollectSettings, tiny_subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts, and sorting after a few hundred entries, change nothing but the last digits."""
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    collect(whole, topk_settings, tiny_subject)
    seen: list[int] = []
    encode = torch.addmm

    def counted(bias: torch.Tensor, inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        seen.append(len(inputs))
        return encode(bias, inputs, weight)

    monkeypatch.setattr(activations, "VALUES_CPU", 100 * UNITS)
    monkeypatch.setattr("neurogloss.sources.reader.ENTRIES", 500)
    monkeypatch.setattr(torch, "addmm", counted)
    collect(parts, topk_settings, tiny_subject)
    assert max(seen[1:]) <= 100 < sum(seen)
    a, b = Cache(whole.cache), Cache(parts.cache)
    for unit in a.alive(2)[::5]:
        for half in HALVES:
            mine, theirs = (cache.examples(unit, half, "uniform") for cache in (a, b))
            assert [e.context for e in mine] == [e.context for e in theirs]
            np.testing.assert_allclose([e.peak for e in mine], [e.peak for e in theirs], rtol=1e-4)


def test_attention_heads_have_contexts_but_no_direction(
    token_rows: str, make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    run, at = RunFolder(tmp_path / "run"), "model.layers.1.self_attn.o_proj.input"
    settings = make_settings(hookpoints=("blocks.1.attn.hook_z",), dictionaries=("heads:4",), corpus=token_rows)
    collect(run, settings, tiny_subject)
    cache = Cache(run.cache)
    (site,) = cache.sites
    assert (site.hookpoint, site.units, site.signed) == (at, 4, False)
    unit = next(iter(cache.alive(2)))
    assert cache.examples(unit, "explain", "top") and cache.output_tokens(unit) is None
    with pytest.raises(UserError, match="one direction each"):
        LiveSubject(tiny_subject, cache.sites).steer(unit, ["water " * 40], ["salt " * 40])
