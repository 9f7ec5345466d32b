"""A step of a `datasets` pipeline: each row holds a unit's texts and activations, and gets its label's columns.

    python examples/in_datasets.py
    python examples/in_datasets.py --llm http://127.0.0.1:8000

The toy detectors of own_source.py stand in for what was measured.
"""

from __future__ import annotations

import argparse

from datasets import Dataset
from own_source import DETECTORS, TEXTS, measure

import neurogloss as ng

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--llm", help="URL of an OpenAI-compatible server, or scripted:FILE; none is needed")
llm = parser.parse_args().llm

units = Dataset.from_list(
    [
        {"unit": f"toy/{name}/detector/0", "texts": TEXTS, "activations": [measure(name, text) for text in TEXTS]}
        for name in DETECTORS
    ]
)

# In batches, several units are in flight at a server; `units.map(ng.label_row)` takes them one by one.
labelled = units.map(ng.label_rows, batched=True, batch_size=64, fn_kwargs={"llm": llm})

for row in labelled:
    score, floor = row["detection_score"], row["detection_floor"]
    print(f"{row['unit']}: {row['explanation'] or row['reason']} ({row['state']}, {score:.2f}, floor {floor:.2f})")
