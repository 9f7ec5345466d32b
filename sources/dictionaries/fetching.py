"""Dictionaries on the hub.

One is named `hub:ORG/NAME`, a commit or branch after an `@` where one is meant, and then its folder or file:
`hub:google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82`. Many lie in folders of one repository: none of
those that are not meant is fetched.
"""

from __future__ import annotations

import re
from pathlib import Path

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.files import TENSOR_SUFFIXES, name_of
from neurogloss.sources.hub import fetched

SETTINGS = ("*.json", "*.yaml", "*.yml")
"""Files that say what a dictionary is, and may lie beside its weights."""
_SPEC = re.compile(r"hub:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<at>[^*?\[\]]+?))?/?")


def fetched_dictionary(spec: str) -> tuple[Path, str]:
    """The local folder or file of a dictionary on the hub, and what it is called there.

    Raises:
        UserError, MissingExtra: as `fetched`, and for another spec.
    """
    match = _SPEC.fullmatch(spec)
    if match is None or ".." in spec:
        raise UserError(f"Expected hub:ORG/NAME/FOLDER, found {spec!r}. Name the folder of one dictionary.")
    name, revision, at = match["name"], match["revision"], match["at"] or ""
    parent, _, file = at.rpartition("/")
    here = f"{parent}/" if parent else ""
    if not at:
        folder = fetched(name, revision, ["*"], ["*/*"])
    elif at.endswith(TENSOR_SUFFIXES):
        beside = [f"{here}{pattern}" for pattern in (*SETTINGS, file.replace("enc", "dec"))]
        folder = fetched(name, revision, [at, *beside], [f"{here}*/*"])
    else:
        folder = fetched(name, revision, [f"{at}/*"])
    if not (folder / at).exists():
        raise UserError(f"Expected {at} in {name} on the hub, found no such thing. Look at its files there.")
    return folder / at, name_of(Path(at or name))
