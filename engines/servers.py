"""Which of several servers of one model a request goes to.

1. A prompt is cut into blocks of BLOCK characters; each is hashed with all that is before it, as vLLM's prefix
   cache does it with tokens (Kwon et al. 2023, section 4.3).
2. Of the servers that are up, the one that was sent the longest run of these blocks before gets the request, where
   it has not much more to do than the one with the least; otherwise that one does. Of equals, the least busy.
3. A server that was not reached, timed out or broke is down for FIRST_DOWN seconds, twice as long each time it
   still is, up to LAST_DOWN; after that it gets one request at a time until it answers one.
4. Where none is up, the one that may be the first is asked.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

from neurogloss.engines.limiter import Limiter

BLOCK = 256
REMEMBERED = 65_536
"""Blocks of a server that are remembered."""
SLACK = 8
"""Requests that a server may have more to do than another, and be sent what it knows …"""
SHARE = 1.5
"""… beside this many times as much."""
FIRST_DOWN, LAST_DOWN = 1.0, 30.0

Blocks = Sequence[bytes]
"""Hashes of a prompt's blocks, the first first."""


class Server:
    """One of them, as it was found; to be used inside one event loop."""

    def __init__(self, url: str, limiter: Limiter, clock: Callable[[], float] = time.monotonic) -> None:
        self.url, self.limiter = url, limiter
        self._clock = clock
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._failures, self.down_until = 0, 0.0

    @property
    def up(self) -> bool:
        """Whether it may be sent a request: one that was down gets one at a time."""
        return not self._failures or (self._clock() >= self.down_until and not self.limiter.in_flight)

    def known(self, blocks: Blocks) -> int:
        """How many blocks from the first on it was sent before."""
        return next((i for i, block in enumerate(blocks) if block not in self._known), len(blocks))

    def sent(self, blocks: Blocks) -> None:
        """A request with these goes there."""
        for block in blocks:
            self._known[block] = None
            self._known.move_to_end(block)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def answered(self) -> None:
        self._failures = 0

    def lost(self) -> None:
        """A request was not answered, through no fault of its own. What is in flight together counts once."""
        if self._clock() >= self.down_until:
            self.down_until = self._clock() + min(FIRST_DOWN * 2.0**self._failures, LAST_DOWN)
            self._failures += 1
            # What it had in its cache may be gone with it.
            self._known.clear()


class Servers:
    """All of them, at least one."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.all = tuple(servers)

    @property
    def several(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.all) > 1

    def blocks(self, prompt: str) -> Blocks:
        """Of a prompt."""
        digest, found = hashlib.blake2b(digest_size=8), []
        for start in range(0, len(prompt), BLOCK):
            digest.update(prompt[start : start + BLOCK].encode(errors="surrogatepass"))
            found.append(digest.digest())
        return found

    def choose(self, blocks: Blocks, tried: Collection[Server] = ()) -> Server:
        """The one that a prompt goes to, not one that was tried where there is another."""
        fresh = [server for server in self.all if server not in tried] or self.all
        up = [server for server in fresh if server.up]
        if not up:
            return min(fresh, key=lambda server: server.down_until)
        least = min(up, key=lambda server: server.limiter.load)
        best = max(up, key=lambda server: (server.known(blocks), -server.limiter.load))
        return least if best.limiter.load > SHARE * least.limiter.load + SLACK else best

    def another(self, tried: Collection[Server]) -> bool:
        """Whether one that is up was not tried."""
        return any(server.up and server not in tried for server in self.all)
