"""One file as a document: its format by its name, its title, and any bytes whatever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pdfs import pdf

from datamcp.errors import ProcessingError
from datamcp.processors.documents.reader import ENDINGS, document


@pytest.mark.parametrize(
    ("source", "data", "title"),
    [
        ("a/b.md", b"# One\n\ntext", "One"),
        ("a/b.MD", b"text", "b"),
        ("2016_opec-cut.txt", b"only text here, and more of it.", "2016 opec cut"),
        ("README", b"Read me\n\nThis is text.", "Read me"),
        ("x.html", b"<title>T</title><p>text", "T"),
        ("x.pdf", pdf([["Some text."]]), "x"),
    ],
)
def test_the_ending_tells_the_format(source: str, data: bytes, title: str) -> None:
    """A document without a title of its own is called by its name."""
    found = document(data, source)
    assert (found.source, found.title, found.size) == (source, title, len(data))
    assert found.blocks


@pytest.mark.parametrize("source", ["a.docx", "a.csv", "a.png", "b.tar.gz"])
def test_other_endings_are_unknown(source: str) -> None:
    """They are refused by name, whatever is in them."""
    with pytest.raises(ProcessingError, match="unknown type"):
        document(b"text", source)


@pytest.mark.parametrize("ending", [*ENDINGS, ""])
@given(
    data=st.one_of(
        st.binary(),
        st.text().map(str.encode),
        st.sampled_from(
            [
                b"\xff\xfe\0",
                b"<p" * 50,
                b"| a |\n| - |\n" * 3,
                b"---\n" * 9,
                b"```\n",
                b"[a](" * 30,
                b"%PDF-1.4",
            ]
        ),
    )
)
def test_any_bytes_are_a_document_or_refused(ending: str, data: bytes) -> None:
    """No content of a file brings the reader down."""
    try:
        found = document(data, f"file{ending}")
    except ProcessingError:
        return
    assert found.title
    lines = data.decode("latin-1").count("\n") + data.decode("latin-1").count("\r") + 1
    for block in found.blocks:
        assert block.text.strip()
        assert block.line is None or 1 <= block.line <= lines
