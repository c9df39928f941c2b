"""Writes golden files that are missing, and never touches one that is there: `python -m tests.domain.write_goldens`.

A golden file is what some released version wrote. Changing one means that stored events become unreadable; a new shape
is a new version with an upcaster instead.
"""

import json
from pathlib import Path

from horae.domain import codec
from tests.domain.samples import GOLDENS, sample

GOLDEN = Path(__file__).parents[1] / "golden"


def main() -> None:
    """Write what is missing and say so."""
    for name, body in GOLDENS.items():
        path = GOLDEN / f"{name}.json"
        if not path.exists():
            _, state = codec.dump(sample(body))
            path.write_text(json.dumps(json.loads(state), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"written: {path.name}")


if __name__ == "__main__":
    main()
