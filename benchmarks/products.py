"""Matrix products by oneDNN beside MKL's, which is what torch takes: one thread, SmolLM2-135M and its sizes.

    python -m benchmarks.products [--json]

The two run in turn, and of each the least time is shown. On processors of Intel they are alike.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch

from benchmarks.table import Row, report
from neurogloss.inference import onednn_products
from neurogloss.settings import DEMO_SUBJECT
from neurogloss.sources.subject import Subject

ROWS, LENGTH, LAYER, REPEATS = 16, 256, 14, 5
SIZES = ((4_096, 576, 1_536), (4_096, 576, 4_608), (16, 576, 1_536), (1, 576, 1_536))
"""Rows, inputs and outputs of a product."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    rows = []
    for m, k, n in SIZES:
        x, weight = (torch.randn(size, k, generator=generator) for size in (m, n))
        products = max(2**32 // (m * k * n), 1)
        gflop = 2 * m * k * n * products / 1e9
        rows.append(beside(f"({m:,}, {k:,}) by ({k:,}, {n:,}), GFLOP a CPU-s", gflop, _times(x, weight, products)))
    subject = Subject.load(DEMO_SUBJECT)
    at = subject.hookpoint(f"model.layers.{LAYER}")
    text = torch.randint(1_000, 40_000, (ROWS, LENGTH), generator=generator).tolist()
    what = f"SmolLM2-135M to layer {LAYER}, tokens a CPU-s"
    rows.append(beside(what, ROWS * LENGTH, lambda: subject.vectors(text, [at])))
    return report("products by oneDNN, beside MKL, one thread", rows, options.json)


def _times(x: torch.Tensor, weight: torch.Tensor, products: int) -> Callable[[], object]:
    return lambda: [torch.nn.functional.linear(x, weight) for _ in range(products)]


def beside(what: str, work: float, run: Callable[[], object]) -> Row:
    """How much of the work a CPU-second does by oneDNN, beside MKL."""
    ours: list[float] = []
    theirs: list[float] = []
    with torch.inference_mode():
        for _ in range(REPEATS):
            with onednn_products():
                ours.append(_seconds(run))
            torch.backends.mkldnn.enabled = False
            theirs.append(_seconds(run))
            torch.backends.mkldnn.enabled = True
    return Row(what, work / min(ours), work / min(theirs), ratio=min(theirs) / min(ours))


def _seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
