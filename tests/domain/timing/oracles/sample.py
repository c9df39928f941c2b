"""`python -m tests.domain.timing.oracles.sample`: records a seeded sample of what java.time answers.

The sample is what `make test` compares, where there need be no Java. Taken are days before 2026 of zones on which the
JDK's data and ours agree, so that a new release of the zone database seldom moves one.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from zoneinfo import available_timezones

from tests.domain.timing.oracles.instants import ZoneAnswers, differs, read

FOLDER = Path(__file__).parent
SAMPLE = FOLDER / "java_sample.txt"
_SEED, _ZONES, _DAYS, _BEFORE = 20261123, 90, 24, 2026


def ask(names: list[str]) -> list[str]:
    """The lines that the Java program prints about zones. Needs `java` 17 on the path; about two seconds."""
    command = ["java", "-XX:+UseSerialGC", "-Xmx256m", str(FOLDER / "Instants.java")]
    done = subprocess.run(command, input="\n".join(names) + "\n", capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def _lines(there: ZoneAnswers, draw: random.Random) -> list[str]:
    days = [day for day in sorted(there.days) if day.year < _BEFORE]
    first = draw.randrange(max(1, len(days) - _DAYS + 1))  # a run, so that days stay beside their neighbours
    return [
        f"zone {there.name} {there.offset}",
        *(
            f"day {day.toordinal() - 719_163} " + " ".join(",".join(map(str, a)) for a in there.days[day])
            for day in days[first : first + _DAYS]
        ),
    ]


def main() -> None:
    """Write the sample."""
    lines = ask(sorted(available_timezones()))
    agreed = [there for there in read(lines) if there.changes and differs(there) is None]
    draw = random.Random(_SEED)
    chosen = sorted(draw.sample(agreed, _ZONES), key=lambda there: there.name)
    text = [lines[0] + "; made by `python -m tests.domain.timing.oracles.sample`"]
    text += [line for there in chosen for line in _lines(there, draw)]
    SAMPLE.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
