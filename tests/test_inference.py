from __future__ import annotations

from collections.abc import Callable, Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

torch = pytest.importorskip("torch")

from torch.nn.functional import linear  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402
from transformers.pytorch_utils import Conv1D  # noqa: E402

from neurogloss import inference as module  # noqa: E402
from neurogloss.inference import WORTH, inference, onednn_products  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")

N = K = 256
assert N * K >= WORTH


def by_onednn(work: Callable[[], object]) -> bool:
    """Whether oneDNN was given a product while this ran."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    return any("_linear_pointwise" in event.key for event in found.key_averages())


def draw(*shape: int, seed: int = 0, dtype: object = torch.float32) -> object:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.fixture
def fresh() -> Iterator[None]:
    module._mkl_is_slow.cache_clear()
    yield
    module._mkl_is_slow.cache_clear()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3).filter(lambda shape: max(shape) > 1),
    st.integers(200, 500),
    st.integers(400, 700),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_a_product_is_the_exact_one_to_the_precision_of_float32(
    shape: list[int], k: int, n: int, biased: bool, seed: int
) -> None:
    x, weight, bias = draw(*shape, k, seed=seed), draw(n, k, seed=seed + 1), draw(n, seed=seed + 2)
    exact = linear(x.double(), weight.double(), bias.double() if biased else None)
    with torch.inference_mode(), onednn_products():
        found = linear(x, weight, bias) if biased else linear(x, weight)
    assert found.shape == exact.shape and found.dtype == torch.float32
    assert (found - exact).abs().max() <= 1e-5 * k**0.5


@pytest.mark.parametrize(
    "given",
    [
        (draw(K, 300).T, draw(N, K)),
        (draw(300, 2 * K)[:, ::2], draw(N, K)),
        (draw(300, K), draw(K, N).T),
        (draw(1, K).expand(300, K), draw(N, K), draw(N)),
        (draw(40, 3, K).transpose(0, 1), draw(N, K), draw(N)),
        (draw(300, K), draw(N, 1).expand(N, K), draw(2 * N)[N:]),
    ],
    ids=[
        "rows transposed",
        "every second input",
        "weights transposed",
        "one row",
        "places transposed",
        "one weight",
    ],
)
def test_how_matrices_lie_in_memory_does_not_matter(given: tuple[object, ...]) -> None:
    with torch.inference_mode():
        expected = linear(*given)
        with onednn_products():
            assert by_onednn(lambda: linear(*given))
            torch.testing.assert_close(linear(*given), expected, rtol=0, atol=2e-4)


def test_a_row_is_the_same_whatever_stands_beside_it() -> None:
    x, weight, bias = draw(700, 576), draw(1_536, 576), draw(1_536)
    with torch.inference_mode(), onednn_products():
        whole = linear(x, weight, bias)
        for rows in (2, 7, 64, 257, 699):
            assert torch.equal(linear(x[:rows], weight, bias), whole[:rows])


@pytest.mark.parametrize("layer", [torch.nn.Linear(K, N), Conv1D(N, K)], ids=["Linear", "GPT-2's Conv1D"])
def test_layers_get_the_product_without_knowing(layer: object) -> None:
    x = draw(2, 30, K)
    with torch.inference_mode():
        expected = layer(x)
        with onednn_products():
            assert by_onednn(lambda: layer(x))
            torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "work",
    [
        lambda: linear(draw(9, K, dtype=torch.float64), draw(N, K, dtype=torch.float64)),
        lambda: linear(draw(9, K, dtype=torch.bfloat16), draw(N, K, dtype=torch.bfloat16)),
        lambda: linear(draw(9, K - 1), draw(N, K - 1)),
        lambda: linear(draw(0, K), draw(N, K)),
        lambda: linear(draw(K), draw(N, K)),
        lambda: linear(draw(1, K), draw(N, K)),
        lambda: linear(draw(9, K), draw(N, K), draw(2 * N)[::2]),
        lambda: linear(draw(9, K), draw(N, K), draw(1).expand(N)),
        lambda: linear(draw(9, K), draw(N, K).to_sparse()),
        lambda: torch.addmm(draw(9, N), draw(9, K), draw(K, N)),
        lambda: torch.addmm(draw(N), draw(9, K), draw(K, N), beta=0.5),
    ],
    ids="double,bfloat16,small,none,vector,one row,every second bias,one bias,sparse,matrix added,scaled".split(
        ","
    ),
)
def test_other_products_are_torchs_own(work: Callable[[], object]) -> None:
    with torch.inference_mode():
        expected = work()
        with onednn_products():
            assert not by_onednn(work)
            assert torch.equal(work(), expected)


def test_a_wrong_shape_is_refused_as_torch_refuses_it() -> None:
    with torch.inference_mode(), onednn_products(), pytest.raises(RuntimeError):
        linear(draw(9, K + 1), draw(N, K))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("capabilities", "switched_on", "expected"),
    [
        ({"cpu_name": "AMD EPYC 9755 128-Core Processor", "avx512_f": True}, True, True),
        ({"cpu_name": "AMD EPYC 9755 128-Core Processor", "avx512_f": True}, False, False),
        ({"cpu_name": "AMD EPYC 7742 64-Core Processor", "avx512_f": False}, True, False),
        ({"cpu_name": "Intel(R) Xeon(R) Platinum 8480+", "avx512_f": True}, True, False),
        ({"architecture": "arm64"}, True, False),
    ],
)
def test_only_where_mkl_is_slow(
    capabilities: dict[str, object], switched_on: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", switched_on)
    x, weight = draw(9, K), draw(N, K)

    def run() -> None:
        with inference("cpu"):
            assert not linear(x, weight).requires_grad and torch.is_inference_mode_enabled()

    assert by_onednn(run) is expected
    assert not by_onednn(lambda: linear(x, weight))  # and no longer than that
