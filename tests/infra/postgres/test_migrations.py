"""Migrations run forward, once, and notice a history that is not theirs."""

from pathlib import Path

import psycopg
import pytest

from horae.infra.postgres import MigrationError, migrate
from horae.infra.postgres.migrations import MIGRATIONS
from tests.fixtures.postgres import Database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the real migrations, to be tampered with."""
    for path in MIGRATIONS.glob("*.sql"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_migrating_twice_changes_nothing(database: Database) -> None:
    """A database that is up to date is left alone."""
    assert migrate(database.owner_dsn) == []


def test_a_new_file_is_applied_once(database: Database, folder: Path) -> None:
    """Only what is missing runs."""
    (folder / "0999_more.sql").write_text("CREATE TABLE sys.more (id int)")
    assert migrate(database.owner_dsn, folder) == ["0999_more.sql"]
    assert migrate(database.owner_dsn, folder) == []


def test_a_failing_file_leaves_nothing(database: Database, folder: Path) -> None:
    """A file is applied whole or not at all, and can be tried again."""
    (folder / "0999_more.sql").write_text("CREATE TABLE sys.more (id int); SELECT 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(database.owner_dsn, folder)
    (folder / "0999_more.sql").write_text("CREATE TABLE sys.more (id int)")
    assert migrate(database.owner_dsn, folder) == ["0999_more.sql"]


def test_a_changed_file_is_refused(database: Database, folder: Path) -> None:
    """An applied migration that was edited is an error naming it."""
    path = folder / "0001_log_and_sys.sql"
    path.write_text(path.read_text() + "\n-- edited\n")
    with pytest.raises(MigrationError, match=r"0001_log_and_sys\.sql differs from the file that was applied"):
        migrate(database.owner_dsn, folder)


def test_a_database_of_a_newer_version_is_refused(database: Database, folder: Path) -> None:
    """Older code does not write into a database whose migrations it does not know."""
    (folder / "0999_more.sql").write_text("SELECT 1")
    migrate(database.owner_dsn, folder)
    with pytest.raises(
        MigrationError, match=r"has migration 0999_more\.sql, which this version of Horae does not know"
    ):
        migrate(database.owner_dsn)


def test_a_number_used_twice_is_refused(database: Database, folder: Path) -> None:
    """Two files of one number have no order."""
    (folder / "0001_again.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError, match="have the same number"):
        migrate(database.owner_dsn, folder)


def test_the_owner_is_no_superuser(database: Database) -> None:
    """Migrations and the worker need no administrator."""
    with psycopg.connect(database.owner_dsn) as conn:
        assert conn.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
