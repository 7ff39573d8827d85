"""The text of an expression as tokens. Pure.

`parameters.NAME`, `outputs.STEP` and `run.FIELD` are one token each, since only the known names
tell where such a name ends; so is what a mapped step calls its element.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from datamcp.errors import ExpressionError
from datamcp.pipelines.expression.names import SOURCES, Names, longest_of

RESERVED = frozenset({"and", "or", "not", "in", "true", "false", "null", "True", "False", "None"})
"""Words that are no names."""

Kind = Literal["number", "text", "word", "symbol", "name", "item", "end"]

_BLANK = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![A-Za-z0-9_])")
_TEXT = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SYMBOL = re.compile(r"==|!=|<=|>=|\$\{|[-<>+*/%()\[\],.}]")
_DOTTED = re.compile(rf"({'|'.join(SOURCES)})[ \t\r\n]*\.[ \t\r\n]*")
_STRANGE = re.compile(r"&&|\|\||[0-9][A-Za-z0-9_.]*|.", re.DOTALL)

_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t", "r": "\r"}
_INSTEAD = {"=": "==", "&&": "and", "||": "or", "&": "and", "|": "or", "!": "not"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression: its text, where it starts (from 0), and what it says.

    `value` is the number, the text without quotes, or the name; `source` is what a name is of.
    """

    kind: Kind
    text: str
    start: int
    value: int | float | str = ""
    source: str = ""

    @property
    def column(self) -> int:
        """Where it starts, counted from 1."""
        return self.start + 1

    def is_symbol(self, *symbols: str) -> bool:
        """Tell whether it is one of these symbols."""
        return self.kind == "symbol" and self.text in symbols

    def is_word(self, *words: str) -> bool:
        """Tell whether it is one of these words."""
        return self.kind == "word" and self.text in words


def tokens(text: str, names: Names) -> Iterator[Token]:
    """Yield the tokens of an expression and, last, its end; raises ExpressionError."""
    start = _skip_blanks(text, 0)
    is_key = False
    while start < len(text):
        token = _key(text, start) if is_key else None
        token = token or _token(text, start, names)
        yield token
        is_key = token.is_symbol(".")
        start = _skip_blanks(text, start + len(token.text))
    yield Token("end", "", start)


def _skip_blanks(text: str, start: int) -> int:
    found = _BLANK.match(text, start)
    return found.end() if found else start


def _key(text: str, start: int) -> Token | None:
    # Behind a dot every word is a key, whatever it means elsewhere.
    found = _WORD.match(text, start)
    return Token("word", found[0], start) if found else None


def _token(text: str, start: int, names: Names) -> Token:
    if found := _NUMBER.match(text, start):
        return _number(found, start)
    if found := _TEXT.match(text, start):
        return Token("text", found[0], start, _unescaped(found, start))
    if found := _DOTTED.match(text, start):
        return _name(found, text, names)
    if item := _item(text, start, names):
        return item
    if found := _WORD.match(text, start):
        return Token("word", found[0], start)
    if found := _SYMBOL.match(text, start):
        return Token("symbol", found[0], start)
    raise _unreadable(text, start)


def _number(found: re.Match[str], start: int) -> Token:
    is_whole = found[1] is None and found[2] is None
    number = int(found[0]) if is_whole else float(found[0])
    if not isfinite(float(found[0])):
        raise ExpressionError(f"the number at column {start + 1} is too large", start + 1)
    return Token("number", found[0], start, number)


def _unescaped(found: re.Match[str], start: int) -> str:
    body_start = start + 1

    def character(escaped: re.Match[str]) -> str:
        if escaped[1] not in _ESCAPES:
            column = body_start + escaped.start() + 1
            shown = escaped[0] if escaped[0].isprintable() else repr(escaped[0])
            message = f"unknown escape {shown} at column {column}; a backslash is written \\\\"
            raise ExpressionError(message, column)
        return _ESCAPES[escaped[1]]

    return _ESCAPED.sub(character, found[1] if found[1] is not None else found[2])


def _name(found: re.Match[str], text: str, names: Names) -> Token:
    source, start = found[1], found.start()
    name = names.read(source, text, found.end())
    if not name:
        column = found.end() + 1
        message = f"expected the name of a {SOURCES[source]} at column {column}"
        raise ExpressionError(message, column)
    return Token("name", text[start : found.end() + len(name)], start, name, source)


def _item(text: str, start: int, names: Names) -> Token | None:
    item = longest_of(names.items, text, start)
    if item is None or item in RESERVED or item in SOURCES:
        return None
    is_called = text.startswith("(", _skip_blanks(text, start + len(item)))
    return None if is_called else Token("item", item, start, item, item)


def _unreadable(text: str, start: int) -> ExpressionError:
    column, found = start + 1, _STRANGE.match(text, start)
    strange = found[0] if found else ""
    if strange in {"'", '"'}:
        return ExpressionError(f"the text that begins at column {column} is never closed", column)
    hint = f"; did you mean {_INSTEAD[strange]!r}?" if strange in _INSTEAD else ""
    return ExpressionError(f"can't read {strange!r} at column {column}{hint}", column)
