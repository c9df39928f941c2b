"""`python -m tests.e2e.stack.tied PARENT COMMAND...`: the `horae` command, which ends at once when PARENT does.

A test run that is killed leaves nothing behind: parts that run alone have no supervisor to see to it.
"""

from __future__ import annotations

import sys

from horae.infra.cli.main import main
from horae.infra.processes.lifeline import tie_to_parent

if __name__ == "__main__":
    tie_to_parent(int(sys.argv[1]))
    sys.argv[:] = ["horae", *sys.argv[2:]]
    main()
