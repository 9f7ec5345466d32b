"""Labelling as a LangChain Runnable."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from neurogloss.errors import UserError
from neurogloss.records import Label
from neurogloss.runs.contexts import ContextSettings, label_each
from neurogloss.runs.steps.record import given
from neurogloss.settings import make
from neurogloss.tasks import wait

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable


def label_runnable(
    *, texts: str = "texts", activations: str = "activations", unit: str = "unit", **values: Any
) -> Runnable[Mapping[str, Any] | BaseModel, Label]:
    """A Runnable from a unit's texts and activations to its label.

    Its input is a mapping, or a pydantic object, with `texts` and `activations`, and `unit` where the unit has a
    name, each as `label_contexts` takes it; what else it holds is left alone.

    Args:
        texts, activations, unit: the input's keys.
        values: settings by name, see `ContextSettings`.

    Raises:
        UserError: settings that do not fit; when it is called, as `label_contexts`.
    """
    from langchain_core.runnables import RunnableLambda

    settings = make(ContextSettings, values)

    async def label(value: Mapping[str, Any] | BaseModel) -> Label:
        if not isinstance(value, Mapping | BaseModel):
            raise UserError(f"Expected a mapping with {texts} and {activations}, found {type(value).__name__}.")
        return (await label_each([given(dict(value), settings, texts, activations, unit)], settings))[0]

    return RunnableLambda(lambda value: wait(partial(label, value)), afunc=label, name="label")
