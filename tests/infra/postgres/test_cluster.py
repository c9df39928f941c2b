"""The embedded server starts, survives, and refuses what would go wrong later."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from horae.infra.postgres import API_ROLE, Cluster, ClusterError, migrate


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an unprivileged server can reach, whoever runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="horae-test-"))
    path.chmod(0o755)
    yield path / "postgres"
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def own_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster of the test's own, to be ill-treated."""
    cluster = Cluster(folder, durable=False)
    cluster.start()
    yield cluster
    cluster.stop()


def test_it_survives_kill_9_of_postgres(own_cluster: Cluster) -> None:
    """What was committed before the server was killed is there after the next start."""
    with psycopg.connect(own_cluster.dsn()) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(own_cluster.pid, signal.SIGKILL)
    assert own_cluster.ended.wait(30)
    own_cluster.start()
    with psycopg.connect(own_cluster.dsn()) as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_second_start_on_one_folder_is_refused(own_cluster: Cluster, folder: Path) -> None:
    """Two owners of one data folder would destroy it, so the second is told who has it."""
    with pytest.raises(ClusterError, match=rf"is in use by process {os.getpid()}: stop that one"):
        Cluster(folder).start()
    assert own_cluster.running


def test_it_keeps_its_port_and_password(folder: Path) -> None:
    """The DSN of a cluster stays the same from start to start."""
    first = Cluster(folder, durable=False)
    first.start()
    dsn = first.dsn()
    first.stop()
    second = Cluster(folder, durable=False)
    second.start()
    try:
        assert second.dsn() == dsn
        assert (folder / "secrets.json").stat().st_mode & 0o777 == 0o600
    finally:
        second.stop()


def outgoing() -> range:
    """The ports that this system gives to outgoing connections."""
    lowest, highest = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    return range(int(lowest), int(highest) + 1)


@pytest.mark.skipif(sys.platform != "linux", reason="where it is told in another place")
def test_its_port_is_given_to_no_outgoing_connection(folder: Path) -> None:
    """Else a client that tries again while the server restarts can be given the server's own port, and keep it away."""
    folder.mkdir()
    (folder / "port").write_text(f"{outgoing()[7]}\n")  # as earlier versions chose it
    cluster = Cluster(folder, durable=False)
    cluster.start()
    try:
        assert cluster.port not in outgoing()
        assert (folder / "port").read_text() == f"{cluster.port}\n"
    finally:
        cluster.stop()


def test_it_takes_as_many_connections_as_were_counted(folder: Path) -> None:
    """Whoever starts it knows how many processes there will be."""
    cluster = Cluster(folder, durable=False, connections=137)
    cluster.start()
    try:
        with psycopg.connect(cluster.dsn()) as conn:
            assert conn.execute("SHOW max_connections").fetchone() == ("137",)
    finally:
        cluster.stop()


def test_it_moves_when_its_port_is_taken(folder: Path) -> None:
    """Another program on the kept port does not keep the server from starting."""
    cluster = Cluster(folder, durable=False)
    cluster.start()
    port = cluster.port
    cluster.stop()
    with socket.create_server(("127.0.0.1", port)):
        cluster.start()
        try:
            assert cluster.port != port
            psycopg.connect(cluster.dsn()).close()
        finally:
            cluster.stop()


def test_a_pid_file_that_names_another_program_is_no_obstacle(folder: Path) -> None:
    """After a reboot the recorded pid may belong to anyone."""
    cluster = Cluster(folder, durable=False)
    cluster.start()
    os.kill(cluster.pid, signal.SIGKILL)
    assert cluster.ended.wait(30)
    pid_file = folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines(keepends=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        pid_file.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
        cluster.start()
        try:
            psycopg.connect(cluster.dsn()).close()
        finally:
            cluster.stop()
            stranger.communicate(b"\n")


_OWNER = """
import sys
from pathlib import Path
from horae.infra.postgres import Cluster
cluster = Cluster(Path(sys.argv[1]), durable=False)
cluster.start()
print(cluster.pid, flush=True)
input()
"""


def test_it_never_outlives_its_parent(folder: Path) -> None:
    """After a kill -9 of the owner, the next start gets the folder, whether the old server has ended by then or not."""
    with subprocess.Popen([sys.executable, "-c", _OWNER, str(folder)], stdin=-1, stdout=-1, text=True) as owner:
        assert owner.stdout is not None
        orphan = int(owner.stdout.readline())
        owner.kill()
    cluster = Cluster(folder, durable=False)
    cluster.start()
    try:
        assert cluster.pid != orphan
        psycopg.connect(cluster.dsn()).close()
    finally:
        cluster.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_a_folder_that_the_servers_user_cannot_reach_is_refused(folder: Path) -> None:
    """The message names the folder that bars the way, instead of changing anybody's permissions."""
    barred = folder.parent
    barred.chmod(0o700)
    with pytest.raises(ClusterError, match=rf"may not enter {barred}, on the way to its data"):
        Cluster(folder).start()
    assert barred.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_folders_that_it_makes_are_open_to_the_servers_user(folder: Path) -> None:
    """A strict umask is no obstacle: the way is ours, the data and the passwords stay closed."""
    umask = os.umask(0o077)
    cluster = Cluster(folder / "deep" / "down", durable=False)
    try:
        cluster.start()
        cluster.stop()
    finally:
        os.umask(umask)
    assert (folder / "deep").stat().st_mode & 0o777 == 0o711
    assert (folder / "deep" / "down" / "data").stat().st_mode & 0o777 == 0o700


def test_no_answer_in_time_is_an_error(folder: Path) -> None:
    """A start that takes longer than allowed ends with an error and no server left behind."""
    cluster = Cluster(folder, durable=False, start_timeout_s=0.0)
    with pytest.raises(ClusterError, match="did not answer within 0 s"):
        cluster.start()
    assert not cluster.running


def test_the_api_role_cannot_bypass_row_level_security(own_cluster: Cluster) -> None:
    """Neither a superuser nor exempt from policies."""
    migrate(own_cluster.dsn())
    with psycopg.connect(own_cluster.dsn(API_ROLE)) as conn:
        query = "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        assert conn.execute(query).fetchone() == (False, False)
