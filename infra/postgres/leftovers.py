"""What a server that was killed leaves behind: a pid file, an orphan that still runs, shared memory still in use.

We hold the folder's lock when these are called, so whatever runs on the data folder is an orphan of an earlier life.
"""

import contextlib
import os
import signal
from pathlib import Path

_PROC = Path("/proc")


def orphan(data: Path) -> int | None:
    """The pid of a postmaster that still runs on `data`, if the pid file names one that truly does."""
    pid = _recorded_pid(data)
    if pid is None or not _alive(pid):
        return None
    return pid if _works_in(pid, data) else None


def disown_pid_file(data: Path) -> None:
    """Make a pid file harmless whose pid belongs to another program by now.

    The file is kept, because its shared-memory line is how PostgreSQL notices backends that outlived their postmaster.
    Our own pid in its first line makes the new server, our child, take the file for a stale one.
    """
    pid = _recorded_pid(data)
    if pid is None or not _alive(pid) or _works_in(pid, data):
        return
    path = data / "postmaster.pid"
    lines = path.read_text().splitlines(keepends=True)
    lines[0] = f"{os.getpid()}\n"
    path.write_text("".join(lines))


def ask_to_stop(pid: int, number: signal.Signals) -> None:
    """Signal an orphan; it may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _recorded_pid(data: Path) -> int | None:
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if pid > 0 else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _works_in(pid: int, data: Path) -> bool:
    """PostgreSQL's processes work in their data folder. Without /proc we cannot tell, and believe the pid file."""
    if not _PROC.is_dir():
        return True
    try:
        return (_PROC / str(pid) / "cwd").resolve(strict=True) == data.resolve()
    except OSError:
        return False
