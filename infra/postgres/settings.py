"""The settings that our server runs with; passed on its command line, so the files in its folder say nothing else."""

#: Unless somebody has counted who will connect.
CONNECTIONS = 100

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "128MB",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",  # a checkpoint for every 2 GB or 5 minutes: recovery stays within seconds
    "checkpoint_timeout": "5min",
    "random_page_cost": "1.1",
    "jit": "off",  # statements are short: compiling them costs more than running them
    # The due index turns over quickly: small, frequent vacuums keep it narrow.
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.02",
    "idle_in_transaction_session_timeout": "60s",
    "password_encryption": "scram-sha-256",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
#: For tests: no loss when a process dies, only when the machine does.
FORGETFUL = {"fsync": "off", "synchronous_commit": "on", "full_page_writes": "off"}


def options(port: int, *, durable: bool, connections: int = CONNECTIONS) -> list[str]:
    """The command-line options of `postgres`."""
    settings = {**SETTINGS, **(DURABLE if durable else FORGETFUL), "port": str(port)}
    settings["max_connections"] = str(connections)
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
