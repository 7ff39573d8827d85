"""Text as sentences: where each of them begins and ends. Pure.

A sentence ends with `.`, `!`, `?` or `…` before a space, unless what stands before is an
abbreviation or an initial, or what follows goes on in lower case. The scripts that end sentences
with marks of their own need no space.
"""

import re
from collections.abc import Iterator

_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)|[。！？｡]+[」』”）]*|[।॥؟۔](?=\s)|\n[ \t]*\n"  # noqa: RUF001
)
_BEFORE = re.compile(r"([^\s(\[\"'“‘«]+)$")  # noqa: RUF001
_AFTER = re.compile(r"\s*[\"'“‘«(\[]*(\S{1,40})")  # noqa: RUF001

_NEVER_LAST_WORDS = """
mr mrs ms dr prof st mt ft gen col maj capt lt cpl sgt rev hon pres gov sen rep messrs mme mlle
fig figs no nos nr vol vols p pp ch sec art eq ref refs cf vs viz al ed eds e.g i.e approx ca circa
est bzw z.b d.h u.a usw. hr fr bspw vgl sog ggf inkl p.ex ej pág núm sr sra dra av avda op cit
cap tab abb s. seit
"""
_NEVER_LAST = frozenset(_NEVER_LAST_WORDS.split())
"""Abbreviations that something follows, in lower case and without their last full stop."""

_MAYBE_LAST_WORDS = """
inc ltd co corp llc plc gmbh ag bros jr sr esq etc u.s u.k u.n u.s.a e.u d.c a.m p.m ph.d m.d b.a
m.a b.c a.d b.c.e c.e jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun
dept univ assn bld blvd ave rd sq ft in lb oz kg km cm mm min max avg ext
"""
_MAYBE_LAST = frozenset(_MAYBE_LAST_WORDS.split())
"""Abbreviations that may also end a sentence: what follows tells."""

_STARTERS_WORDS = """
the a an this that these those it he she they we i you his her their its our my in on at by for
from with as after before when while since during although though however but and or so if then
there here what who why how where many most some all both each several one two no not although
according der die das ein eine es er sie wir ich im am in nach le la les un une il elle el los
"""
_STARTERS = frozenset(_STARTERS_WORDS.split())

_ROMAN = re.compile(r"[IVX]{1,4}")
_LONGEST = 1_000  # characters; a longer run without an end is cut at a space


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence of a text begins and ends, without the space around it."""
    start = 0
    for found in _END.finditer(text):
        if found[0].startswith("\n") or _ends(text, found.start(), found.end()):
            yield from _pieces(text, start, found.end())
            start = found.end()
    yield from _pieces(text, start, len(text))


def _ends(text: str, mark: int, end: int) -> bool:
    if text[mark] not in ".…":
        following = _AFTER.match(text, end)
        return text[mark] in "。！？｡।॥؟۔" or following is None or not following[1][0].islower()  # noqa: RUF001
    following = _AFTER.match(text, end)
    if following is None:
        return True
    after = following[1]
    if after[0].islower():
        return False
    if end - mark > 1 and text[mark : mark + 2] != "..":  # a closing quote or bracket follows
        return True
    found = _BEFORE.search(text, max(0, mark - 40), mark)
    return found is None or _is_last(found[1], after)


def _is_last(word: str, after: str) -> bool:
    """Tell whether a word with a full stop ends its sentence, from the word that follows."""
    plain = word.lower()
    if plain in _NEVER_LAST:
        return plain in {"no", "art", "al", "st", "ca", "fr", "seit"} and not (
            after[0].isdigit() or after[0].isupper()
        )
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    if is_initial or plain in _MAYBE_LAST or _is_dotted(plain):
        return after.rstrip(",;:").lower() in _STARTERS and after[0].isupper()
    if word.isdigit() and len(word) <= 2:  # an ordinal (am 3. Oktober), or the number of an item
        return after.rstrip(",;:").lower() in _STARTERS or not after[0].isupper()
    return True


def _is_dotted(word: str) -> bool:
    return "." in word and all(len(part) <= 1 for part in word.split("."))


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield a sentence, in pieces where it is too long to be one."""
    while start < end:
        while start < end and text[start].isspace():
            start += 1
        stop = end
        if end - start > _LONGEST:
            stop = text.rfind(" ", start + 1, start + _LONGEST)
            stop = start + _LONGEST if stop < 0 else stop
        last = stop
        while last > start and text[last - 1].isspace():
            last -= 1
        if last > start:
            yield start, last
        start = stop
