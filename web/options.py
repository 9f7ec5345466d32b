"""Options of a service. Whoever starts it decides them, never a request."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `neurogloss serve`."""

    host: str = "127.0.0.1"
    """Address to listen at. Any but loopback needs a token."""
    allow_hosts: tuple[str, ...] = ()
    """Further names that requests may address it by, such as behind a proxy."""
    token: str | None = field(default=None, repr=False)
    """Token that a request must show. None requires none."""
    live: bool = False
    """Load models, to try texts and to steer."""
    llm: str | None = None
    """LLM that jobs use, as `LabelSettings.llm`."""
    model: str | None = None
    embedder: str | None = None
    """Embedding model for queries and explanations. Defaults to the packaged one."""
    max_jobs: int = 4
    """Jobs that may wait and run at most."""
