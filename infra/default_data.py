"""Where an installation lies when nobody says: `.horae` here, or where PostgreSQL's user can go.

Started as root, PostgreSQL runs as another user. A checkout in a private folder (below /root, a temporary folder of
mode 0700) is closed to that user; a named folder is then refused with the reason, but a newcomer who named none is
served from /var/lib/horae instead, in a folder that belongs to this place.
"""

import os
from hashlib import blake2b
from pathlib import Path

from horae.infra.postgres.programs import SHARED
from horae.infra.postgres.server_user import UnreachableError, server_user

HERE = Path(".horae")


def default_data_folder(shared: Path = SHARED) -> Path:
    """The folder for this working directory; the same one each time."""
    if os.geteuid() != 0 or (HERE / "postgres").exists():
        return HERE
    here = Path.cwd()
    try:
        reachable = server_user(HERE / "postgres" / "data").may_enter(here)
    except UnreachableError:
        return HERE  # the start will say what is wrong
    if reachable:
        return HERE
    return shared / f"{here.name}-{blake2b(bytes(here), digest_size=4).hexdigest()}"
