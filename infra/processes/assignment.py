"""What a supervised process is told at its start: its settings, and the socket to listen on.

Place in the flow: the supervisor writes it as one line into the child's standard input, which then stays open: its end
tells the child that the supervisor is gone. So no password ever stands in an argument or an environment variable.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from horae.infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Assignment:
    """Settings with the secrets filled in (both DSNs, the master key)."""

    settings: Settings
    #: An open listening socket, inherited; None: the process opens its own.
    listen_fd: int | None = None

    def to_line(self) -> bytes:
        """One line of JSON, secrets in clear."""
        values: dict[str, Any] = {}
        for name in Settings.model_fields:
            value = getattr(self.settings, name)
            values[name] = value.get_secret_value() if isinstance(value, SecretStr) else value
        facts = {"settings": values, "listen_fd": self.listen_fd}
        return json.dumps(facts, default=str).encode() + b"\n"

    @classmethod
    def read(cls, fd: int = 0) -> Assignment:
        """Read the one line, and no byte further."""
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = os.read(fd, 1)
            if not byte:
                raise EOFError("the supervisor closed the pipe before it said what to do")
            line += byte
        facts = json.loads(line)
        return cls(Settings(**facts["settings"]), facts["listen_fd"])
