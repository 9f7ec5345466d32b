"""What a vision subject is loaded from: a packaged one, a folder, or an architecture and its weights."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from neurogloss.errors import UserError, first_line, imported
from neurogloss.settings import ImageSettings
from neurogloss.sources import loading
from neurogloss.sources.vision.preprocess import Preprocess
from neurogloss.sources.vision.subject import VisionSubject

PACKAGED = ("shapes-cnn", "shapes-vit", "digits-cnn")
"""Small classifiers that ship with the package: of rendered shapes, and of scikit-learn's digits."""
INSTALL = "pip install 'neurogloss[subject,vision]'"


def load(spec: str, weights: str | None = None, *, device: str = "auto", dtype: str = "auto") -> VisionSubject:
    """A packaged classifier by its name, a folder with an image model of Hugging Face, `torchvision:NAME` or
    `timm:NAME`.

    Args:
        weights: file of a state dict (.safetensors, or .pt and .pth without code) for a torchvision or timm
            architecture; None: random weights, the same every time.
        device, dtype: as for language models.

    Raises:
        MissingExtra: torch, transformers, torchvision or timm is needed and not installed.
        UserError: none of these, or it does not load.
    """
    loading.require_torch()
    where = loading.device(device)
    family, _, name = spec.partition(":")
    if family in _FAMILIES and name:
        subject = _FAMILIES[family](name, weights)
    elif weights is not None:
        raise UserError(
            f"Expected weights beside torchvision:NAME or timm:NAME only, found them beside {spec!r}. "
            "Leave them out."
        )
    elif spec in PACKAGED:
        with resources.as_file(resources.files("neurogloss.sources") / "data" / "vision" / spec) as folder:
            subject = _of_folder(folder, spec)
    else:
        path = Path(spec)
        if not (path / "config.json").is_file():
            raise UserError(
                f"Expected {', '.join(PACKAGED)}, a folder with an image model of Hugging Face (config.json), "
                f"torchvision:NAME or timm:NAME, found {spec!r}. Download a model into a folder and give that."
            )
        subject = _of_folder(path, path.resolve().name)
    subject.model.to(device=where, dtype=loading.dtype(dtype, where))
    return subject


def subject_of(settings: ImageSettings) -> VisionSubject:
    """The subject that the settings name. Raises as `load`."""
    return load(settings.subject, settings.weights, device=settings.device, dtype=settings.dtype)


def _of_folder(path: Path, name: str) -> VisionSubject:
    transformers = imported("transformers", INSTALL)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(path, **loading.LOCAL)
        classifies = any(kind.endswith("ForImageClassification") for kind in config.architectures or ())
        kind = transformers.AutoModelForImageClassification if classifies else transformers.AutoModel
        model = kind.from_pretrained(path, **loading.LOCAL)
    except (OSError, ValueError, RuntimeError, SafetensorError, KeyError) as error:
        raise UserError(f"{path} holds no image model that loads: {first_line(error)}") from None
    classes = [config.id2label[i] for i in sorted(config.id2label)] if classifies else []
    return VisionSubject(name, model, Preprocess.of_folder(path), loading.fingerprint(path), classes)


def _torchvision(name: str, weights: str | None) -> VisionSubject:
    models = imported("torchvision.models", INSTALL)
    try:
        known = models.get_model_weights(name)
        model = _seeded(lambda: models.get_model(name, weights=None), weights)
    except ValueError as error:
        raise UserError(f"Expected a model of torchvision, found {name!r}: {first_line(error)}") from None
    given = known.DEFAULT
    transform = given.transforms()
    [side] = transform.crop_size
    preprocess = Preprocess((side, side), tuple(transform.mean), tuple(transform.std))
    classes = given.meta["categories"] if weights is not None else ()
    return VisionSubject(name, model, preprocess, classes=classes)


def _timm(name: str, weights: str | None) -> VisionSubject:
    timm = imported("timm", INSTALL)
    try:
        model = _seeded(lambda: timm.create_model(name, pretrained=False), weights)
    except RuntimeError as error:
        raise UserError(f"Expected a model of timm, found {name!r}: {first_line(error)}") from None
    data = imported("timm.data", INSTALL).resolve_model_data_config(model)
    filters = {"nearest": 0, "bilinear": 2, "bicubic": 3}
    preprocess = Preprocess(
        (data["input_size"][1], data["input_size"][2]),
        tuple(data["mean"]),
        tuple(data["std"]),
        filters.get(data["interpolation"], 2),
    )
    return VisionSubject(name, model, preprocess)


_FAMILIES = {"torchvision": _torchvision, "timm": _timm}


def _seeded(make: Any, weights: str | None) -> Any:
    """A model with the weights of a file, or with random ones that are the same every time."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    if weights is not None:
        try:
            model.load_state_dict(_state(Path(weights)))
        except (OSError, RuntimeError, SafetensorError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"Expected weights of this architecture in {weights}, found: {first_line(error)} "
                "Give the state dict that was saved from it, as .safetensors or .pt."
            ) from None
    return model


def _state(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"a file with code in it, which is not run ({first_line(error)})") from None
