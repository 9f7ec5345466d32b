"""What is released, tried as a user has it: python scripts/check_release.py [--linked]

1. Build the sdist from this tree, and the wheel from that sdist: what the sdist lacks, the wheel cannot have.
2. Hold the wheel's files against those of the packages here: nothing is missing, and nothing else is in it.
3. Install it with its base requirements, in the versions of constraints.txt, into an environment of its own.
   Linked, nothing is downloaded: the environment gets the wheel, and links to the files of exactly those packages
   of this environment that the base install asks for.
4. In another folder: `neurogloss doctor`, and a unit labelled from texts and activations with a scripted LLM.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution
from pathlib import Path

from check_licences import installed, requirements

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"
RULES = '{"match": "Passages:", "marks": 2}\n{"match": "exts:", "words": "explanation"}\n'
EXAMPLE = """
import sys
import neurogloss as ng
cooks = [f"the cook filled kettle number {i} and lit the stove" for i in range(24)]
others = [f"the clerk signed letter number {i} and left the office" for i in range(24)]
label = ng.label_contexts(cooks + others, [1.0] * 24 + [0.0] * 24, llm=sys.argv[1])
assert label.state is ng.State.ACCEPTED, label
assert "torch" not in sys.modules
print(label.explanation.text, *(f"{score.scorer} {score.score.value:.2f}" for score in label.scores), sep=", ")
"""


def main(linked: bool = False) -> int:
    try:
        with tempfile.TemporaryDirectory() as folder:
            return check(Path(folder), linked)
    except subprocess.CalledProcessError as error:
        print(f"This step failed with status {error.returncode}:  {' '.join(map(str, error.cmd))}\n{error.stdout}")
        return 1


def check(folder: Path, linked: bool = False) -> int:
    """The exit code. Raises CalledProcessError where a step fails."""
    say("building")
    here = ["--no-isolation"] if linked else []
    run([sys.executable, "-m", "build", *here, "--outdir", folder / "dist", ROOT])
    [wheel] = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = packaged(ROOT)
    for what, names in (("missing", expected - found), ("not of the package", found - expected)):
        if names:
            print(f"Expected the wheel to hold the packages' files, {what}: {', '.join(sorted(names))}.")
            return 1
    say(f"{wheel.name} holds {len(found)} files; installing it")
    venv.create(folder / "venv")
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    if linked:
        link(installed(requirements(PROJECT)), Path(run([python, "-c", PACKAGES]).strip()))
        run([*pip, "install", "--quiet", "--no-deps", wheel])
    else:
        run([*pip, "install", "--quiet", "-c", ROOT / "constraints.txt", wheel])
    run([*pip, "check"])
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "rules.jsonl").write_text(RULES, encoding="utf-8")
    say("trying it")
    print(run([python.with_name("neurogloss"), "doctor"], elsewhere))
    say(f"done: {run([python, '-c', EXAMPLE, 'scripted:rules.jsonl'], elsewhere).strip()}")
    return 0


def link(distributions: Iterable[Distribution], folder: Path) -> None:
    """The packages' modules, data and metadata in `folder`, as links; none of their commands."""
    for package in distributions:
        for file in package.files or ():
            source, target = Path(str(file.locate())), folder / file
            if ".." not in file.parts and source.suffix != ".pyc" and not target.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source.resolve())


def packaged(root: Path) -> set[str]:
    """The files that pyproject.toml says are of the package, by their path in the wheel."""
    setuptools = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders, found = setuptools["package-dir"], dict[Path, str]()

    def add(package: str, patterns: Sequence[str]) -> None:
        top = max((name for name in folders if f"{package}.".startswith(f"{name}.")), key=len)
        place = Path(*package.removeprefix(top).strip(".").split(".")) if package != top else Path()
        for pattern in patterns:
            for file in (root / folders[top] / place).glob(pattern):
                if file.is_file() and "__pycache__" not in file.parts:
                    inner = file.relative_to(root / folders[top])
                    found[file] = Path(*top.split("."), inner).as_posix()

    for package in setuptools["packages"]:
        add(package, ["*.py"])
    for package, patterns in setuptools["package-data"].items():
        add(package, patterns)
    return set(found.values())


def run(command: Sequence[str | Path], folder: Path | None = None) -> str:
    """What it printed. Raises CalledProcessError."""
    # What a developer's shell puts on the path would stand in for what was forgotten.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.stdout


def say(what: str) -> None:
    print(f"release: {what}", flush=True)


if __name__ == "__main__":
    options = ArgumentParser()
    options.add_argument("--linked", action="store_true", help="download nothing")
    sys.exit(main(options.parse_args().linked))
