"""A week of chances as a picture: 7 × 24 cells, darker where an answer is likelier, with a dot where that is sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from horae.api.models.learning import BestTimesShown, HourShown

_CELL, _LEFT, _TOP = 26, 52, 62
_WIDTH, _HEIGHT = _LEFT + 24 * _CELL + 12, _TOP + 7 * _CELL + 44


def heat_map(shown: BestTimesShown) -> str:
    """The SVG; each cell has its numbers as a title."""
    most = max((hour.chance for hours in shown.hours.values() for hour in hours), default=0.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="11">',
        f"<title>Best times of {escape(shown.recipient)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="12" y="20" font-size="14" font-weight="600">Best times of {escape(shown.recipient)}</text>',
        f'<text x="12" y="37" fill="#555">{escape(_summary(shown))}</text>',
    ]
    parts += [f'<text x="{_LEFT + hour * _CELL}" y="{_TOP - 6}" fill="#555">{hour}</text>' for hour in range(0, 24, 3)]
    for row, (day, hours) in enumerate(shown.hours.items()):
        parts.append(f'<text x="12" y="{_TOP + row * _CELL + 17}" fill="#555">{day[:3].title()}</text>')
        parts += _cells(row, day, hours, most)
    parts.append(
        f'<text x="{_LEFT}" y="{_HEIGHT - 14}" fill="#555">darker: likelier, up to {most:.1%}; the dot shrinks '
        "as the 95 % interval widens</text>"
    )
    return "".join([*parts, "</svg>"])


def _summary(shown: BestTimesShown) -> str:
    best = "; ".join(f"{moment.day} {moment.at} ({moment.level}, {moment.confidence:.0%})" for moment in shown.best)
    seen = shown.evidence
    return f"{best}; {seen.answered:.0f} of {seen.asked:.0f} messages answered, seen {seen.active:.0f} times"


def _cells(row: int, day: str, hours: Sequence[HourShown], most: float) -> list[str]:
    cells = []
    for hour, shown in enumerate(hours):
        x, y = _LEFT + hour * _CELL, _TOP + row * _CELL
        share = shown.chance / most
        sure = max(0.0, 1.0 - (shown.high - shown.low) / (2 * max(shown.chance, 1e-9)))
        title = f"{day} {hour}:00: {shown.chance:.1%} ({shown.low:.1%} to {shown.high:.1%})"
        cells.append(
            f'<g><title>{title}</title><rect x="{x}" y="{y}" width="{_CELL - 2}" height="{_CELL - 2}" rx="3" '
            f'fill="{_colour(share)}"/><circle cx="{x + _CELL / 2 - 1:g}" cy="{y + _CELL / 2 - 1:g}" '
            f'r="{1 + 4 * sure:.1f}" fill="{"#fff" if share > 0.55 else "#0b3d5c"}" fill-opacity="0.7"/></g>'
        )
    return cells


def _colour(share: float) -> str:
    """From nearly white to a deep blue."""
    pale, deep = (240, 246, 250), (11, 61, 92)
    mixed = [round(a + (b - a) * min(max(share, 0.0), 1.0)) for a, b in zip(pale, deep, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def weekdays(chances: Mapping[str, list[HourShown]]) -> dict[str, list[HourShown]]:
    """The seven days, from the hours of a weekday and of a weekend day."""
    names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    return {name: chances["weekend" if index >= 5 else "weekday"] for index, name in enumerate(names)}
