"""A vision model as a subject: run up to the last hookpoint and no further, its outputs read as cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.protocols import Float32
from neurogloss.sources.hookpoints import Hookpoint, heard, hooked, resolve
from neurogloss.sources.loading import require_torch
from neurogloss.sources.vision.cells import Cells
from neurogloss.sources.vision.pictures import open_picture
from neurogloss.sources.vision.preprocess import Preprocess

if TYPE_CHECKING:
    import torch

BATCH = 32
"""Images in one forward pass."""
Edit = Callable[["torch.Tensor"], "torch.Tensor"]
"""(N, positions, width) vectors of a module to those that take their place."""


class VisionSubject:
    """Any torch model that reads images (N, channels, height, width), in evaluation mode.

    Implements `neurogloss.sources.source.Listened`.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        preprocess: Preprocess,
        fingerprint: str | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        """
        Args:
            model: a torch module; of a model of Hugging Face that reads texts, too, the vision tower is run.
            fingerprint: hash of the weights; by default of all parameters and buffers.
            classes: names of what a classifier's outputs stand for, in their order.
        """
        require_torch()
        self.name, self.preprocess, self.classes = name, preprocess, tuple(classes)
        self.model = model.eval()
        self.fingerprint = fingerprint or _fingerprint(model)
        self._cells: dict[Hookpoint, Cells] = {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """JSON: what a manifest says of it."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "preprocess": self.preprocess.facts,
            "classes": list(self.classes),
        }

    @cached_property
    def _some_weight(self) -> Any:
        return next(self.model.parameters(), None)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        import torch

        return torch.device("cpu") if self._some_weight is None else self._some_weight.device

    @cached_property
    def modules(self) -> dict[str, Any]:
        """Every module by its path."""
        return dict(self.model.named_modules())

    def class_names(self, n: int) -> tuple[str, ...]:
        """What n logits stand for. Raises UserError where there is another number of names."""
        if len(self.classes) != n:
            raise UserError(
                f"Expected names of the {n} classes of {self.name}, found {len(self.classes)}. Name them in the "
                "model's config (id2label), or in `VisionSubject(classes=…)`."
            )
        return self.classes

    def hookpoint(self, name: str) -> Hookpoint:
        """The hookpoint of that name. Raises UserError that lists the nearest."""
        return resolve(name, self.modules)

    def width(self, hookpoint: Hookpoint) -> int:
        """Channels of a map, numbers in a token."""
        return self.cells(hookpoint).width

    def grid(self, hookpoint: Hookpoint) -> tuple[int, int]:
        """Rows and columns of cells, 28 x 28 at most."""
        return self.cells(hookpoint).grid

    def cells(self, hookpoint: Hookpoint) -> Cells:
        """How the output there is read. Raises UserError where it is no map of the image."""
        if hookpoint not in self._cells:
            import torch

            images = torch.zeros(2, len(self.preprocess.mean), *self.preprocess.size)
            shape = self._run(images, [hookpoint])[hookpoint].shape
            found = Cells.of(shape, self._patches) if shape[0] == 2 else None
            if found is None:
                raise UserError(
                    f"Expected a map, patch tokens or one vector an image at {hookpoint}, found an output of "
                    f"shape {tuple(shape)} for two images. Name another module, such as a block or a convolution."
                )
            self._cells[hookpoint] = found
        return self._cells[hookpoint]

    def vectors(self, images: Float32, hookpoints: Sequence[Hookpoint]) -> dict[Hookpoint, torch.Tensor]:
        """What passes each hookpoint while preprocessed images (N, channels, height, width) are read.

        Returns:
            For each hookpoint (N * cells, width), image after image and row by row, float32 on the model's device.

        Raises:
            UserError: a hookpoint is not reached, or passes no map.
        """
        import torch

        found = self._run(torch.from_numpy(images), hookpoints)
        return {hookpoint: self.cells(hookpoint).vectors(value).float() for hookpoint, value in found.items()}

    def seen(self, pictures: Sequence[Path], hookpoints: Sequence[Hookpoint]) -> dict[Hookpoint, torch.Tensor]:
        """The `vectors` of image files. Raises UserError where one does not decode."""
        return self.vectors(self.pixels(pictures), hookpoints)

    def pixels(self, pictures: Sequence[Path]) -> Float32:
        """(N, channels, height, width): image files, preprocessed. Raises UserError where one does not decode."""
        return self.preprocess([open_picture(path) for path in pictures])

    def seeing(
        self, hookpoint: Hookpoint, axis: int, lines: NDArray[np.int64], longer: int
    ) -> NDArray[np.bool_] | None:
        """Which rows (axis 0) or columns (1) of the map at a hookpoint see rows or columns of pixels.

        Args:
            lines: of pixels, in an image that is so many times as long as the model's along the axis.

        Returns:
            (lines, positions); None where the hookpoint passes no map, or the model reads no image of that size.
        """
        import torch

        size, found = list(self.preprocess.size), []
        size[axis] *= longer
        for part in np.array_split(lines, -(-len(lines) * longer // BATCH)):
            images = torch.zeros(len(part), len(self.preprocess.mean), *size)
            for image, line in zip(images, part.tolist(), strict=True):
                image.select(1 + axis, line).fill_(torch.nan)
            try:
                value = self._run(images, [hookpoint])[hookpoint]
            except Exception:  # what models raise about sizes has no common base
                return None
            if value.ndim != 4:
                return None
            reached = value.isnan().any(1 if self.cells(hookpoint).channels_first else 3)
            found.append(reached.any(2 - axis).cpu().numpy())
        return np.concatenate(found)

    def logits(self, images: Float32, edits: Mapping[Hookpoint, Edit] | None = None) -> Float32:
        """(N, classes) of a classifier, with what its modules pass on edited.

        Raises:
            UserError: the model is no classifier.
        """
        return self.outputs(images, edits)[0]

    def outputs(self, images: Float32, edits: Mapping[Hookpoint, Edit] | None = None) -> tuple[Float32, Float32]:
        """The `logits` and the `embeddings`, of one forward pass."""
        out, embeddings = self._read(images, edits or {})
        return self._logits(out).float().cpu().numpy(), embeddings

    def embeddings(self, images: Float32, edits: Mapping[Hookpoint, Edit] | None = None) -> Float32:
        """(N, dimension): what images are compared by, with what modules pass on edited.

        That is what the last linear layer reads, where it gives the output, as in classifiers; else the output
        itself: what the model pooled, or the CLS token, or the mean over positions.
        """
        return self._read(images, edits or {})[1]

    def gradients(self, images: Float32, hookpoints: Sequence[Hookpoint]) -> dict[Hookpoint, Float32]:
        """By how much each logit of a classifier grows with what passes each hookpoint.

        Returns:
            For each hookpoint (classes, width): gradients, summed over positions, mean over the images.

        Raises:
            UserError: the model is no classifier.
        """
        import torch

        read: dict[Hookpoint, torch.Tensor] = {}

        def reading(hookpoint: Hookpoint) -> Edit:
            def edit(flat: torch.Tensor) -> torch.Tensor:
                read[hookpoint] = flat
                return flat.clone()  # what is changed in place behind the hookpoint is not what passed it

            return edit

        with torch.enable_grad(), self._edited({hookpoint: reading(hookpoint) for hookpoint in hookpoints}):
            logits = self._logits(self._forward(torch.from_numpy(images).requires_grad_())).mean(0)
            places = [read[hookpoint] for hookpoint in hookpoints]
            rows = [
                torch.autograd.grad(logit, places, retain_graph=True, allow_unused=True, materialize_grads=True)
                for logit in logits
            ]
        found = (torch.stack([part.sum((0, 1)).float() for part in parts]) for parts in zip(*rows, strict=True))
        return {hookpoint: part.cpu().numpy() for hookpoint, part in zip(hookpoints, found, strict=True)}

    def _read(self, images: Float32, edits: Mapping[Hookpoint, Edit]) -> tuple[Any, Float32]:
        """The model's output, and the embeddings."""
        import torch

        read: list[Any] = []
        head = [] if self._head is None else [self._head]
        with torch.inference_mode(), self._edited(edits), hooked(self.modules, head, lambda _, x: read.extend(x)):
            out = self._forward(torch.from_numpy(images))
        return out, self._pooled(read[-1] if head else out).float().cpu().numpy()

    @cached_property
    def _head(self) -> Hookpoint | None:
        """The input of the linear layer whose output is the model's; None where there is none."""
        import torch

        linear = [Hookpoint(name, False) for name, m in self.modules.items() if isinstance(m, torch.nn.Linear)]
        given: list[tuple[Hookpoint, Any]] = []
        images = torch.zeros(1, len(self.preprocess.mean), *self.preprocess.size)
        with torch.inference_mode(), hooked(self.modules, linear, lambda at, out: given.append((at, out))):
            out = self._forward(images)
        logits = getattr(out, "logits", out)
        return next((Hookpoint(at.module, True) for at, value in given if value is logits), None)

    def _pooled(self, out: Any) -> torch.Tensor:
        """A row an image."""
        named = (getattr(out, name, None) for name in ("image_embeds", "pooler_output"))
        tensor = next((value for value in named if value is not None), _tensor(out))
        cells = Cells.of(tensor.shape, self._patches)
        flat = tensor.flatten(1).unsqueeze(1) if cells is None else cells.flat(tensor)
        pooled: torch.Tensor = flat[:, 0] if cells and cells.prefix else flat.mean(1)
        return pooled

    def _logits(self, out: Any) -> torch.Tensor:
        import torch

        logits = getattr(out, "logits", out)
        if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
            raise UserError(
                f"Expected a classifier, whose output is a row of logits an image; {self.name} gives something "
                "else. Use a subject with a classification head."
            )
        return logits

    def _forward(self, images: torch.Tensor) -> Any:
        images = images.to(self.device)
        if self._some_weight is not None and self._some_weight.is_floating_point():
            images = images.to(self._some_weight.dtype)
        # CLIP and its kin read texts, too, where they are no classifiers.
        tower = self.model if self.classes else getattr(self.model, "vision_model", self.model)
        return tower(pixel_values=images) if hasattr(tower, "base_model_prefix") else tower(images)

    def _run(self, images: torch.Tensor, hookpoints: Sequence[Hookpoint]) -> dict[Hookpoint, torch.Tensor]:
        import torch

        with torch.inference_mode():
            found = heard(self.modules, hookpoints, lambda _, out: _tensor(out), lambda: self._forward(images))
        for hookpoint in hookpoints:
            if getattr(found.get(hookpoint), "ndim", 0) < 2:
                how = "passes something else" if hookpoint in found else "is never reached"
                raise UserError(
                    f"Expected a map, tokens or a vector an image at {hookpoint}, which {how}. "
                    "Name another module."
                )
        return found

    @contextmanager
    def _edited(self, edits: Mapping[Hookpoint, Edit]) -> Iterator[None]:
        def changed(hookpoint: Hookpoint, value: Any) -> Any:
            tensor, cells = _tensor(value), self.cells(hookpoint)
            edited = cells.unflat(edits[hookpoint](cells.flat(tensor)), tensor.shape)
            return (edited, *value[1:]) if isinstance(value, tuple) else edited

        for hookpoint in edits:
            self.cells(hookpoint)  # before hooks are there, which it would see
        with hooked(self.modules, edits, changed):
            yield

    @cached_property
    def _patches(self) -> tuple[int, int] | None:
        """Rows and columns of patches, where the first convolution cuts some; None where it does not."""
        import torch

        first = next((m for m in self.model.modules() if isinstance(m, torch.nn.Conv2d)), None)
        if first is None or first.kernel_size != first.stride or first.stride[0] < 2:
            return None
        height, width = self.preprocess.size
        return height // first.stride[0], width // first.stride[1]


def _tensor(value: Any) -> Any:
    """The tensor in what a module passes: the first of several, the last hidden state of an output."""
    value = getattr(value, "last_hidden_state", value)
    return value[0] if isinstance(value, tuple) and value else value


def _fingerprint(model: Any) -> str:
    import torch

    digest = blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return "b2:" + digest.hexdigest()
