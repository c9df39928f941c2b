"""Brings a database's schemas to the version of this code: numbered SQL files, forward only.

Place in the flow: run by the process that starts first, before anything opens the log. Safe to run from several
processes at once, and on a database that is up to date already.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

MIGRATIONS = Path(__file__).parent.parent / "migrations"

#: Session advisory lock that lets one migrating process at a time into a database.
MIGRATION_LOCK = 7235418830166530

_FILE_NAME = re.compile(r"(?P<version>\d{4})_[a-z0-9_]+\.sql")


class MigrationError(Exception):
    """The database and the migration files do not fit together; the message says which file and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name, its SQL and the SHA-256 of it."""

    version: int
    name: str
    script: str
    checksum: str


def read_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """The folder's migrations by ascending number. Raises `MigrationError` for a bad name or a number used twice."""
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named like 0001_what_it_does.sql")
        script = path.read_text(encoding="utf-8")
        version = int(match["version"])
        if version in found:
            raise MigrationError(f"{path.name} and {found[version].name} have the same number; renumber the newer one")
        found[version] = Migration(version, path.name, script, hashlib.sha256(script.encode()).hexdigest())
    return list(found.values())


def migrate(dsn: str, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing, each file in a transaction of its own; gives the names applied now.

    `dsn` names the owner role, which need not be a superuser. Raises `MigrationError` when an applied file has changed
    since or is gone (a newer version of the code was here), and when the API's role could bypass row-level security.
    """
    migrations = read_migrations(folder)
    applied_now: list[str] = []
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))  # released with the connection
        conn.execute("CREATE SCHEMA IF NOT EXISTS sys")
        conn.execute(
            "CREATE TABLE IF NOT EXISTS sys.migrations (version int PRIMARY KEY, name text NOT NULL, "
            "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        rows = conn.execute("SELECT version, name, checksum FROM sys.migrations").fetchall()
        applied = {version: (name, checksum) for version, name, checksum in rows}
        _check_history(applied, migrations)
        for migration in migrations:
            if migration.version in applied:
                continue
            with conn.transaction():
                conn.execute(sql.SQL(migration.script))
                conn.execute(
                    "INSERT INTO sys.migrations (version, name, checksum) VALUES (%s, %s, %s)",
                    (migration.version, migration.name, migration.checksum),
                )
            applied_now.append(migration.name)
        _check_api_role(conn)
    return applied_now


def _check_history(applied: dict[int, tuple[str, str]], migrations: list[Migration]) -> None:
    known = {migration.version: migration for migration in migrations}
    for version, (name, checksum) in sorted(applied.items()):
        if version not in known:
            raise MigrationError(
                f"the database has migration {name}, which this version of Horae does not know: "
                "a newer version was here; run that one, or restore the backup taken before it"
            )
        if known[version].checksum != checksum:
            raise MigrationError(
                f"{known[version].name} differs from the file that was applied to this database: "
                "applied migrations never change; restore the file and put the change into a new one"
            )


def _check_api_role(conn: psycopg.Connection[tuple[object, ...]]) -> None:
    row = conn.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = 'horae_api'").fetchone()
    if row is not None and row[0]:
        raise MigrationError(
            "role horae_api could read every tenant's rows: ALTER ROLE horae_api NOSUPERUSER NOBYPASSRLS"
        )
