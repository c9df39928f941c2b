"""The data folder: one installation's lock, keys and files, and which of them may be made anew.

Place in the flow: opened by the supervisor before anything else; the CLI reads the API key from it. The folder itself
is open to others (PostgreSQL may run as another user); every secret in it is readable by its owner only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
from pathlib import Path
from typing import TextIO

from horae.infra.secrets import write_private
from horae.infra.setting_sources import SettingsError

#: What a generated API key begins with, so that people and scanners know it.
KEY_PREFIX = "hk_"


class InUseError(Exception):
    """The data folder or the port belongs to another process; the message says which and what to do."""


class Installation:
    """The files of one data folder. `lock` keeps a second `horae run` out until this process ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._lock: TextIO | None = None

    @property
    def postgres(self) -> Path:
        """Folder of the embedded server."""
        return self.folder / "postgres"

    @property
    def releases(self) -> Path:
        """Where the channel `log:` writes."""
        return self.folder / "releases.ndjson"

    @property
    def api_key_file(self) -> Path:
        """The key of the tenant `default` that the local CLI uses."""
        return self.folder / "api-key"

    def tell_url(self, url: str) -> None:
        """Keep where this installation listens, so that commands find it without being told its port."""
        (self.folder / "url").write_text(url + "\n", encoding="ascii")

    def lock(self) -> None:
        """Make the folder if it is new, and keep it to ourselves. Raises `InUseError` or `SettingsError`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / "lock").open("a+", encoding="ascii")
        except OSError as error:
            raise SettingsError(
                f"The data folder {self.folder} cannot be used ({error.strerror}). Choose another with --data."
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise InUseError(
                f"The data folder {self.folder} is in use by another `horae run` (process {holder or 'unknown'}). "
                "Stop that one, or give this one another folder with --data (or `make run DATA=...`)."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._lock = file

    def api_key(self, given: str | None) -> tuple[str, bool]:
        """The key of the tenant `default`, and whether it was made just now; kept for the CLI and the next start."""
        if given is not None:
            if not given.isascii() or not given.isprintable() or " " in given or not given:
                raise SettingsError("The setting api_key must be visible ASCII without spaces.")
            write_private(self.api_key_file, given + "\n")
            return given, False
        if (kept := read_api_key(self.folder)) is not None:
            return kept, False
        text = KEY_PREFIX + secrets.token_urlsafe(32)
        write_private(self.api_key_file, text + "\n")
        return text, True


def read_api_key(folder: Path) -> str | None:
    """The key kept in a data folder; None if there is none, or it is not ours to read."""
    try:
        return (folder / "api-key").read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def read_url(folder: Path) -> str | None:
    """Where the installation of this data folder listens, or listened last; None if it has never run."""
    try:
        return (folder / "url").read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, to be inherited by the API's process; so a restart of it refuses nobody.

    Raises `InUseError` when the port is taken, `SettingsError` when the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise InUseError(
                f"Port {port} on {host} is taken by another program. "
                "Stop it, or choose another with --port (or `make run PORT=...`)."
            ) from None
        raise SettingsError(
            f"Cannot listen on {host}:{port} ({error.strerror}). Choose others with --host, --port."
        ) from None
    listener.set_inheritable(True)
    return listener
