"""What a subject is loaded from: the packaged one, a folder, the hub, a GGUF file; and what its weights are."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from safetensors import SafetensorError

from neurogloss.errors import MissingExtra, UserError, first_line, imported
from neurogloss.folder import user_cache
from neurogloss.ids import content_id
from neurogloss.protocols import Progress, Quiet
from neurogloss.settings import DEMO_SUBJECT
from neurogloss.weights import SMOLLM2

if TYPE_CHECKING:
    import torch

HUB = "hub:"
"""Begins the names of data sets and dictionaries on the hub."""
PACKAGES = ("torch", "transformers", "accelerate", "gguf")
"""The extra [subject]; the last two read the packaged subject."""
INSTALL = f"pip install {' '.join(PACKAGES)}   (the extra [subject])"
BLOCK = 64 * 1024
"""Bytes in one sampled block of a weight file."""
BLOCKS = 16
"""Blocks sampled between the first and the last."""
LOCAL = {"local_files_only": True, "trust_remote_code": False}
"""Of what Hugging Face loads: nothing is fetched, and no code that lies beside a model is run or asked about."""


def require_subject_packages() -> None:
    """Raise MissingExtra where what runs a subject is not installed. Imports nothing."""
    for package in PACKAGES:
        if sys.modules.get(package, ...) is None or not importlib.util.find_spec(package):
            raise MissingExtra(package, INSTALL)


def has_subject_packages() -> bool:
    """Whether what runs a subject is installed. Imports nothing."""
    try:
        require_subject_packages()
    except MissingExtra:
        return False
    return True


def packaged_folder(progress: Progress | None = None) -> Path:
    """Folder of the packaged subject as safetensors, converted on first use into the user's cache."""
    progress = progress or Quiet()
    folder = user_cache() / DEMO_SUBJECT
    if (folder / "config.json").is_file():
        return folder
    source = SMOLLM2.path()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "config.json").is_file():
            progress.start("converting SmolLM2 to safetensors, once (about a minute)", None, "step")
            _convert(source, folder)
    return folder


def find(spec: str) -> tuple[Path, str]:
    """Folder or file of a subject, and what it is called."""
    path = Path(spec)
    if (path / "config.json").is_file():
        return path, path.resolve().name
    if path.suffix.lower() == ".gguf" and path.is_file():
        return path, path.stem
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", spec) and not path.exists():
        return _download(spec), spec
    raise UserError(
        f"Expected the name {DEMO_SUBJECT!r}, a folder with a Hugging Face model, a .gguf file or org/name on the "
        f"hub, found {spec!r}, {'a folder without config.json' if path.is_dir() else 'which is no folder'}. "
        "Download a model into a folder first and give that folder."
    )


def _download(name: str) -> Path:
    """The hub's model in the local cache, without weights that are pickles."""
    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    folder = fetched(name, None, wanted, ["*/*", "consolidated*"])
    if not (folder / "config.json").is_file():
        raise UserError(f"Expected a Hugging Face model in {name}, found no config.json. Give another name.")
    return folder


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


def read(path: Path, dtype: Any) -> tuple[Any, Any]:
    """Model and tokenizer of a folder or of a .gguf file."""
    transformers = _transformers()
    given: dict[str, Any] = dict(LOCAL)
    folder = path
    if path.is_file():
        require_subject_packages()
        with open(path, "rb") as file:
            if file.read(4) != b"GGUF":
                raise UserError(f"Expected a GGUF file in {path}, found something else. Download it again.")
        folder, given["gguf_file"] = path.parent, path.name
    # RuntimeError: weights of other shapes than the configuration says; the last three: a broken GGUF file.
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **given)
        kind = transformers.AutoModelForCausalLM if path.is_file() else _kind(folder)
        return kind.from_pretrained(folder, dtype=dtype, **given), tokenizer
    except (OSError, ValueError, RuntimeError, SafetensorError, KeyError, IndexError, struct.error) as error:
        raise UserError(f"{path} holds no language model that loads: {error}") from None


def _kind(folder: Path) -> Any:
    """How to load what is in a folder: with a language-model head where it was saved with one."""
    transformers = _transformers()
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
    if config.is_encoder_decoder:
        raise ValueError("an encoder with a decoder, which reads two texts. Give a causal model or an encoder.")
    causal = not config.architectures or set(config.architectures) & set(CAUSAL.values())
    return transformers.AutoModelForCausalLM if causal else transformers.AutoModel


def device(name: str) -> torch.device:
    torch = require_torch()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"Expected a device of this machine, found {name!r}: {first_line(error)} Use `auto` or `cpu`."
        ) from None


def dtype(name: str, device: torch.device) -> torch.dtype:
    torch = require_torch()
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    if name not in ("float32", "bfloat16", "float16"):
        raise UserError(
            f"Expected a dtype of auto, float32, bfloat16 or float16, found {name!r}. Use one of those."
        )
    return getattr(torch, name)


def _convert(source: Path, folder: Path) -> None:
    torch, transformers = require_torch(), _transformers()
    gguf = {"gguf_file": source.name, "local_files_only": True}
    tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, **gguf)
    model = transformers.AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **gguf)
    # What was de-quantised still says it is quantised, and is refused to be saved as such.
    model.hf_quantizer = None
    model.config.__dict__.pop("quantization_config", None)
    for left_over in folder.parent.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(left_over, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    os.replace(temporary, folder)


def fingerprint(path: Path) -> str:
    """Hash of the configuration and of each weight file: its size, its header and sampled blocks of its content.

    Sampled are the first and the last 64 KiB and 16 blocks of that size evenly between, so that gigabytes of
    weights cost a moment; a change that misses all of them is not seen.
    """
    config = "" if path.is_file() else (path / "config.json").read_text(encoding="utf-8")
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    return content_id([config, {file.name: _sampled(file) for file in files}])


def _sampled(path: Path) -> str:
    digest, size = hashlib.blake2b(digest_size=16), path.stat().st_size
    digest.update(size.to_bytes(8, "little"))
    with open(path, "rb") as file:
        if path.suffix == ".safetensors":
            digest.update(file.read(int.from_bytes(file.read(8), "little")))
        last = max(size - BLOCK, 0)
        for n in range(BLOCKS + 2):
            file.seek(last * n // (BLOCKS + 1))
            digest.update(file.read(BLOCK))
    return digest.hexdigest()


def require_torch() -> Any:
    return imported("torch", INSTALL)


def _transformers() -> Any:
    transformers = imported("transformers", INSTALL)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers
