"""Quickstart: collect a model's neurons, label three of them, search the labels. All on this machine.

    python examples/quickstart.py
    python examples/quickstart.py --subject my-model --hookpoint model.layers.1.mlp.down_proj.input

The first line takes the packaged SmolLM2-135M and a few minutes; a second time it goes on where it was.
"""

from __future__ import annotations

import argparse

import neurogloss as ng
from neurogloss.settings import DEMO_SUBJECT

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--run", default="runs/quickstart", help="folder for what is collected and labelled")
parser.add_argument("--subject", default=DEMO_SUBJECT, help="folder of a Hugging Face causal language model")
parser.add_argument("--hookpoint", default="model.layers.14.mlp.down_proj.input")
parser.add_argument("--tokens", type=int, default=20_000)
parser.add_argument("--chars", type=int, default=128, help="length of a context")
parser.add_argument("--llm", help="URL of an OpenAI-compatible server, or scripted:FILE; none is needed")
options = parser.parse_args()

# One pass over the corpus keeps the evidence of every neuron at that place.
manifest = ng.collect(
    options.run,
    subject=options.subject,
    hookpoints=[options.hookpoint],
    tokens=options.tokens,
    context_chars=options.chars,
)
print(f"{manifest['counts']['contexts']} contexts read")

# Explain three neurons drawn at random, and score the explanations on documents that they were not written from.
summary = ng.label(options.run, units="sample:3", scorers=("detection", "fuzzing"), llm=options.llm)
print({str(state): n for state, n in summary.states.items()})

run = ng.open_run(options.run)
for label in run.labels():
    words = label.explanation.text if label.explanation else label.reason
    print(f"{label.unit.index}{'-' if label.unit.sign < 0 else ''}: {words}")
    for score in label.scores:
        print(f"    {score.scorer} {score.score.value:.2f}, floor {score.floor.value:.2f}")

print("nearest to 'how people speak':")
for hit in run.search("how people speak", k=2):
    assert hit.label.explanation is not None
    print(f"    {hit.similarity:.2f} {hit.label.explanation.text}")
