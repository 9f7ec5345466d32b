"""neurogloss doctor"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurogloss.cli.options import JsonOption

if TYPE_CHECKING:
    from neurogloss.weights import PackagedWeights

SUBJECT = "pip install 'neurogloss[subject]'"


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
    from rich.text import Text

    from neurogloss.cli import render

    findings = look()
    if json:
        render.print_json(findings)
        return
    table = render.new_table()
    table.add_column("", no_wrap=True)
    for heading in ("what", "found", "to get it"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = Text("yes", style="green") if finding.ok else Text("no", style="yellow")
        table.add_row(mark, finding.what, finding.found, finding.next)
    render.console().print(table)


def look() -> list[Finding]:
    """Everything that decides what works here."""
    from neurogloss.weights import MINILM, SMOLLM2

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
    from neurogloss.errors import MissingExtra, UserError

    what = f"{weights.distribution}: {purpose}"
    try:
        weights.path()
    except MissingExtra:
        return Finding(what, False, "not installed", weights.install)
    except UserError as error:
        return Finding(what, False, str(error), weights.install)
    return Finding(what, True, f"{weights.version}, hash as expected")


def _converted() -> Finding:
    from neurogloss.folder import user_cache
    from neurogloss.settings import DEMO_SUBJECT

    folder = user_cache() / DEMO_SUBJECT
    if (folder / "config.json").is_file():
        return Finding("packaged subject, converted", True, str(folder))
    return Finding("packaged subject, converted", False, "not yet", f"made on first use, in {folder}")


def _disk() -> Finding:
    """Room where converted models go."""
    from neurogloss.folder import user_cache

    there = next(path for path in (user_cache().absolute(), *user_cache().absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free / 2**30
    return Finding("2 GiB of disk", free > 2, f"{free:.0f} GiB free at {there}", "" if free > 2 else "make room")
