"""No dependency phones home: labelling, indexing and searching reach no other machine, native code included."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import socket, sys
from pathlib import Path
import neurogloss as ng
from benchmarks.planted.run import collect
from benchmarks.planted.units import units
from benchmarks.soak.labeller import hasten
from neurogloss.folder import RunFolder

hasten()
folder = Path(sys.argv[1])
collect(RunFolder(folder / "run"), units()[:3], 100)
script = folder / "rules.jsonl"
script.write_text('{"match": "Passages:", "marks": 3}\\n{"match": "exts:", "words": "explanation"}\\n')
ng.label(folder / "run", llm=f"scripted:{script}", scorers=("detection",), questions=6, effort="low", min_active=2)
assert ng.search("rain", folder / "run")
if sys.argv[2:]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.connect(("192.0.2.1", 9))
"""
LEFT_OUT = {"HF_HUB_OFFLINE", "LANGSMITH_TRACING", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
"""What the tests set to stay at home; the program has to do so by itself."""
LOOPBACK = re.compile(r'inet_addr\("127\.|inet_pton\(AF_INET6, "(::ffff:127\..*?|::1)"')


def reached(folder: Path, *more: str) -> list[str]:
    """System calls of the program, in all its threads, that name an address of another machine."""
    trace = folder / "trace"
    command = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace)]
    environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    done = subprocess.run(
        [*command, sys.executable, "-c", PROGRAM, str(folder), *more],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if "sa_family=AF_INET" in line and not LOOPBACK.search(line)]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_call_leaves_this_machine_but_one_that_is_meant_to(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert reached(tmp_path / "a") == []
    [found] = reached(tmp_path / "b", "and one more")
    assert "192.0.2.1" in found
