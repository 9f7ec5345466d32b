"""How a service runs: decided by who starts it, never by a request."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Options:
    """What `neurogloss serve` was told."""

    host: str = "127.0.0.1"
    """Address that it listens at; off loopback a token is demanded."""
    allow_hosts: tuple[str, ...] = ()
    """More names that a request may address it by, as behind a proxy."""
    token: str | None = field(default=None, repr=False)
    """What a request has to show; None: nothing."""
    live: bool = False
    """Whether subjects are loaded, to try texts and to steer."""
    llm: str | None = None
    """What jobs ask: as `LabelSettings.llm`."""
    model: str | None = None
    embedder: str | None = None
    """What embeds queries and explanations; by default the packaged model."""
    max_jobs: int = 4
    """Waiting and running at most."""
