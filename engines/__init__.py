"""What answers and embeds: a server, a script, a small model in process."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from neurogloss.protocols import ChatModel


def load_chat_model(spec: str, model: str | None = None) -> AbstractAsyncContextManager[ChatModel]:
    """The chat model that `--llm` names: a server's URL, or `scripted:FILE`.

    Both kinds are used as `async with load_chat_model(spec) as chat:`, inside one event loop.

    Raises:
        UserError: `spec` is neither, or the script does not hold.
    """
    if spec.startswith("scripted:"):
        from neurogloss.engines.scripted import ScriptedModel

        return ScriptedModel(spec.removeprefix("scripted:"), model)
    from neurogloss.engines.server import ServerModel

    return ServerModel(spec, model)
