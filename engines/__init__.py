"""What answers and embeds: a server, a script, a small model in process."""

from __future__ import annotations

from pathlib import Path

from neurogloss.engines.usage import RecordedModel


def load_chat_model(
    spec: str,
    model: str | None = None,
    *,
    answers: Path | None = None,
    concurrency: int = 256,
    timeout: float = 600.0,
    pictures: bool = True,
) -> RecordedModel:
    """The chat model that `--llm` names: URLs of servers, `openai`, or `scripted:FILE`; its calls are recorded.

    Both kinds are used as `async with load_chat_model(spec) as chat:`, inside one event loop.

    Args:
        spec: the URL, several of servers of one model separated by commas, or the script.
        model: name on the server; None takes its only one. Of a script: what the ledger calls it.
        answers: file in which a server's answers are kept, and from which they are served again.
        concurrency: requests in flight at most, at each server.
        timeout: seconds for one request.
        pictures: whether it is shown pictures, where it can see them.

    Raises:
        UserError: `spec` is neither, the script does not hold, or the file of answers cannot be used.
    """
    if spec.startswith("scripted:"):
        from neurogloss.engines.scripted import ScriptedModel

        return RecordedModel(ScriptedModel(spec.removeprefix("scripted:"), model), pictures)
    from neurogloss.engines.server import ServerModel

    server = ServerModel(spec, model, concurrency=concurrency, timeout=timeout)
    if answers is None:
        return RecordedModel(server, pictures)
    from neurogloss.engines.answers import StoredModel

    return RecordedModel(StoredModel(server, answers), pictures)
