"""The command returns large blocks to the system when they are freed."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from neurogloss.cli import LARGE, map_large_blocks

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

map_large_blocks()
np.ones(2 * LARGE, np.uint8)
before = resident()
block, behind_it = np.ones(2 * LARGE, np.uint8), np.ones(50_000, np.uint8)
del block
print((resident() - before) / LARGE)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
def test_a_large_block_goes_back_though_another_lies_behind_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1
