"""Which system user the server runs as, and whether that user can reach its files.

PostgreSQL refuses to run as root. Started as root we run it as an unprivileged user that exists already; started as
anyone else, as ourselves.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: Tried in this order when root starts a new cluster.
CANDIDATES = ("horae", "postgres", "nobody")


class UnreachableError(Exception):
    """The server's user cannot reach a folder; the message names the folder that bars the way and what to do."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The user that owns the server's files and runs it."""

    name: str
    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        """Whether no change of user is needed."""
        return self.uid == os.geteuid()

    def own(self, path: Path) -> None:
        """Hand a file or folder that we made to the server."""
        if not self.is_us:
            os.chown(path, self.uid, self.gid)

    def may_enter(self, folder: Path) -> bool:
        """Whether the user may pass through the folder; asked of the system itself, so that ACLs count."""
        return self._run(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)])

    def may_run(self, program: Path) -> bool:
        """Whether the user can start the program (its libraries included)."""
        return self._run([str(program), "--version"])

    def _run(self, command: list[str]) -> bool:
        try:
            done = subprocess.run(  # noqa: S603  our own binary and folders
                command,
                user=None if self.is_us else self.uid,
                group=None if self.is_us else self.gid,
                extra_groups=None if self.is_us else [],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                check=False,
            )
        except PermissionError:
            return False
        return done.returncode == 0

    def require_way_to(self, folder: Path, what: str, server: str = "PostgreSQL") -> None:
        """Raise `UnreachableError` naming the first parent folder that the user may not enter."""
        for step in [*reversed(folder.parents), folder]:
            if not self.may_enter(step):
                raise UnreachableError(
                    f"{server} runs as the user {self.name!r}, who may not enter {step}, on the way to {what} "
                    f"{folder}: put it where that user can go (such as /var/lib/horae), "
                    f"or allow the way with chmod o+x {step}"
                )


def server_user(data: Path) -> ServerUser:
    """The owner of an existing data folder, else ourselves, else (as root) the first unprivileged candidate."""
    uid = os.geteuid()
    if uid != 0:
        return _of_id(uid)
    if data.exists() and data.stat().st_uid != 0:
        return _of_id(data.stat().st_uid)
    for name in CANDIDATES:
        try:
            return _named(pwd.getpwnam(name))
        except KeyError:
            continue
    raise UnreachableError(
        "PostgreSQL does not run as root and there is no unprivileged user to run it as: "
        "useradd --system horae, or start Horae as an ordinary user"
    )


def _of_id(uid: int) -> ServerUser:
    try:
        return _named(pwd.getpwuid(uid))
    except KeyError:
        raise UnreachableError(
            f"PostgreSQL would run as user id {uid}, which has no name on this system and so is refused by it: "
            "add the id to /etc/passwd, or start Horae as a user that has a name"
        ) from None


def _named(entry: pwd.struct_passwd) -> ServerUser:
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
