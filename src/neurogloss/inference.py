"""How a model is run: without gradients, and on a CPU with the matrix products that are fast on it.

Products of float32 matrices torch gives to MKL, which on AMD's processors with AVX-512 can take twice as long as
oneDNN, which torch carries too (`python -m benchmarks.products`). There they go to oneDNN, unless that is switched
off (`torch.backends.mkldnn.enabled`). It adds up in another order; as with MKL, a row's result does not depend on
the rows beside it, but where it is multiplied alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.overrides import TorchFunctionMode

WORTH = 2**16
"""Weights of the smallest matrix whose products oneDNN gets: what it takes to call it is seen with fewer."""


@contextmanager
def inference(device: torch.device | str) -> Iterator[None]:
    """Run what is inside without gradients, as fast as the device has it."""
    import torch

    on_cpu = torch.device(device).type == "cpu"
    better = on_cpu and torch.backends.mkldnn.enabled and _mkl_is_slow()
    with torch.inference_mode(), onednn_products() if better else nullcontext():
        yield


@cache
def _mkl_is_slow() -> bool:
    import torch

    if not torch.backends.mkldnn.is_available() or not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return "AMD" in found.get("cpu_name", "") and bool(found.get("avx512_f"))


@cache
def onednn_products() -> TorchFunctionMode:
    """Give products with large float32 matrices on the CPU to oneDNN, while this is entered; without gradients."""
    import torch
    from torch.nn.functional import linear
    from torch.overrides import TorchFunctionMode

    class Products(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self,
            func: Callable[..., Any],
            types: Sequence[type],
            args: Sequence[Any] = (),
            kwargs: Mapping[str, Any] | None = None,
        ) -> Any:
            if not kwargs and func is linear and _fits(*args):
                return multiply(args[0], args[1], args[2] if len(args) == 3 else None, "none", [], "")
            if not kwargs and func is torch.addmm and _fits(args[1], args[2].T, args[0]):
                return multiply(args[1], args[2].T, args[0], "none", [], "")
            return func(*args, **(kwargs or {}))

    multiply = torch.ops.mkldnn._linear_pointwise
    return Products()


def _fits(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> bool:
    """Whether the product is one of those: more than one row in (…, k), (n, k) weights, (n,) biases."""
    import torch

    given = [rows, weight] if bias is None else [rows, weight, bias]
    return (
        weight.ndim == 2
        and weight.numel() >= WORTH
        and rows.numel() > weight.shape[1]
        # oneDNN takes biases as if they lay side by side.
        and (bias is None or (bias.ndim == 1 and bias.is_contiguous()))
        and all(x.dtype == torch.float32 and x.device.type == "cpu" and x.layout == torch.strided for x in given)
    )
