"""The tutorial's commands run one after another, as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

import neurogloss as ng
from neurogloss.sources.corpus import read_documents
from neurogloss.sources.loading import packaged_folder

ROOT = Path(__file__).parents[1]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def script() -> str:
    """All that is to be typed, but for what makes the environment, and the service, which goes on until Ctrl-C."""
    blocks = re.findall(r"^```sh\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)
    return re.sub(r"^(make setup|\. \.venv/bin/activate|neurogloss serve .*)$", "", "".join(blocks), flags=re.M)


@pytest.mark.model
@pytest.mark.readme
@pytest.mark.timeout(2400)
def test_commands_run_one_after_another(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "110"}
    (tmp_path / "my-model").symlink_to(packaged_folder())
    (tmp_path / "my-texts").mkdir()
    for i, document in enumerate(islice(read_documents("demo"), 60)):
        (tmp_path / "my-texts" / f"{i}.txt").write_text(document.text, encoding="utf-8")
    done = subprocess.run(
        ["bash", "-eux"], input=script(), cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    first, mine = (list(ng.open_run(tmp_path / "runs" / name).labels()) for name in ("first", "mine"))
    assert len(first) == 7 and len(mine) == 3
    [clear] = [label for label in first if str(label.unit).endswith("sae-0/2123")]
    assert clear.state is ng.State.ACCEPTED
    assert (tmp_path / "runs" / "site" / "index.html").exists()
