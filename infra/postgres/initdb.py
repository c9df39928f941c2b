"""Makes a new data folder, whole or not at all."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from horae.infra.postgres.server_user import ServerUser


class InitdbError(Exception):
    """`initdb` failed; the message is its own."""


def initialise(data: Path, binaries: Path, user: ServerUser, superuser: str, password: str, *, durable: bool) -> None:
    """Make the data folder `data`, owned by `user`, with one role that logs in by `password` (SCRAM).

    Made beside it and renamed, so that a start that is interrupted here leaves nothing that looks like a cluster.
    Raises `InitdbError`.
    """
    unfinished = data.with_name(f"{data.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    user.own(unfinished)
    password_file = data.with_name("initial-password")
    write_private(password_file, password)
    user.own(password_file)
    command = [str(binaries / "initdb"), "-D", str(unfinished), "-U", superuser, "--pwfile", str(password_file)]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += ["--locale=C", "--data-checksums"]
    if not durable:
        command.append("--no-sync")
    try:
        subprocess.run(  # noqa: S603  our own binary and settings
            command,
            user=None if user.is_us else user.uid,
            group=None if user.is_us else user.gid,
            extra_groups=None if user.is_us else [],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise InitdbError(f"initdb failed in {unfinished}: {error.stderr.strip()}") from None
    finally:
        password_file.unlink()
    unfinished.rename(data)


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, from its first moment on."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
