"""Words: how texts and questions are cut, the same for every search engine, so that they find the same.

Place in the flow: documents are made of words when they are indexed, questions when they are asked; highlights come
from the same cut. An engine only ever sees words that this module made: letters and digits, folded.

Folding: compatibility forms, case and accents are gone (`Grüße` is `grusse`). Han, Hiragana and Katakana are cut into
single characters, since no spaces part their words; what else a user writes as one word (`user-17`) is a phrase.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from horae.domain.errors import Invalid

#: Longer words are cut.
WORD_LIMIT = 100
#: Words of one document that can be found; those behind them cannot.
DOCUMENT_LIMIT = 10_000
#: Clauses of one question, and words of one phrase.
CLAUSE_LIMIT = 32
QUESTION_LIMIT = 500
#: The shortest beginning of a word that may be followed by `*`.
PREFIX_LEAST = 2

MARK, END_MARK = "<mark>", "</mark>"

_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")
_PLAIN_WORD = re.compile(r"[a-z0-9]+")
_PART = re.compile(r'(?P<not>-)?(?:"(?P<phrase>[^"]*)"(?P<end>"?)|(?P<word>[^\s"]+))')

#: Around the first hit of a fragment.
_BEFORE, _FRAGMENT = 40, 160
#: Only the beginning of a long text is looked at for highlights.
_HIGHLIGHT_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Clause:
    """Words that follow each other. `prefix`: the last one is the beginning of a word; `negated`: must not be there."""

    words: tuple[str, ...]
    prefix: bool = False
    negated: bool = False


def fold(word: str) -> str:
    """A word as it is compared; empty if nothing of it is a letter or a digit."""
    if word.isascii():
        return word.lower()[:WORD_LIMIT]
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in plain.casefold() if c.isalnum())[:WORD_LIMIT]


def words_of(text: str) -> list[str]:
    """The folded words of a text, in order."""
    if text.isascii():
        found = _PLAIN_WORD.findall(text.lower())
        return found if len(text) <= WORD_LIMIT else [word[:WORD_LIMIT] for word in found]
    # Letters with their accents in one: the accents alone are no part of a word.
    return [word for found in _WORD.findall(unicodedata.normalize("NFC", text)) if (word := fold(found))]


def document_words(texts: Iterable[tuple[str, str]]) -> list[str]:
    """The words of a document's texts in order, an empty one between two texts; at most `DOCUMENT_LIMIT`."""
    words: list[str] = []
    for index, (_, text) in enumerate(texts):
        if index:
            words.append("")
        words += words_of(text)
        if len(words) >= DOCUMENT_LIMIT:
            break
    return words[:DOCUMENT_LIMIT]


def tsvector_of(texts: Iterable[tuple[str, str]]) -> str:
    """The words of texts as PostgreSQL reads a tsvector, with their places. Nothing in them needs quoting."""
    return " ".join([f"{word}:{at}" for at, word in enumerate(document_words(texts), 1) if word])


def parse(question: str, field: str = "q") -> tuple[Clause, ...]:
    """The clauses of a question; all must hold. Syntax: words, "phrases", beginnings*, -without and -"without this".

    Nothing to look for gives no clauses. Raises `Invalid` naming `field`.
    """
    if len(question) > QUESTION_LIMIT:
        raise Invalid(
            f"The question has {len(question)} characters; at most {QUESTION_LIMIT} are taken.",
            field=field,
            value=question[:80],
            hint="Ask with fewer words, and narrow by filters.",
        )
    if question.count('"') % 2:
        raise Invalid(
            "A quotation mark is not closed.", field=field, value=question[:80], hint='Write "two words" -"not these".'
        )
    clauses = [clause for part in _PART.finditer(question) if (clause := _clause(part, field)) is not None]
    if len(clauses) > CLAUSE_LIMIT or any(len(clause.words) > CLAUSE_LIMIT for clause in clauses):
        raise Invalid(
            f"The question has more than {CLAUSE_LIMIT} words.",
            field=field,
            value=question[:80],
            hint="Ask with fewer words, and narrow by filters.",
        )
    if clauses and all(clause.negated for clause in clauses):
        raise Invalid(
            "The question only says what must not be there.",
            field=field,
            value=question[:80],
            hint="Add a word to look for: invoice -draft.",
        )
    return tuple(clauses)


def _clause(part: re.Match[str], field: str) -> Clause | None:
    text = part["phrase"] if part["word"] is None else part["word"]
    prefix = part["word"] is not None and text.endswith("*")
    words = tuple(words_of(text))
    if not words:
        return None
    if prefix and len(words) == 1 and len(words[0]) < PREFIX_LEAST and words[0].isascii():
        raise Invalid(
            f"The beginning {text!r} is too short.",
            field=field,
            value=text,
            hint=f"Give at least {PREFIX_LEAST} characters before the *.",
        )
    return Clause(words, prefix, part["not"] is not None)


def matches(words: Sequence[str], clauses: Sequence[Clause]) -> bool:
    """Do the words of a document meet all clauses? What every engine must answer; an empty word parts two texts."""
    return all(_occurs(words, clause) != clause.negated for clause in clauses)


def _occurs(words: Sequence[str], clause: Clause) -> bool:
    sought, last = clause.words[:-1], clause.words[-1]
    for at in range(len(sought), len(words)):
        word = words[at]
        if (word.startswith(last) if clause.prefix else word == last) and (
            not sought or tuple(words[at - len(sought) : at]) == sought
        ):
            return True
    return False


def highlight(text: str, clauses: Collection[Clause]) -> str | None:
    """A fragment of the text around its first hit, as HTML: escaped, each hit between `<mark>` and `</mark>`.

    None: nothing of it was asked for. Each word of a phrase is marked for itself.
    """
    whole, beginnings = set[str](), list[str]()
    for clause in clauses:
        if clause.negated:
            continue
        whole.update(clause.words[:-1] if clause.prefix else clause.words)
        if clause.prefix:
            beginnings.append(clause.words[-1])
    if not whole and not beginnings:
        return None
    text = unicodedata.normalize("NFC", text[:_HIGHLIGHT_LIMIT])
    hits = [
        found.span()
        for found in _WORD.finditer(text)
        if (word := fold(found.group())) in whole or (word and any(word.startswith(b) for b in beginnings))
    ]
    return _marked(text, hits) if hits else None


def _marked(text: str, hits: Sequence[tuple[int, int]]) -> str:
    start = max(0, hits[0][0] - _BEFORE)
    end = min(len(text), max(start + _FRAGMENT, hits[0][1]))
    parts, at = ["…" if start else ""], start
    for begin, stop in hits:
        if stop > end:
            break
        parts += [html.escape(text[at:begin]), MARK, html.escape(text[begin:stop]), END_MARK]
        at = stop
    return "".join((*parts, html.escape(text[at:end]), "…" if end < len(text) else ""))
