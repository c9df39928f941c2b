"""Pages in Prometheus' text format: made one of several, each metric once, and each sample with its source.

Place in the flow: instruments of this process and of others -> *here* -> /metrics. Only what `generate_latest` writes
is read here: a family's samples stand together behind its HELP line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: A sample's name and the beginning of its labels; a line break within a label's value is written as \\n, so that every
#: line that does not begin with # is a sample.
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{)?", re.MULTILINE)
_FAMILY = re.compile(r"^# HELP (\S+) ", re.MULTILINE)


def labelled(page: str, label: str, value: str) -> str:
    """The page with one more label on each sample."""
    pair = f'{label}="{_escaped(value)}"'

    def add(found: re.Match[str]) -> str:
        return f"{found[1]}{{{pair}," if found[2] else f"{found[1]}{{{pair}}}"

    return _SAMPLE.sub(add, page)


def merged(pages: Iterable[str]) -> str:
    """One page: a family of several pages has its HELP and TYPE once and the samples of all. `_created` is left out:
    nobody reads it, and it is a third of a page."""
    heads: dict[str, str] = {}
    samples: dict[str, list[str]] = {}
    for page in pages:
        for name, head, lines in _families(page):
            if not name.endswith("_created"):
                heads.setdefault(name, head)
                samples.setdefault(name, []).append(lines)
    return "".join(head + "".join(samples[name]) for name, head in heads.items())


def _families(page: str) -> Iterable[tuple[str, str, str]]:
    """Name, HELP and TYPE lines, and samples of each family."""
    starts = list(_FAMILY.finditer(page))
    ends = [start.start() for start in starts[1:]] + [len(page)]
    for start, end in zip(starts, ends, strict=False):
        # Not `splitlines`: a label's value may hold what Unicode calls a line break.
        lines = [f"{line}\n" for line in page[start.start() : end].split("\n") if line]
        head = [line for line in lines if line.startswith("#")]
        yield start[1], "".join(head), "".join(line for line in lines if not line.startswith("#"))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
