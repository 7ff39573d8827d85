"""Values as Markdown that says what they say and does nothing else. Pure.

What stands in documents and tables is untrusted: it may neither become a heading, a link, an image or
HTML, nor leave its paragraph or cell (CommonMark 0.31, section 2.4, and GitHub's extensions of it).
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

_SPECIAL = re.compile(r"[\\`*\[\]<>|~]")
_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # inside of a word it is no mark
_ENTITY = re.compile(r"&(?=#?\w{1,40};)")
_ADDRESS = re.compile(r"\b(https?|ftp|mailto|xmpp|javascript|data):", re.IGNORECASE)
_HOST = re.compile(r"\bwww\.", re.IGNORECASE)
_AT = re.compile(r"(?<=[\w.+-])@(?=[\w.-])")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])")
_HIDDEN = re.compile(  # controls, and what changes the order or the look of what follows
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_URL = re.compile(r"https?://[^\s<>\"\\^`{|}\x00-\x1f\x7f]{1,2000}")


def inline(text: str) -> str:
    """Return a text as part of a line: in one line, without any mark that means something."""
    text = " ".join(_HIDDEN.sub(" ", text).split())
    text = _SPECIAL.sub(r"\\\g<0>", text)
    text = _UNDERSCORE.sub(r"\\_", text)
    text = _ENTITY.sub("&amp;", text)
    text = _ADDRESS.sub(r"\1\\:", text)
    text = _HOST.sub(lambda match: f"{match[0][:-1]}\\.", text)
    return _AT.sub(r"\\@", text)


def paragraph(text: str) -> str:
    """Return a text as one that may begin a line: not as a heading, an item of a list or a rule."""
    text = inline(text)
    if text[:1] in {"#", "+", "-", "=", ":"}:
        return f"\\{text}"
    return _NUMBERED.sub(r"\1\\\2", text)


def link(url: str) -> str:
    """Return a URL as a link if it is one of the web; any other as text."""
    return f"<{url}>" if _URL.fullmatch(url) else inline(url)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return a table as lines, numbers to the right and rounded for people."""
    is_number = [
        any(row[index] is not None for row in rows)
        and all(_is_number(row[index]) for row in rows if row[index] is not None)
        for index in range(len(columns))
    ]
    return [
        row_of(inline(name.replace("_", " ")) for name in columns),
        row_of("---:" if number else "---" for number in is_number),
        *(row_of(cell(value) for value in row) for row in rows),
    ]


def row_of(cells: Iterable[str]) -> str:
    """Return one row of a table."""
    return "| " + " | ".join(cells) + " |"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def cell(value: Any) -> str:
    """Return a value for people: empty, yes or no, numbers rounded, an instant as ISO 8601."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() | Decimal():
            return _rounded(float(value))
        case datetime() | date():
            return value.isoformat()
    return inline(str(value))


def _rounded(number: float) -> str:
    if abs(number) >= 1 or number == 0:
        return f"{number:,.2f}"
    return f"{number:.3f}" if abs(number) >= 0.1 else f"{number:.3g}"
