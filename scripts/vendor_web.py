"""Write web/static/vendor: the libraries of the explorer, each bundled to one ES module.

Usage: python scripts/vendor_web.py   (needs npm and its registry; users need neither)

1. npm installs the versions pinned below into a temporary folder.
2. esbuild bundles what the explorer imports of each, minified; what it does not import is left out.
3. The licence of every package in a bundle is gathered in LICENSES.txt.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).parents[1] / "web" / "static" / "vendor"
LIMIT = 600 * 1024
"""Bytes of all bundles together."""
VERSIONS = {
    "preact": "11.2.0",
    "htm": "3.1.1",
    "@observablehq/plot": "0.6.17",
    "minisearch": "7.2.0",
    "@noble/hashes": "2.4.0",
    "esbuild": "0.28.2",
}
BUNDLES = {
    "preact": (
        'export { render } from "preact";\n'
        "export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState }"
        ' from "preact/hooks";\n'
        'export { html } from "htm/preact";\n'
    ),
    "plot": (
        "export { axisX, axisY, cell, dot, line, link, plot, pointer, rectY, ruleX, ruleY, text, tip }"
        ' from "@observablehq/plot";\n'
    ),
    "minisearch": 'export { default } from "minisearch";\n',
    "sha1": (
        'import { sha1 } from "@noble/hashes/legacy.js";\n'
        'import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";\n'
        "export const hex = (text) => bytesToHex(sha1(utf8ToBytes(text)));\n"
    ),
}
"""What each module of the explorer's vendor folder exports."""


def main() -> None:
    """Install, bundle, gather licences; refuse bundles that grew beyond the limit."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "package.json").write_text(json.dumps({"private": True, "dependencies": VERSIONS}), "utf-8")
        _run(["npm", "install", "--no-audit", "--no-fund", "--silent"], work)
        bundles = {name: _bundle(work, name, source) for name, source in BUNDLES.items()}
        licences = _licences(work, {package for _, inputs in bundles.values() for package in inputs})
    size = sum(len(code) for code, _ in bundles.values())
    if size > LIMIT:
        sys.exit(f"Expected at most {LIMIT} bytes of bundles, found {size}. Import less of the libraries.")
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, (code, _) in bundles.items():
        (TARGET / f"{name}.js").write_bytes(code)
    (TARGET / "LICENSES.txt").write_text(licences, "utf-8")
    print(f"{size:,} bytes in {len(bundles)} modules of {TARGET}")


def _bundle(work: Path, name: str, source: str) -> tuple[bytes, set[str]]:
    """The module, and the folders of node_modules that went into it."""
    (work / f"{name}.js").write_text(source, "utf-8")
    options = ["--bundle", "--format=esm", "--minify", "--legal-comments=none", "--log-level=warning"]
    _run(["npx", "esbuild", f"{name}.js", *options, f"--outfile=out/{name}.js", "--metafile=meta.json"], work)
    output = json.loads((work / "meta.json").read_text("utf-8"))["outputs"][f"out/{name}.js"]
    used = {path for path, part in output["inputs"].items() if part["bytesInOutput"]}
    return (work / "out" / f"{name}.js").read_bytes(), {_package(path) for path in used if "node_modules/" in path}


def _package(path: str) -> str:
    """`node_modules/@scope/name` of a path within it."""
    parts = path.split("/")
    return "/".join(parts[: 3 if parts[1].startswith("@") else 2])


def _licences(work: Path, packages: set[str]) -> str:
    texts = []
    for package in sorted(packages):
        folder = work / package
        about = json.loads((folder / "package.json").read_text("utf-8"))
        found = sorted(path for path in folder.iterdir() if path.name.upper().startswith(("LICENSE", "LICENCE")))
        if not found:
            sys.exit(f"Expected a licence in {package}, found none.")
        text = found[0].read_text("utf-8").strip()
        texts.append(f"{about['name']} {about['version']} ({about.get('license', 'see below')})\n\n{text}\n")
    return ("\n" + "-" * 80 + "\n\n").join(texts)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    main()
