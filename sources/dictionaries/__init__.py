"""Dictionaries: what turns a hookpoint's vectors into the activations of units. One reader a format."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from neurogloss.errors import UserError, first_line
from neurogloss.sources.dictionaries import folders, one_file, sae_lens, trainers
from neurogloss.sources.dictionaries.activations import Codes
from neurogloss.sources.dictionaries.files import TENSOR_SUFFIXES, Weights, name_of
from neurogloss.sources.dictionaries.special import Heads, Neurons, randomised
from neurogloss.sources.loading import HUB, fetched

if TYPE_CHECKING:
    import torch


class Dictionary(Protocol):
    """N units at a hookpoint of a given width."""

    @property
    def name(self) -> str:
        """The dictionary's name in unit ids, without a slash."""

    @property
    def width(self) -> int:
        """Size of the vectors that it reads."""

    @property
    def n_units(self) -> int: ...

    @property
    def signed(self) -> bool:
        """Whether a unit's negative side is a unit of its own."""

    @property
    def sparse(self) -> bool:
        """Whether inactive means exactly zero; otherwise the pass sets a threshold."""

    @property
    def hookpoint(self) -> str | None:
        """The hookpoint that its file states; None if the file states none."""

    @property
    def target(self) -> str | None:
        """The hookpoint that it reconstructs if that is another (transcoders); None: the one it reads."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """JSON of what decides its codes: format, hashes of files, stated BOS and scaling."""

    def encode(self, vectors: torch.Tensor) -> Codes:
        """(T, width) to the activations of its units."""

    def decode(self, codes: Codes, vectors: torch.Tensor) -> torch.Tensor | None:
        """(T, width of the target): the reconstruction; None if there is nothing to reconstruct.

        `vectors` are what was encoded: skip connections and per-token norms need them.
        """

    def directions(self) -> torch.Tensor | None:
        """(n_units, width of the target): what raising each unit by 1 adds there; None if it differs by token."""

    def to(self, *args: Any, **kwargs: Any) -> Dictionary:
        """The same dictionary, its tensors moved and converted as `torch.Tensor.to` does it."""


class Reader(NamedTuple):
    """What knows one format."""

    recognises: Callable[[Path], bool]
    """Whether the files at a path are of the format. Raises nothing."""
    read: Callable[[Path], Dictionary]
    """The dictionary at a path. Raises UserError if the files are not what the format asks for."""


READERS = (
    Reader(sae_lens.recognises, sae_lens.read),
    Reader(folders.is_sparsify, folders.read_sparsify),
    Reader(trainers.is_dictionary_learning, trainers.read_dictionary_learning),
    Reader(trainers.is_prisma, trainers.read_prisma),
    Reader(folders.is_gemma_scope, folders.read_gemma_scope),
    Reader(folders.is_llama_scope, folders.read_llama_scope),
    Reader(folders.is_circuit_tracer, folders.read_circuit_tracer),
    Reader(one_file.is_openai, one_file.read_openai),
    Reader(one_file.is_qwen_scope, one_file.read_qwen_scope),
    Reader(one_file.is_goodfire, one_file.read_goodfire),
    Reader(one_file.is_plain, one_file.read_plain),
)
"""In the order in which they are asked: those that know files by name before those that look into them."""

WHOLE_FOLDERS = ("ae.pt", "params.npz", "params.safetensors", "sae.safetensors", "sae_weights.safetensors")
"""Files that are read with the settings beside them: naming one means its folder."""


def open_dictionary(spec: str, width: int | None) -> Dictionary:
    """The dictionary that `spec` names, for a hookpoint of that width (None: not known yet).

    `neurons`, `voxels` (the same by another name), `heads:NUMBER`, `directions:FILE`,
    one that ships with the package (`sae-0`, `sae-1`), the path of a file or folder in any of the formats above,
    that of one on the hub (`hub:ORG/NAME/FOLDER`), or `random:` (`random-SEED:`) and one of the last three: random
    directions in place of its own.

    Raises:
        UserError: an unknown name, files that no reader knows or that are broken, a dictionary for another width.
    """
    kind, _, rest = spec.partition(":")
    if spec in ("neurons", "voxels"):
        return Neurons(_known(width, spec), spec)
    if kind == "heads" and rest:
        if not (rest.isascii() and rest.isdigit()):
            raise UserError(f"Expected heads:NUMBER, the number of attention heads, found {spec!r}.")
        return Heads(_known(width, "heads"), int(rest))
    if (random := _RANDOM.fullmatch(spec)) is not None:
        return randomised(open_dictionary(random["of"], width), int(random["seed"] or 0))
    dictionary: Dictionary
    if spec in PACKAGED:
        with resources.as_file(resources.files("neurogloss.sources") / "data" / "sae" / PACKAGED[spec]) as folder:
            dictionary = replace(sae_lens.read(folder), name=spec)
    elif spec.startswith(HUB):
        path, name = fetched_dictionary(spec)
        dictionary = read(path)
        # In the hub's cache, folders are called by their commit, and files lead to others called by their hash.
        if dictionary.name == name_of(path):
            dictionary = replace(dictionary, name=name)  # type: ignore[type-var]
    else:
        dictionary = one_file.read_directions(Path(rest)) if kind == "directions" and rest else read(Path(spec))
    if width is not None:
        check_width(dictionary, width)
    return dictionary


_RANDOM = re.compile(r"random(?:-(?P<seed>[0-9]{1,9}))?:(?P<of>.+)")

PACKAGED = {"sae-0": "seed-0", "sae-1": "seed-1"}
"""Dictionaries that ship with the package, by the names that mean them: their folders in `data/sae`."""


def read(path: Path) -> Dictionary:
    """The dictionary at `path`, its format recognised from the files. Raises UserError."""
    if path.name in WHOLE_FOLDERS and _reader(path.parent) is not None:
        path = path.parent
    reader = _reader(path)
    if reader is not None:
        try:
            return reader.read(path)
        except (UserError, ImportError):
            raise
        except Exception as error:
            # Settings that others wrote may hold anything anywhere: what a reader runs into is in them.
            raise UserError(
                f"Expected a dictionary at {path} that is what its settings say, found one that does not fit them "
                f"({first_line(error) or type(error).__name__}). Download it again."
            ) from error
    if not path.exists():
        raise UserError(
            f"Expected neurons, heads:NUMBER, directions:FILE, hub:ORG/NAME/FOLDER or the path of a dictionary, "
            f"found {str(path)!r}. Look at how it is written."
        )
    if path.is_file() and path.name.endswith(TENSOR_SUFFIXES):
        Weights.open(path)  # says what is wrong with the file, where something is
    inside = sorted(str(child) for child in path.iterdir() if _reader(child)) if path.is_dir() else []
    hint = (
        f"Name one of those in it: {', '.join(inside[:5])}" if inside else "Give a file or folder as it was saved."
    )
    raise UserError(f"Expected a dictionary at {path}, found files of no known format. {hint}")


_SPEC = re.compile(r"hub:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<at>[^*?\[\]]+?))?/?")
_SETTINGS = ("*.json", "*.yaml", "*.yml")
"""Files that say what a dictionary is, and may lie beside its weights."""


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
        beside = [f"{here}{pattern}" for pattern in (*_SETTINGS, file.replace("enc", "dec"))]
        folder = fetched(name, revision, [at, *beside], [f"{here}*/*"])
    else:
        folder = fetched(name, revision, [f"{at}/*"])
    if not (folder / at).exists():
        raise UserError(f"Expected {at} in {name} on the hub, found no such thing. Look at its files there.")
    return folder / at, name_of(Path(at or name))


def _reader(path: Path) -> Reader | None:
    return next((reader for reader in READERS if reader.recognises(path)), None)


def _known(width: int | None, units: str) -> int:
    if width is None:
        raise UserError(f"Expected a hookpoint whose {units} are meant, found none. Give it with --hookpoint.")
    return width


def directions_of(dictionary: Dictionary) -> torch.Tensor:
    """The dictionary's directions. Raises UserError where its units have none of their own."""
    directions = dictionary.directions()
    if directions is None:
        raise UserError(
            f"Expected units with one direction each, found those of {dictionary.name}, which write another at "
            "every token. Use neurons or a dictionary at the same hookpoint."
        )
    return directions


def check_width(dictionary: Dictionary, width: int) -> None:
    """Raise UserError where the dictionary reads vectors of another width than the hookpoint's."""
    if dictionary.width != width:
        raise UserError(
            f"Expected a dictionary for vectors of width {width}, found {dictionary.name} for {dictionary.width}. "
            "Name the hookpoint that it was trained on, or another dictionary."
        )
