"""Bytes of unknown origin to text: byte order marks first, then UTF-8, then a guess that is said aloud."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from charset_normalizer import from_bytes

from horae.commands.importing import ImportFileError

_MARKS = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
]


@dataclass(frozen=True, slots=True)
class Text:
    """The decoded text, which encoding it was in, and whether that had to be guessed."""

    text: str
    encoding: str
    guessed: bool = False


def decode(data: bytes, encoding: str | None = None) -> Text:
    """Decode a file; `encoding` overrides every guess. Raises `ImportFileError`, naming the first bad byte."""
    for mark, name in _MARKS:
        if data.startswith(mark) and encoding is None:
            return Text(_decode(data[len(mark) :], name), name)
    if encoding is not None:
        return Text(_decode(data, encoding).removeprefix("\ufeff"), encoding)
    try:
        return Text(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        best = from_bytes(data).best()
        if best is None:
            raise ImportFileError(
                f"The file is not UTF-8 (byte {error.start}), and no guess fits: name its encoding with --encoding."
            ) from None
        return Text(_decode(data, best.encoding), best.encoding, guessed=True)


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except LookupError:
        raise ImportFileError(f"{encoding!r} is no known encoding: try utf-8, utf-16, cp1252 or latin-1.") from None
    except UnicodeDecodeError as error:
        raise ImportFileError(
            f"The file is not {encoding}: byte {error.start} cannot be read. Name another with --encoding."
        ) from None
