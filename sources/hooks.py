"""Hooks on a model's modules: what passes a hookpoint is read, until all are, or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from neurogloss.sources.hookpoints import Hookpoint


class _Stop(Exception):
    """Ends a forward pass that has delivered all its hookpoints."""


@contextmanager
def hooked(
    modules: Mapping[str, Any], hookpoints: Iterable[Hookpoint], passing: Callable[[Hookpoint, Any], Any]
) -> Iterator[None]:
    """While this is open, `passing` gets what passes each hookpoint, and what it returns goes on instead: None
    leaves it as it is.
    """
    handles = []
    for hookpoint in dict.fromkeys(hookpoints):
        module = modules[hookpoint.module]
        if hookpoint.at_input:
            handles.append(module.register_forward_pre_hook(lambda _, args, at=hookpoint: passing(at, args)))
        else:
            handles.append(module.register_forward_hook(lambda _, __, out, at=hookpoint: passing(at, out)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def heard(
    modules: Mapping[str, Any],
    hookpoints: Iterable[Hookpoint],
    read: Callable[[Hookpoint, Any], Any],
    forward: Callable[[], object],
) -> dict[Hookpoint, Any]:
    """What `read` makes of what passes each hookpoint in a forward pass, which is ended once all have been passed.

    Those that are never reached are missing.
    """
    found: dict[Hookpoint, Any] = {}
    wanted = set(hookpoints)

    def keep(hookpoint: Hookpoint, value: Any) -> None:
        found[hookpoint] = read(hookpoint, value)
        if len(found) == len(wanted):
            raise _Stop

    with hooked(modules, wanted, keep):
        try:
            forward()
        except _Stop:
            pass
    return found
