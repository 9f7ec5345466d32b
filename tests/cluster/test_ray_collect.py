"""A corpus read by the workers of a Ray cluster: the cache is that of one process, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import neurogloss as ng

Files = Callable[[Path], dict[str, bytes]]


def test_the_cache_is_that_of_one_process(
    cluster: Any, settings: Mapping[str, Any], collected: Path, tmp_path: Path, files: Files
) -> None:
    manifest = ng.collect(tmp_path / "run", engine="ray", **settings)
    assert manifest["shards_done"] > 8, "several parts"
    found, wanted = files(tmp_path / "run"), files(collected)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []
