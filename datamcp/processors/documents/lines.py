"""What a line of text may be: an item of a list, a row of a table, the rule below a heading. Pure.

Every pattern looks at one line, from its start, and takes time in proportion to its length.
"""

import re

_ITEM = re.compile(r"[ \t]{0,12}(?:[-*+•‣◦–]|\d{1,3}[.)]|[a-zA-Z][.)])[ \t]+(?=\S)")  # noqa: RUF001
_RULE = re.compile(r"[ ]{0,3}([=\-~^\"'`*+#.])\1{2,}[ \t]*")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*){0,200}\|?[ \t]*")
_MAX_HEADING = 100  # characters
_SENTENCE_END = (".", "!", "?", ":", ";", ",", "…")


def item_marker(line: str) -> int:
    """Return how many characters of a line are the marker of a list's item; 0 if there is none."""
    found = _ITEM.match(line)
    return found.end() if found else 0


def starts_list(line: str) -> bool:
    """Tell whether an item may begin a list in the middle of a paragraph.

    A line that wraps may begin with a dash or a year; only `-`, `*`, `+`, `•` and a number 1 are
    taken for a list there (CommonMark 0.31, section 5.2).
    """
    marker = line[: item_marker(line)].strip()
    return marker in {"-", "*", "+", "•", "1.", "1)"}


def rule_character(line: str) -> str:
    """Return the character of a line that consists of it alone, three times or more; else ''."""
    found = _RULE.fullmatch(line)
    return found[1] if found else ""


def is_table_rule(line: str) -> bool:
    """Tell whether a line is the one between a Markdown table's head and its body."""
    return "|" in line and "-" in line and _TABLE_RULE.fullmatch(line) is not None


def looks_like_heading(line: str) -> bool:
    """Tell whether a line that stands alone may be a heading: short, and no sentence."""
    text = line.strip()
    return (
        0 < len(text) <= _MAX_HEADING
        and not text.endswith(_SENTENCE_END)
        and (text[0].isupper() or text[0].isdigit() or not text[0].isascii())
        and any(char.isalpha() for char in text)
    )
