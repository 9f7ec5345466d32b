"""Strict reading of weights and settings: a file that is not what it claims is refused.

Weights come back on the CPU in float32. Only torch's restricted unpickler reads pickles.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from neurogloss import foreign
from neurogloss.errors import UserError, first_line
from neurogloss.sources.dictionaries.linear import LinearDictionary

if TYPE_CHECKING:
    import torch

PICKLES = (".pt", ".pth", ".pth.tar")
TENSOR_SUFFIXES = (".safetensors", ".npz", ".npy", *PICKLES)

Shape = tuple[int | None, ...]
"""Sizes that a tensor has to have; None allows any."""


@dataclass
class Weights:
    """The tensors and plain values of one file, and which of them were asked for."""

    path: Path
    tensors: Mapping[str, torch.Tensor]
    values: Mapping[str, Any]
    _read: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, path: Path) -> Weights:
        """Read a file of tensors whole.

        Raises:
            UserError: no such file, a file that is broken or not of its suffix, a pickle of more than tensors.
        """
        found = _read_file(path)
        return cls(
            path,
            {name: value for name, value in found.items() if hasattr(value, "dtype")},
            {name: value for name, value in found.items() if not hasattr(value, "dtype")},
        )

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def take(self, name: str, *shape: int | None) -> torch.Tensor:
        """A tensor of that shape in float32.

        Raises:
            UserError: no such tensor, another shape, integers, NaN or infinite values.
        """
        import torch

        if name not in self.tensors:
            raise UserError(
                f"Expected a tensor {name} in {self.path}, found {', '.join(sorted(self.tensors)) or 'none'}. "
                "Check that the file is of the format that its folder says."
            )
        self._read.add(name)
        tensor = self.tensors[name]
        self._check_shape(name, tuple(tensor.shape), shape)
        if not tensor.is_floating_point():
            raise UserError(
                f"Expected numbers with a fraction as {name} of {self.path}, found {tensor.dtype}. "
                "Quantised weights have to be converted first."
            )
        if not torch.isfinite(tensor).all():
            raise UserError(
                f"Expected finite numbers as {name} of {self.path}, found NaN or infinity. Train it again."
            )
        return tensor.float()

    def maybe(self, name: str, *shape: int | None) -> torch.Tensor | None:
        """As `take`; None where there is no such tensor."""
        return self.take(name, *shape) if name in self.tensors else None

    def ignore(self, *names: str) -> None:
        """Tensors that may be there and decide nothing."""
        self._read.update(names)

    def number(self, name: str) -> float | None:
        """A plain value or a tensor of one number, None where there is none."""
        self._read.add(name)
        value = self.tensors.get(name, self.values.get(name))
        try:
            return None if value is None else float(value)
        except (TypeError, ValueError, RuntimeError):
            raise UserError(f"Expected one number as {name} of {self.path}, found {value!r:.60}.") from None

    def finish(self) -> None:
        """Raise UserError where tensors are left that nothing asked for: they could change what is computed."""
        left = sorted(set(self.tensors) - self._read)
        if left:
            raise UserError(
                f"Expected no further tensors in {self.path}, found {', '.join(left)}. "
                "It may be of another architecture than its settings say."
            )

    def _check_shape(self, name: str, found: Shape, expected: Shape) -> None:
        def fits(shape: Shape) -> bool:
            return len(shape) == len(expected) and all(
                want in (None, size) for size, want in zip(shape, expected, strict=True)
            )

        if fits(found):
            return
        wanted = tuple("any" if size is None else size for size in expected)
        hint = "It is transposed." if fits(found[::-1]) else "Check that settings and weights belong together."
        raise UserError(f"Expected {name} of shape {wanted} in {self.path}, found {found}. {hint}")


class Layout(NamedTuple):
    """How a format names the tensors of a linear dictionary, and which way round it stores them."""

    encoder: str = "W_enc"
    encoder_bias: str = "b_enc"
    decoder: str = "W_dec"
    decoder_bias: str = "b_dec"
    encoder_rows: bool = False
    """Whether the encoder is stored (N, d), as nn.Linear does; otherwise (d, N)."""
    decoder_rows: bool = True
    """Whether the decoder is stored (N, d_out); otherwise (d_out, N), as nn.Linear does."""

    def sizes(self, weights: Weights) -> tuple[int, int]:
        """The number of units and the width of the target, as the biases have them."""
        return len(weights.take(self.encoder_bias, None)), len(weights.take(self.decoder_bias, None))

    def read(self, weights: Weights, sizes: tuple[int, int | None, int], **given: Any) -> LinearDictionary:
        """The dictionary whose matrices `weights` holds.

        Args:
            sizes: number of units, width of the vectors (None: any) and of the target.
            given: other fields of a `LinearDictionary`, and those of the four tensors that are not as stored.

        Raises:
            UserError: a tensor is missing or of another shape, or one is left that nothing asked for.
        """
        n, d, d_out = sizes
        if "encoder" not in given:
            given["encoder"] = _matrix(weights, self.encoder, n, d, self.encoder_rows)
        if "decoder" not in given:
            given["decoder"] = _matrix(weights, self.decoder, n, d_out, self.decoder_rows)
        if "encoder_bias" not in given:
            given["encoder_bias"] = weights.take(self.encoder_bias, n)
        if "decoder_bias" not in given:
            given["decoder_bias"] = weights.take(self.decoder_bias, d_out)
        weights.finish()
        return LinearDictionary(**{"name": name_of(weights.path), **given})


def _matrix(weights: Weights, name: str, n: int, width: int | None, by_rows: bool) -> torch.Tensor:
    """(n, width), however it is stored."""
    return weights.take(name, n, width) if by_rows else weights.take(name, width, n).T


def unit_rows(dictionary: LinearDictionary) -> LinearDictionary:
    """The same reconstruction, by decoder rows of length 1: their lengths go into the encoder."""
    lengths = dictionary.decoder.norm(dim=1)
    return replace(
        dictionary,
        encoder=dictionary.encoder * lengths[:, None],
        encoder_bias=dictionary.encoder_bias * lengths,
        decoder=dictionary.decoder / lengths[:, None],
    )


LINEAR = Layout("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias", True, False)
"""A state dict of two `nn.Linear`."""
MATRICES = Layout()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises UserError where there is none."""
    try:
        found = foreign.read_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"Expected settings at {path}, found none ({error.strerror}). Give the whole folder."
        ) from None
    except ValueError as error:
        raise UserError(f"Expected JSON in {path}, found something else ({error}). Download it again.") from None
    if not isinstance(found, dict):
        raise UserError(f"Expected a JSON object in {path}, found a {type(found).__name__}. Download it again.")
    return found


def setting(settings: Mapping[str, Any], name: str, path: Path, kind: type = int) -> Any:
    """A value that the settings have to hold. Raises UserError where it is missing or of another type."""
    found = settings.get(name)
    if kind is float and isinstance(found, int) and not isinstance(found, bool):
        return float(found)
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise UserError(
            f"Expected {name} ({kind.__name__}) in {path}, found {found!r}. Download the settings again."
        )
    return found


def active_count(k: float | None, n: int, path: Path) -> int:
    """The number of active units, checked: 1 to n. Raises UserError."""
    if k is None or not 1 <= k <= n or k != int(k):
        raise UserError(
            f"Expected k, the number of active units, from 1 to {n} for {path}, found {k}. Check the settings."
        )
    return int(k)


def provenance(format: str, paths: Sequence[Path], **facts: Any) -> dict[str, Any]:
    """What a dictionary was read from: its format, sha256 of each file, and what its settings state."""
    hashes = {}
    for path in paths:
        with open(path, "rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    stated = {name: value for name, value in facts.items() if value is not None}
    return {"format": format, "sha256": hashes, **stated}


def has(path: Path, *names: str) -> bool:
    """Whether the folder `path` holds all of these files."""
    return all((path / name).is_file() for name in names)


def name_of(path: Path) -> str:
    """What unit ids call the dictionary at `path`: its file's or folder's name, no slash and no suffix."""
    name = path.resolve().name
    for suffix in (*TENSOR_SUFFIXES, ".sae"):
        name = name.removesuffix(suffix)
    return re.sub(r"[^\w.+-]+", "_", name) or "dictionary"


def names_in(path: Path) -> frozenset[str]:
    """The names of what a file of tensors holds; empty where it is none. Reads no tensors."""
    if not path.is_file() or not path.name.endswith(TENSOR_SUFFIXES):
        return frozenset()
    try:
        return frozenset(_names(path))
    except Exception:  # a broken file makes those who read it run into anything
        return frozenset()


def _names(path: Path) -> Iterable[str]:
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="np") as file:
            return list(file.keys())
    import torch

    # Mapped, not read: a file may be asked for its names by several readers.
    return _flatten(torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)))


def _read_file(path: Path) -> dict[str, Any]:
    import numpy as np
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise UserError(f"Expected weights at {path}, found nothing. Give the folder as it was downloaded.")
    try:
        foreign.check_archive(path)
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if path.suffix == ".npy":
            return {"": torch.from_numpy(np.load(path, allow_pickle=False))}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        return _flatten(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError:
        raise UserError(
            f"Expected a pickle of plain tensors at {path}, found one with code or other objects, or a broken "
            "one. It is not run: save its state dict alone, as safetensors if you can."
        ) from None
    except Exception as error:  # as above; zlib and struct have their own
        reason = first_line(error) or type(error).__name__
        raise UserError(
            f"Expected {path} to be a whole {path.suffix} file of tensors, found one that is not ({reason}). "
            "Download or save it again."
        ) from None


def _flatten(found: Any, prefix: str = "") -> dict[str, Any]:
    """A state dict with the dicts inside it laid flat, their names joined by dots."""
    if not isinstance(found, Mapping):
        return {prefix.rstrip("."): found}
    flat: dict[str, Any] = {}
    for name, value in found.items():
        flat.update(_flatten(value, f"{prefix}{name}."))
    return flat
