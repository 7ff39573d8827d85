"""Texts in pieces of a size: nothing is lost, and nothing is cut that need not be."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.processors.documents.document import Block, BlockKind
from datamcp.processors.documents.sentences import spans
from datamcp.processors.documents.split import BETWEEN, by_size, placed, sections

WORDS = st.text(st.sampled_from("abcXYZäß1,-"), min_size=1, max_size=30)
SENTENCES = st.lists(WORDS, min_size=1, max_size=12).map(lambda words: " ".join(words) + ". ")
TEXTS = st.one_of(
    st.lists(st.one_of(SENTENCES, st.just("\n\n"), st.just("  ")), max_size=30).map("".join),
    st.text(st.sampled_from("ab .!?\n\t\u3000。中Ä"), max_size=300),
)
SIZES = st.integers(1, 200)


def pieces(text: str, size: int, overlap: int = 0) -> list[str]:
    """Return the pieces of a text as text."""
    return [text[one.start : one.end] for one in by_size(text, size, overlap)]


@given(TEXTS, SIZES)
def test_pieces_without_overlap_are_the_text(text: str, size: int) -> None:
    """Joined, they are what was split, to the last space."""
    assert "".join(pieces(text, size)) == text


@given(TEXTS, SIZES, st.integers(0, 100))
def test_fresh_parts_are_the_text_and_overlaps_are_true(text: str, size: int, overlap: int) -> None:
    """Each piece begins in the one before it, by no more than the overlap, and goes on after it."""
    overlap = min(overlap, size // 2)
    found = list(by_size(text, size, overlap))
    assert "".join(text[one.fresh : one.end] for one in found) == text
    before = 0
    for one in found:
        assert one.fresh == before
        assert 0 <= one.fresh - one.start <= overlap
        assert one.end > one.fresh
        before = one.end


@given(TEXTS, SIZES, st.integers(0, 100))
def test_no_word_is_cut_and_only_a_long_one_is_too_large(
    text: str, size: int, overlap: int
) -> None:
    """Every cut has a space before it or ends a sentence of a script that needs none."""
    for one in by_size(text, size, min(overlap, size // 2)):
        for cut in (one.start, one.fresh, one.end):
            if 0 < cut < len(text):
                assert text[cut - 1].isspace() or text[cut - 1] in "。！？"  # noqa: RUF001
        if one.end - one.start > size:
            assert one.start == one.fresh
            assert not re.search(r"\S\s+\S", text[one.fresh : one.end].lstrip())


@given(st.lists(SENTENCES, min_size=1, max_size=10).map("".join), SIZES, st.integers(0, 100))
def test_no_sentence_is_cut_that_fits(text: str, size: int, overlap: int) -> None:
    """A cut within a sentence is in one that is larger than a piece."""
    starts = [start for start, _ in spans(text)]
    sentences = list(zip(starts, [*starts[1:], len(text)], strict=True))
    for one in by_size(text, size, min(overlap, size // 2)):
        for start, end in sentences:
            if start < one.end < end:
                assert end - start > size


def test_sentences_stay_whole_and_come_again() -> None:
    """The last sentence of a piece begins the next one, or as many of its words as may."""
    text = "One is here. Two is here. Three is here. Four is here."
    assert pieces(text, 30, 13) == [
        "One is here. Two is here. ",
        "Two is here. Three is here. ",
        "is here. Four is here.",
    ]
    assert pieces(text, 30, 15) == [
        "One is here. Two is here. ",
        "Two is here. Three is here. ",
        "Three is here. Four is here.",
    ]


def test_a_long_sentence_is_cut_between_words() -> None:
    """With the last words again, where no sentence is short enough."""
    assert pieces("aaa bbb ccc ddd eee fff", 12, 4) == [
        "aaa bbb ccc ",
        "ccc ddd eee ",
        "eee fff",
    ]


@pytest.mark.parametrize("text", ["", " ", "\n\n \n"])
def test_a_text_without_words(text: str) -> None:
    """What is empty is kept as it is."""
    assert "".join(pieces(text, 20)) == text


BLOCKS = [
    Block(BlockKind.PARAGRAPH, "Before."),
    Block(BlockKind.HEADING, "One", level=1),
    Block(BlockKind.PARAGRAPH, "First."),
    Block(BlockKind.ITEM, "Item."),
    Block(BlockKind.HEADING, "Two", level=2),
    Block(BlockKind.HEADING, "Three", level=2),
    Block(BlockKind.PARAGRAPH, "Last."),
]


def test_blocks_have_places_and_sections() -> None:
    """A block's place is where it stands in the document's text."""
    text = BETWEEN.join(block.text for block in BLOCKS)
    found = placed(BLOCKS)
    assert [text[one.start : one.end] for one in found] == [block.text for block in BLOCKS]
    assert [one.section for one in found] == ["", "One", "One", "One", "Two", "Three", "Three"]


def test_sections_begin_with_their_headings() -> None:
    """Each block is in one section; what comes before the first heading is one, too."""
    found = [[one.block.text for one in section] for section in sections(placed(BLOCKS))]
    assert found == [["Before."], ["One", "First.", "Item."], ["Two"], ["Three", "Last."]]
    assert list(sections([])) == []
