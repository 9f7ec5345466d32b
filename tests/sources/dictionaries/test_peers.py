"""Our reading of each format against the library that writes it (scripts/peer_dictionaries.py makes the files)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from neurogloss.sources.dictionaries import open_dictionary

PEERS = Path(os.environ.get("NEUROGLOSS_PEERS", "no-such-folder"))
CASES = sorted(PEERS.glob("*.npz"))

pytestmark = [pytest.mark.peers, pytest.mark.skipif(not PEERS.is_dir(), reason="NEUROGLOSS_PEERS names no folder")]


def test_every_library_wrote_dictionaries() -> None:
    libraries = {case.name.split("_")[0] for case in CASES}
    assert libraries == {"sae", "released", "sparsify", "dictionary", "circuit"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_codes_and_reconstruction_are_the_librarys_own(case: Path) -> None:
    with np.load(case, allow_pickle=False) as stored:
        expected = {name: torch.from_numpy(stored[name]) for name in stored.files if name != "path"}
        path = PEERS / str(stored["path"])
    dictionary = open_dictionary(str(path), expected["x"].shape[1])
    codes = dictionary.encode(expected["x"])
    torch.testing.assert_close(codes.dense(), expected["codes"], rtol=1e-5, atol=1e-5)
    decoded = dictionary.decode(codes, expected["x"])
    if "decoded" in expected:
        torch.testing.assert_close(decoded, expected["decoded"], rtol=1e-5, atol=1e-5)
    else:
        assert decoded is None
