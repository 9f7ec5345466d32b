"""Merged runs against one pass over all the documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.settings import CollectSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.collector import collect
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.merging import merge
from neurogloss.sources.sketch import Sketch
from neurogloss.sources.subject import Subject

MakeSettings = Callable[..., CollectSettings]


@pytest.fixture(scope="module")
def sae(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random directions, silent half of the time: a sparse dictionary, which needs no thresholds."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(64, 32)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    path = tmp_path_factory.mktemp("sae") / "random.safetensors"
    bias = np.full(64, -0.02, np.float32)
    save_file({"W_enc": np.ascontiguousarray(rows.T), "b_enc": bias, "W_dec": rows / 2}, path)
    return str(path)


def corpus(path: Path, texts: list[str]) -> str:
    path.mkdir()
    for i, text in enumerate(texts):
        (path / f"{i:03}.txt").write_text(text, encoding="utf-8")
    return str(path)


def run_on(
    path: Path, texts: list[str], sae: str, make: MakeSettings, subject: Subject, **given: object
) -> RunFolder:
    run = RunFolder(path / "run")
    path.mkdir()
    settings = make(
        corpus=corpus(path / "texts", texts), dictionaries=(sae,), hookpoints=("model.layers.0",), **given
    )
    collect(run, settings, subject)
    return run


def test_merged_runs_hold_what_one_pass_would(
    texts: list[str], sae: str, make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    distinct = list(dict.fromkeys(texts))[:24]
    # One document a shard: the same batches in both, so that activations are the same to the last bit.
    given = {"shard_tokens": 256}
    parts = [
        run_on(tmp_path / str(i), distinct[i::3], sae, make_settings, tiny_subject, **given) for i in range(3)
    ]
    whole = Cache(run_on(tmp_path / "whole", distinct, sae, make_settings, tiny_subject, **given).cache)
    run = RunFolder(tmp_path / "merged")
    merge(run, parts)
    merged = Cache(run.cache)
    merged.verify()
    assert merged.manifest["counts"] == whole.manifest["counts"]
    assert merged.manifest["corpus"] == whole.manifest["corpus"]
    (site,) = whole.sites
    for half in HALVES:
        assert merged.hashes(half).tolist() == whole.hashes(half).tolist()
        for digest in whole.hashes(half).tolist():
            assert merged.context(digest) == whole.context(digest)
        for name in Sketch.names():
            mine, theirs = (
                np.load(c.path / "sketches" / "sorted" / f"{site.name}.{half}" / f"{name}.npy")
                for c in (merged, whole)
            )
            if mine.dtype.kind == "f" or name in ("peak_sum", "histogram"):
                np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=2)
            else:
                np.testing.assert_array_equal(mine, theirs)
    assert any(merged.alive(2))


def refusal(run: RunFolder, others: list[RunFolder]) -> str:
    with pytest.raises(UserError) as caught:
        merge(run, others)
    assert not run.cache.exists()
    return str(caught.value)


def test_runs_that_do_not_go_together_are_refused(
    texts: list[str], sae: str, make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    def make(name: str, some: list[str], **given: object) -> RunFolder:
        return run_on(tmp_path / name, some, sae, make_settings, tiny_subject, **given)

    first, same = make("first", texts[5:10]), make("same", texts[9:12])
    other = make("other", texts[12:15], top=5)
    new = RunFolder(tmp_path / "new")
    assert "share" in refusal(new, [first, same])
    assert "different top" in refusal(new, [first, other])
    assert "two runs or more" in refusal(new, [first])
    assert "no run in it" in refusal(new, [first, RunFolder(tmp_path)])
