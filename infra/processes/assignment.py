"""What a supervised process is told at its start: its settings, and the socket to listen on.

Place in the flow: supervisor -> fork server, over a socket -> the process. So no password ever stands in an argument or
an environment variable.
"""

from __future__ import annotations

import json
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

    def to_line(self) -> str:
        """One line of JSON, secrets in clear."""
        values: dict[str, Any] = {}
        for name in Settings.model_fields:
            value = getattr(self.settings, name)
            values[name] = value.get_secret_value() if isinstance(value, SecretStr) else value
        facts = {"settings": values, "listen_fd": self.listen_fd}
        return json.dumps(facts, default=str)

    @classmethod
    def of(cls, line: str) -> Assignment:
        """From the line of `to_line`."""
        facts = json.loads(line)
        return cls(Settings(**facts["settings"]), facts["listen_fd"])
