"""Text as words: what is found in it, how a word is written, and what it is at its root. Pure.

A *surface* is a word as it stands in the text: `U.S.`, `long-term`, `2008-07-11`, `l'économie`. Its
*pieces* are the words it is looked up by, in lower case: `long-term` is `long`, `term` and
`longterm`. A piece's *stem* is what its forms have in common, without accents: the Snowball
algorithm of the text's language, after the irregular forms of English, which no rule tells.

Scripts without spaces between words are read as overlapping pairs of characters, which finds
Chinese and Japanese about as well as words would (Nie, Gao, Zhang & Zhou 2000).
"""

import re
import unicodedata

import snowballstemmer

from datamcp.agent_types.reading.forms import IRREGULAR
from datamcp.agent_types.reading.language import ENGLISH, STOP_WORDS

# Marks that belong to the letter before them, and are no letters to `\w`.
_MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0903\u093a-\u094f\u0955-\u0957"
    "\u0962\u0963\u0981-\u0983\u09bc\u09be-\u09cd\u0a01-\u0a03\u0a3c-\u0a4d\u0b82\u0bbe-\u0bcd"
    "\u0c00-\u0c04\u0c3e-\u0c4d\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
)
_SURFACE = re.compile(
    rf"[\w{_MARKS}]+(?:(?:['’&.\-‑]|(?<=\d)[,:/])[\w{_MARKS}]+)*(?:\+\+|\#)?"  # noqa: RUF001
)
_ASCII_SURFACE = re.compile(r"\w+(?:(?:['&.-]|(?<=\d)[,:/])\w+)*(?:\+\+|#)?", re.ASCII)
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]+"
)

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
_WITH_UNIT = re.compile(r"(\d+(?:\.\d+)?)([a-z]{1,4})")
_INITIALS = re.compile(r"[^\W\d_](?:[.&][^\W\d_])+")
_PARTS = re.compile(r"[^'’&.,:/_\-‑]+")  # noqa: RUF001
_ELISIONS = "c d j l m n s t qu jusqu lorsqu puisqu un dell all dall nell sull"
_ELIDED = frozenset(_ELISIONS.split())
_MONTH_NAMES = """
january february march april may june july august september october november december
"""
_MONTHS = _MONTH_NAMES.split()
_LETTERS = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}  # noqa: RUF001
)
_LONGEST = 60  # characters; a longer surface is no word


def surfaces(text: str) -> list[str]:
    """Return the words of a text as they stand in it, in order."""
    if text.isascii():
        return _ASCII_SURFACE.findall(text)
    text = unicodedata.normalize("NFC", text)
    return _SURFACE.findall(_SPACELESS.sub(_pairs, text))


def words_of(text: str) -> list[str]:
    """Return a text cut at its spaces: much faster than `surfaces`, which tells the rest of a word.

    Scripts without spaces are cut into pairs of characters here, too.
    """
    if text.isascii():
        return text.split()
    return _SPACELESS.sub(_pairs, text).split()


def _pairs(match: re.Match[str]) -> str:
    run = match[0]
    pairs = [run[i : i + 2] for i in range(len(run) - 1)] or [run]
    return f" {' '.join(pairs)} "


def pieces(surface: str) -> tuple[str, ...]:
    """Return the words that a surface is looked up by, the whole one last; none if it is too long."""
    if len(surface) > _LONGEST:
        return ()
    if _is_acronym(surface):
        return (surface.replace(".", ""),)
    word = _folded(surface)
    if word.isalpha():
        return (word,)
    return tuple(dict.fromkeys(filter(None, _parted(word))))


def _is_acronym(surface: str) -> bool:
    """Tell whether a word in capitals would be a stop word in lower case: US, IT, WHO."""
    plain = surface.replace(".", "")
    return 1 < len(plain) <= 4 and plain.isupper() and plain.lower() in STOP_WORDS[ENGLISH]


def _folded(surface: str) -> str:
    """Return a word in lower case, without its possessive and outer underscores."""
    word = surface.casefold().replace("’", "'").replace("‑", "-").strip("_")  # noqa: RUF001
    return word.removesuffix("'s").rstrip("'")


def without_accents(word: str) -> str:
    """Return a lower-case word in letters without accents."""
    decomposed = unicodedata.normalize("NFKD", word.translate(_LETTERS))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _parted(word: str) -> list[str]:
    if _THOUSANDS.fullmatch(word):
        return [_number(word.replace(",", ""))]
    if date := _ISO_DATE.fullmatch(word):
        month = int(date[2])
        named = [_MONTHS[month - 1]] if 1 <= month <= 12 else []
        return [date[1], *named, str(int(date[3])), word]
    if _NUMBER.fullmatch(word):
        return [_number(word)]
    if ordinal := _ORDINAL.fullmatch(word):
        return [ordinal[1]]
    if unit := _WITH_UNIT.fullmatch(word):
        return [_number(unit[1]), unit[2], word]
    if _INITIALS.fullmatch(word):
        return [word.replace(".", "").replace("&", ""), *([word] if "&" in word else [])]
    parts = _PARTS.findall(word)
    if len(parts) < 2:
        return [word]
    if parts[0] in _ELIDED and "'" in word:
        return ["".join(parts[1:])]
    return [*(_number(part) for part in parts), "".join(parts)]


def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        return text
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


class Stems:
    """Finds the stems of one language; each word once. Not to be shared between threads."""

    def __init__(self, language: str) -> None:
        """Take a language that snowballstemmer knows."""
        self._irregular = IRREGULAR if language == ENGLISH else {}
        self._stemmer = snowballstemmer.stemmer(language)
        self._known: dict[str, str] = {}

    def of(self, piece: str) -> str:
        """Return the stem of a piece; numbers and acronyms are their own."""
        stem = self._known.get(piece)
        if stem is None:
            stem = self._known[piece] = self._stem(piece)
        return stem

    def _stem(self, piece: str) -> str:
        if not piece.isalpha() or piece.isupper():
            return piece
        return without_accents(self._stemmer.stemWord(self._irregular.get(piece, piece)))
