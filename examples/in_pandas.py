"""A step on pandas data frames: a tidy frame of activations in, a frame of labels out.

    python examples/in_pandas.py
    python examples/in_pandas.py --llm http://127.0.0.1:8000

The toy detectors of own_source.py stand in for what was measured: a row for each unit and text.
"""

from __future__ import annotations

import argparse

import pandas as pd
from own_source import DETECTORS, TEXTS, measure

import neurogloss as ng

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--llm", help="URL of an OpenAI-compatible server, or scripted:FILE; none is needed")
llm = parser.parse_args().llm

measured = pd.DataFrame(
    {"unit": f"toy/{detector}/detector/0", "text": text, "activation": measure(detector, text)}
    for detector in DETECTORS
    for text in TEXTS
)

labels = ng.label_frame(measured, llm=llm)

columns = ["state", "explanation", "detection_score", "detection_low", "detection_high", "detection_floor"]
print(labels[columns].to_string(float_format="%.2f"))
