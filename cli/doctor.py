"""neurogloss doctor"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.table import Column
from rich.text import Text

from neurogloss.cli import progress, render
from neurogloss.cli.options import JsonOption, chosen, takes
from neurogloss.errors import MissingExtra, UserError
from neurogloss.folder import user_cache
from neurogloss.settings import DEMO_SUBJECT, CollectSettings
from neurogloss.weights import MINILM, SMOLLM2, PackagedWeights

SUBJECT = "pip install 'neurogloss[subject]'"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    what: str
    ok: bool
    found: str
    next: str = ""
    """How to get it, if it is missing."""


@takes(CollectSettings, only={"subject", "hookpoints", "corpus"})
def doctor(
    dictionary: Annotated[
        str | None, typer.Argument(help="File or folder of a dictionary to check, or hub:ORG/NAME/FOLDER.")
    ] = None,
    json: JsonOption = False,
    **given: Any,
) -> int:
    """Report what this machine can do and what is missing, or whether a dictionary fits a model."""
    if dictionary:
        return _fit(chosen(CollectSettings, {**given, "dictionaries": [dictionary]}), json)
    findings = look()
    table = render.new_table(headings=("", "what", "found", "to get it"))
    for finding in findings:
        mark = Text("yes", style="green") if finding.ok else Text("no", style="yellow")
        table.add_row(mark, finding.what, finding.found, finding.next)
    render.tell(json, findings, table)
    return 0


def _fit(settings: CollectSettings, json: bool) -> int:
    """Whether the dictionary reconstructs the activations at its hookpoint. The exit code is 1 if it does not."""
    from neurogloss.sources.calibration import fit

    with progress.Bars() as bars:
        (found,) = fit(settings, bars)
    measured, site = found.parity, found.site
    numbers = {
        "hookpoint": site.hookpoint,
        "units": f"{site.units:,}",
        "vectors": f"{measured.n_vectors:,}",
        "FVU": measured.fvu,
        "FVU after the best shift and scale": measured.fvu_scaled,
        "L0": measured.l0,
        "silent on these vectors": measured.dead,
        "median length": measured.input_norm,
        "longest, in medians": measured.longest,
    }
    headings = (Column(site.dictionary, no_wrap=True), Column(justify="right", overflow="fold"))
    table = render.new_table(headings=headings)
    for name, value in numbers.items():
        table.add_row(name, "–" if value is None else f"{value:.4g}" if isinstance(value, float) else value)
    render.tell(json, [found], table, Text(found.reason or "It fits.", "yellow" if found.reason else "green"))
    return 1 if found.reason else 0


def look() -> list[Finding]:
    """Check everything that decides which commands work here."""
    return [
        Finding("Python 3.11 or newer", True, platform.python_version()),
        _package("chromadb", "search", "pip install neurogloss"),
        _package("torch", "collect, interventions, PMI", SUBJECT),
        _package("transformers", "collect, interventions, PMI", SUBJECT),
        _package("accelerate", "converting the packaged subject", SUBJECT),
        _package("gguf", "converting the packaged subject", SUBJECT),
        _gpu(),
        _weights(SMOLLM2, "packaged subject"),
        _converted(),
        _weights(MINILM, "embeddings"),
        _package("vllm", "serving an LLM here", "pip install 'neurogloss[vllm]'  (GPU)"),
        _disk(),
    ]


def _package(name: str, purpose: str, install: str) -> Finding:
    what = f"{name}: {purpose}"
    if importlib.util.find_spec(name) is None:
        return Finding(what, False, "not installed", install)
    return Finding(what, True, importlib.metadata.version(name))


def _gpu() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("GPU", False, "torch is not installed")
    if torch.cuda.is_available():
        return Finding("GPU", True, torch.cuda.get_device_name())
    return Finding("GPU", False, f"none; {torch.get_num_threads()} threads of the CPU are used")


def _weights(weights: PackagedWeights, purpose: str) -> Finding:
    what = f"{weights.distribution}: {purpose}"
    try:
        weights.path()
    except MissingExtra:
        return Finding(what, False, "not installed", weights.install)
    except UserError as error:
        return Finding(what, False, str(error), weights.install)
    return Finding(what, True, f"{weights.version}, hash as expected")


def _converted() -> Finding:
    folder = user_cache() / DEMO_SUBJECT
    if (folder / "config.json").is_file():
        return Finding("packaged subject, converted", True, str(folder))
    return Finding("packaged subject, converted", False, "not yet", f"made on first use, in {folder}")


def _disk() -> Finding:
    """Room for converted models."""
    there = next(path for path in (user_cache().absolute(), *user_cache().absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free / 2**30
    return Finding("2 GiB of disk", free > 2, f"{free:.0f} GiB free at {there}", "" if free > 2 else "make room")
