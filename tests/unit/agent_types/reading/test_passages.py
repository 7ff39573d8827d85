"""Documents as passages: what stays together, and in which lines it is."""

from hypothesis import given
from hypothesis import strategies as st

from datamcp.agent_types.reading.passages import MOST_WORDS, Passage, passages
from datamcp.processors.documents.reader import document

WORDS = "The " + " ".join(["word"] * 38) + " ends."
SHORT = "A short one."


def of(text: str) -> list[Passage]:
    """Return the passages of a Markdown text."""
    return list(passages(document(text.encode(), "a.md")))


def test_long_paragraphs_stand_alone_and_short_ones_together() -> None:
    """Below the same heading."""
    found = of(f"# T\n\n{WORDS}\n\n{SHORT}\n\n{SHORT}\n\n## Part\n\n{SHORT}")
    assert [(one.headings, len(one.blocks)) for one in found] == [
        (("T",), 1),
        (("T",), 2),
        (("T", "Part"), 1),
    ]
    assert [(one.first_line, one.last_line) for one in found] == [(3, 3), (5, 7), (11, 11)]


def test_a_list_stays_with_what_announces_it() -> None:
    """Short items are read together, long ones apart."""
    items = "\n".join(f"- item {number}" for number in range(5))
    (found,) = of(f"{WORDS[:-1]}:\n\n{items}")
    assert len(found.blocks) == 6
    assert found.text.endswith("ends:\n\nitem 0\nitem 1\nitem 2\nitem 3\nitem 4")
    assert len(of("\n".join(f"- {WORDS}" for _ in range(3)))) == 3


def test_what_is_too_long_is_cut_between_sentences() -> None:
    """Each part knows its lines."""
    text = "\n".join([WORDS] * 10)
    found = of(text)
    assert len(found) == 4
    assert [one.first_line for one in found] == [1, 4, 7, 10]
    assert all(one.text.endswith("ends.") for one in found)
    assert all(one.text.count(" ") < MOST_WORDS for one in found)


def test_a_table_is_cut_between_rows() -> None:
    """A row is a sentence of its own, and its lines are those of the file."""
    rows = "\n".join(f"| {number} | {'x ' * 30}|" for number in range(20))
    found = of(f"| a | b |\n| - | - |\n{rows}")
    assert len(found) > 2
    told = [sentence for one in found for sentence in one.sentences()]
    assert [sentence.line for sentence in told] == [1, *range(3, 23)]
    assert told[1].text.startswith("0 | x")


def test_headings_with_nothing_below_are_found_all_the_same() -> None:
    """An outline can be searched; a heading above text is no passage of its own."""
    found = of("# T\n\n## One\n\n## Two\n\n### Three\n\ntext\n\n## Four")
    assert [(one.headings, one.text) for one in found] == [
        (("T",), "One"),
        (("T", "Two", "Three"), "text"),
        (("T",), "Four"),
    ]


def test_paragraphs_are_shown_in_one_line_and_code_by_line() -> None:
    """What wraps is joined; what is set by line is not."""
    (found,) = of("one\ntwo\n\n```\na\n b\n```")
    assert found.text == "one two\n\na\n b"


@given(
    st.lists(
        st.one_of(
            st.just(""),
            st.text(alphabet="ab. ", min_size=1, max_size=60),
            st.sampled_from(["# H", "## I", "- item", "| a | b |", "|-|-|", "```", "> q"]),
        ),
        max_size=60,
    )
)
def test_every_word_is_in_one_passage_and_lines_are_true(lines: list[str]) -> None:
    """Nothing is lost or told twice, and a sentence's words are in its line."""
    text = "\n".join(lines)
    read = document(text.encode(), "a.md")
    found = list(passages(read))
    told = [block.text for one in found for block in one.blocks]
    bodies = [block.text for block in read.blocks if block.kind != "heading"]
    assert [text for text in told if text in bodies] == bodies
    for one in found:
        for sentence in one.sentences():
            assert sentence.line is not None
            first = sentence.text.split()[0].strip("|")
            assert first in lines[sentence.line - 1].replace("`", "")
