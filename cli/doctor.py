"""neurogloss doctor"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass

from neurogloss.cli.options import JsonOption


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    next: str = ""
    """What to do where it is not there and wanted."""


def doctor(json: JsonOption = False) -> None:
    """What this machine can do, and what is missing."""
    from rich.table import Table

    from neurogloss.cli import render

    findings = look()
    if json:
        render.print_json(findings)
        return
    table = Table("", "what", "found", "to get it")
    for finding in findings:
        mark = "[green]yes[/green]" if finding.ok else "[yellow]no[/yellow]"
        table.add_row(mark, finding.what, finding.found, finding.next)
    render.console().print(table)


def look() -> list[Finding]:
    """Everything that decides what works here."""
    from neurogloss.folder import user_cache
    from neurogloss.weights import MINILM, SMOLLM2

    free = shutil.disk_usage(os.path.expanduser("~")).free / 2**30
    return [
        Finding("Python 3.11 or newer", True, platform.python_version()),
        _package("chromadb", "search", "pip install neurogloss"),
        _package("torch", "collect, interventions, PMI ranking", "pip install 'neurogloss[subject]'"),
        _package("transformers", "collect, interventions, PMI ranking", "pip install 'neurogloss[subject]'"),
        _gpu(),
        _weights(SMOLLM2, "the packaged subject"),
        _weights(MINILM, "embeddings"),
        _package("vllm", "serving an LLM here", "pip install 'neurogloss[vllm]'   (GPU)"),
        Finding("converted models", user_cache().is_dir(), str(user_cache())),
        Finding("disk", free > 2, f"{free:.0f} GiB free", "" if free > 2 else "2 GiB are needed"),
    ]


def _package(name: str, purpose: str, install: str) -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(f"{name}: {purpose}", False, "not installed", install)
    return Finding(f"{name}: {purpose}", True, version)


def _gpu() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("GPU", False, "torch is not installed")
    if torch.cuda.is_available():
        return Finding("GPU", True, torch.cuda.get_device_name())
    return Finding("GPU", False, f"none; {torch.get_num_threads()} threads of the CPU are used")


def _weights(weights: object, purpose: str) -> Finding:
    from neurogloss.errors import MissingExtra, UserError
    from neurogloss.weights import PackagedWeights

    assert isinstance(weights, PackagedWeights)
    what = f"{weights.distribution}: {purpose}"
    try:
        weights.path()
    except MissingExtra:
        return Finding(what, False, "not installed", weights.install)
    except UserError as error:
        return Finding(what, False, str(error), weights.install)
    return Finding(what, True, f"{weights.version}, hash as expected")
