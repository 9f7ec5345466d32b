"""What files may be that others made: damaged, cut short, lying about themselves; and tests on many of them."""

from __future__ import annotations

import functools
import inspect
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("NEUROGLOSS_FUZZ", 20))
"""Damaged files a parser is given in a test."""
FIXED = "NEUROGLOSS_FUZZ" not in os.environ
"""Whether they are the same each time: new ones are for `make fuzz` to find."""
SECONDS = int(os.environ.get("NEUROGLOSS_GUIDED", 0))
"""Where not 0, each test is given files for so long, and which ones follows from what they made the parser do."""
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""No shrinking: what breaks a parser is small already."""
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, -(2**70), 1e308, 1e999, -1e999, float("nan"), 0.5]),
    st.sampled_from(["", "a", "../../etc/passwd", "/dev/zero", "\x00", "\ud800", "\u202e{{ 7 * 7 }}", "é" * 300]),
    st.sampled_from([[], {}, [[]], [None], {"": {}}, [0.5, "x"]]),
)
"""JSON that is seldom meant."""

Test = Callable[..., None]


def fuzzed(times: int = 1, **drawn: st.SearchStrategy[Any]) -> Callable[[Test], Test]:
    """As Hypothesis' `given`, with `times` as many examples as are usual here, or guided by coverage."""

    def decorate(test: Test) -> Test:
        chosen = settings(
            max_examples=times * EXAMPLES,
            deadline=None,
            phases=PHASES,
            derandomize=FIXED,
            suppress_health_check=list(HealthCheck),
        )
        if not SECONDS:
            return chosen(given(**drawn)(test))

        @functools.wraps(test)
        def guided(**fixtures: Any) -> None:
            import guidance

            @chosen
            @given(**drawn)
            def once(**values: Any) -> None:
                test(**fixtures, **values)

            guidance.run(once.hypothesis.fuzz_one_input, SECONDS)

        signature = inspect.signature(test)
        rest = [each for name, each in signature.parameters.items() if name not in drawn]
        guided.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        return guided

    return decorate


@st.composite
def damaged(draw: st.DrawFn, content: bytes, suffix: str) -> bytes:
    """The content with one thing changed, or several where coverage says which go together."""
    for _ in range(draw(st.integers(1, 4)) if SECONDS else 1):
        if not content:
            break
        try:
            content = draw(_damaged_once(content, suffix))
        except (ValueError, RecursionError, struct.error):  # no more what its suffix says
            break
    return content


@st.composite
def _damaged_once(draw: st.DrawFn, content: bytes, suffix: str) -> bytes:
    """A value of its JSON, some bytes or its length changed."""
    if suffix == ".safetensors" and draw(st.booleans()):
        size = struct.unpack("<Q", content[:8])[0]
        header = json.dumps(draw(changed(json.loads(content[8 : 8 + size])))).encode()
        return struct.pack("<Q", len(header)) + header + content[8 + size :]
    if suffix in (".json", ".jsonl") and draw(st.integers(0, 4)):
        lines = content.decode().splitlines() if suffix == ".jsonl" else [content.decode()]
        i = draw(st.integers(0, len(lines) - 1))
        lines[i] = json.dumps(draw(changed(json.loads(lines[i]))))
        return "\n".join(lines).encode()
    at = draw(st.integers(0, len(content)))
    match draw(st.sampled_from(["cut", "bytes", "insert", "empty", "bits", "twice", "nested"])):
        case "cut":
            return content[:at]
        case "bytes":
            noise = draw(st.binary(min_size=1, max_size=16))
            return content[:at] + noise + content[at + len(noise) :]
        case "insert":
            return content[:at] + draw(st.binary(min_size=1, max_size=16)) + content[at:]
        case "bits" if at < len(content):
            return content[:at] + bytes([content[at] ^ (1 << draw(st.integers(0, 7)))]) + content[at + 1 :]
        case "twice":
            return content * 2
        case "nested":
            return b"[" * 100_000
    return b""


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """JSON with one value in it replaced, or left out."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    if not keys or not draw(st.integers(0, 5)):
        return draw(VALUES)
    key = draw(st.sampled_from(list(keys)))
    copy = dict(value) if isinstance(value, dict) else list(value)
    if not draw(st.integers(0, 5)):
        del copy[key]
    elif isinstance(value, dict) and not draw(st.integers(0, 7)):
        copy[draw(st.sampled_from(["", "k", "../x", "\x00", "__class__"]))] = copy.pop(key)
    else:
        copy[key] = draw(changed(value[key]))
    return copy


def damage(data: st.DataObject, folder: Path, copy: Path) -> Path:
    """A copy of the folder in which one or two files are damaged, or one is gone."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    for path in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=2, unique=True)):
        if not data.draw(st.integers(0, 15)):
            path.unlink()
        else:
            path.write_bytes(data.draw(damaged(path.read_bytes(), path.suffix)))
    return copy
