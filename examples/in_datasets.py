"""Label the units of a `datasets` data set: each row holds a unit's texts and activations.

    python examples/in_datasets.py
    python examples/in_datasets.py --llm http://127.0.0.1:8000

The toy detectors of own_source.py stand in for your measurements.
"""

from __future__ import annotations

import argparse

from datasets import Dataset
from own_source import DETECTORS, TEXTS, measure

import neurogloss as ng

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--llm", help="URL of an OpenAI-compatible server, or scripted:FILE (optional)")
llm = parser.parse_args().llm

units = Dataset.from_list(
    [
        {"unit": f"toy/{name}/detector/0", "texts": TEXTS, "activations": [measure(name, text) for text in TEXTS]}
        for name in DETECTORS
    ]
)

# Several units are in flight at a server. To add the labels to the rows one by one, write
# `units.map(lambda row: ng.label_rows([row], llm=llm)[0])`.
labelled = Dataset.from_list(ng.label_rows(units, llm=llm))

for row in labelled:
    score, floor = row["detection_score"], row["detection_floor"]
    print(f"{row['unit']}: {row['explanation'] or row['reason']} ({row['state']}, {score:.2f}, floor {floor:.2f})")
