"""Picks TCP ports that stay ours while a server is down.

Place in the flow: the servers that we run (`infra/postgres`, `infra/stack`) ask here where to listen.

Not from the range that the system takes for outgoing connections: there a client that tries again and again while its
server restarts can be given the server's own port, and the server cannot come back.
"""

from __future__ import annotations

import random
import socket
from typing import Final

#: Below what Linux (32768), macOS and BSD (49152) give to outgoing connections.
_LOWEST: Final = 20_000
_HIGHEST: Final = 32_000


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    while not is_free(port := random.randint(_LOWEST, _HIGHEST)):  # noqa: S311  no secret
        pass
    return port


def lasts(port: int) -> bool:
    """Whether no outgoing connection is ever given it."""
    return _LOWEST <= port <= _HIGHEST


def is_free(port: int) -> bool:
    """Whether a server could listen on it now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
