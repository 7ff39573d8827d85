"""Markdown inside of a line: emphasis, links, code and entities as the text they show. Pure.

Line breaks stay where they are, so that a sentence's line can be told. Each pattern runs to the
next mark of its kind at most, so that no text takes more than time in proportion to its length.
"""

import html
import re

_MARKUP = re.compile(r"[`*_~<\[&\\]")
_CODE = re.compile(r"(?<![`\\])(`{1,3})(?!`)([^`]{1,1000})\1(?!`)")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^<>\s]{1,2000})>")
_TAG_NAMES = (
    "a|abbr|b|big|blockquote|br|center|cite|code|dd|del|details|dfn|div|dl|dt|em|figcaption|figure|font"
    "|h[1-6]|hr|i|img|ins|kbd|li|mark|nobr|ol|p|pre|q|s|samp|small|span|strike|strong|sub|summary|sup"
    "|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var|wbr"
)
_TAG = re.compile(rf"</?(?:{_TAG_NAMES})(?:\s[^<>]{{0,1000}})?/?>", re.IGNORECASE)
_NOTE = re.compile(r"\[\^[^\[\]\s]{1,60}\]")
_LINK = re.compile(
    r"!?\[([^\[\]]{0,1000})\](?:\((?:[^()\n]|\([^()\n]{0,300}\)){0,1000}\)|\[[^\[\]]{0,300}\])"
)
_EMPHASIS = (
    re.compile(r"(?<![\\*])\*(?=[^\s*])([^*]{1,1000}?)(?<=[^\s\\*])\*(?!\*)"),
    re.compile(r"(?<!\\)\*\*(?=[^\s*])([^*]{1,1000}?)(?<=[^\s\\])\*\*"),
    re.compile(r"(?<![\\\w])_(?=[^\s_])([^_]{1,1000}?)(?<=[^\s\\_])_(?!\w)"),
    re.compile(r"(?<![\\\w])__(?=[^\s_])([^_]{1,1000}?)(?<=[^\s\\])__(?!\w)"),
    re.compile(r"(?<!\\)~~(?=[^\s~])([^~]{1,1000}?)(?<=[^\s\\])~~"),
)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_ENTITY = re.compile(r"&#?\w{1,32};")
_KEPT = re.compile("\x00(\\d+)\x00")  # a text that has been decoded has no NUL of its own


def shown(text: str) -> str:
    """Return what a reader sees of a text with inline markup."""
    if not _MARKUP.search(text):
        return text
    kept: list[str] = []

    def keep(content: str) -> str:
        kept.append(content)
        return f"\x00{len(kept) - 1}\x00"

    text = _CODE.sub(lambda match: keep(match[2]), text)
    text = _ESCAPE.sub(lambda match: keep(match[1]), text)
    text = _AUTOLINK.sub(lambda match: keep(match[1]), without_comments(text))
    text = _TAG.sub(lambda match: "\n" * match[0].count("\n"), text)
    text = _NOTE.sub("", text)
    for _ in range(2):  # an image in a link
        text = _LINK.sub(r"\1", text)
    for _ in range(2):  # one inside of the other
        for pattern in _EMPHASIS:
            text = pattern.sub(r"\1", text)
    text = _ENTITY.sub(lambda match: " ".join(html.unescape(match[0]).split("\n")), text)
    return _KEPT.sub(lambda match: kept[int(match[1])], text)


def without_comments(text: str) -> str:
    """Return a text without its HTML comments, apart from their line breaks."""
    parts, end = [], 0
    while (start := text.find("<!--", end)) >= 0 and (close := text.find("-->", start + 4)) >= 0:
        parts += [text[end:start], "\n" * text.count("\n", start, close)]
        end = close + 3
    return "".join([*parts, text[end:]])
