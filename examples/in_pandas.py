"""Label the units of a pandas data frame: a row per unit and text goes in, a row per unit comes out.

    python examples/in_pandas.py
    python examples/in_pandas.py --llm http://127.0.0.1:8000

The toy detectors of own_source.py stand in for your measurements.
"""

from __future__ import annotations

import argparse

import pandas as pd
from own_source import DETECTORS, TEXTS, measure

import neurogloss as ng

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--llm", help="URL of an OpenAI-compatible server, or scripted:FILE (optional)")
llm = parser.parse_args().llm

measured = pd.DataFrame(
    {"unit": f"toy/{detector}/detector/0", "text": text, "activation": measure(detector, text)}
    for detector in DETECTORS
    for text in TEXTS
)

units = measured.groupby("unit", sort=False).agg(texts=("text", list), activations=("activation", list))
labels = pd.DataFrame(ng.label_rows(units.reset_index().to_dict("records"), llm=llm)).set_index("unit")

columns = ["state", "explanation", "detection_score", "detection_low", "detection_high", "detection_floor"]
print(labels[columns].to_string(float_format="%.2f"))
