"""What lies on the hub, fetched into its local cache once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neurogloss.errors import UserError, first_line, imported

HUB = "hub:"
"""Begins the names of data sets and dictionaries on the hub."""


def fetched(name: str, revision: str | None, wanted: Sequence[str], ignored: Sequence[str] = ()) -> Path:
    """Folder with the repository's files that match a pattern of `wanted` and none of `ignored`.

    What was fetched before is not fetched again, and is found without the hub.

    Raises:
        UserError: there is no such repository, or no connection and nothing fetched before.
        MissingExtra: huggingface_hub is not installed.
    """
    hub = imported("huggingface_hub", "pip install huggingface_hub   (comes with transformers)")
    try:
        patterns = {"allow_patterns": list(wanted), "ignore_patterns": list(ignored)}
        return Path(hub.snapshot_download(name, revision=revision, **patterns))
    except (OSError, ValueError) as error:
        raise UserError(
            f"Expected {name} on the hub or downloaded before, found neither: {first_line(error)} {mend()}"
        ) from None


def mend() -> str:
    """What to do where something was not found on the hub."""
    from huggingface_hub import constants

    off = "Fetching is off: set HF_HUB_OFFLINE=0 to allow it. " if constants.HF_HUB_OFFLINE else ""
    return f"{off}Check the name and the connection, or download it into a folder and give that folder."
