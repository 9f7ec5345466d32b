"""The licences of what is installed for neurogloss: python scripts/check_licences.py [EXTRA …]

1. Start from the requirements in pyproject.toml, of the base install and of the extras named, and follow what each
   installed package itself requires on this machine.
2. Read each one's licence: its SPDX expression; without one its classifiers; without those the first line of its
   licence text.
3. Print them, and fail where one is unknown or is none of ALLOWED: those that an Apache-2.0 program may depend on
   without taking on their terms.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "ISC",
    "MIT",
    "MIT-CMU",
    "MPL-2.0",  # reaches changes of its own files alone
    "PSF-2.0",
    "Unlicense",
    "Zlib",
}
OPERATORS = {"AND", "OR", "WITH", "LLVM-exception"}
"""Of expressions; the last gives leave that its licence would not."""
WORDS = {
    "apache license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "bsd": "BSD-3-Clause",
    "bsd (3-clause)": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
"""What authors write in place of SPDX names."""


def main(extras: Sequence[str] = ()) -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    unknown = sorted(set(extras) - set(project["optional-dependencies"]))
    if unknown:
        print(f"Expected extras of pyproject.toml, found {', '.join(unknown)}.")
        return 2
    found = {package.metadata["Name"]: licence(package) for package in installed(requirements(project, extras))}
    wrong = {name for name, expression in found.items() if not allowed(expression)}
    for name, expression in sorted(found.items(), key=lambda item: item[0].lower()):
        print(f"{name:40} {expression or 'unknown'}{'   NOT ALLOWED' if name in wrong else ''}")
    print(f"{len(found)} packages, {len(wrong)} with a licence that is unknown or not allowed.")
    return 1 if wrong else 0


def requirements(project: Mapping[str, Any], extras: Sequence[str] = ()) -> Iterator[Requirement]:
    """What the project asks for."""
    extra = (text for name in extras for text in project["optional-dependencies"][name])
    yield from map(Requirement, (*project["dependencies"], *extra))


def installed(wanted: Iterator[Requirement]) -> Iterator[Distribution]:
    """Each package that is wanted, and what those want in turn, once. Raises PackageNotFoundError."""
    waiting, seen = list(wanted), set[tuple[str, frozenset[str]]]()
    named = set[str]()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            raise PackageNotFoundError(f"{name}: install it, then ask again") from None
        if name not in named:
            named.add(name)
            yield package
        waiting += [each for each in map(Requirement, package.requires or ()) if _applies(each, extras)]


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def licence(package: Distribution) -> str | None:
    """An SPDX expression; None where nothing that is installed says which."""
    metadata = package.metadata
    stated = [metadata.get("License-Expression"), metadata.get("License")]
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier", []) if "License" in text]
    files = [text.strip().partition("\n")[0] for text in _texts(package)]
    for text in (stated[0], *classifiers, stated[1], *files):
        if found := _spdx(text or ""):
            return found
    return None


def _texts(package: Distribution) -> Iterator[str]:
    for file in package.files or ():
        if re.fullmatch(r"(LICEN[CS]E|COPYING)(\.\w+)?", file.name, re.IGNORECASE):
            yield Path(str(file.locate())).read_text(encoding="utf-8", errors="replace")


def _spdx(text: str) -> str | None:
    words = re.sub(r"[,]? version 2(\.0)?$", "", text.strip().lower())
    try:
        return canonicalize_license_expression(WORDS.get(words, text.strip()))
    except InvalidLicenseExpression:
        return None


def allowed(expression: str | None) -> bool:
    """Whether every licence in it is; a choice between one that is and one that is not has to be looked at."""
    names = re.findall(r"[\w.+-]+", expression or "")
    return bool(names) and all(name in ALLOWED for name in names if name not in OPERATORS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
