"""`document.extract`: which documents are read, and what their rows are."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.pdfs import pdf
from support.steps import StepRunner

from datamcp.errors import ProcessingError
from datamcp.processors.document_extract import DocumentExtractConfig

GUIDE = """# Guide

Begin here. It is easy.

## Second

- one
- two
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Have a folder with documents, and things that are none."""
    notes = tmp_path / "notes"
    (notes / "deep").mkdir(parents=True)
    (notes / "guide.md").write_text(GUIDE)
    (notes / "deep" / "plain.txt").write_text("A plain text. With two sentences.\n")
    (notes / ".hidden.md").write_text("# Hidden")
    return notes


def extract(runner: StepRunner, path: str = "notes", **options: Any) -> list[dict[str, Any]]:
    """Return the rows of some documents."""
    runner.run("docs", "document.extract", path=path, **options)
    return runner.rows("docs")


def test_paragraphs(runner: StepRunner, folder: Path) -> None:
    """Each block is a row that says where it is from; what is hidden is left out."""
    rows = extract(runner)
    assert [
        (row["document"], row["number"], row["kind"], row["section"], row["text"]) for row in rows
    ] == [
        ("deep/plain.txt", 1, "paragraph", None, "A plain text. With two sentences."),
        ("guide.md", 1, "heading", "Guide", "Guide"),
        ("guide.md", 2, "paragraph", "Guide", "Begin here. It is easy."),
        ("guide.md", 3, "heading", "Second", "Second"),
        ("guide.md", 4, "item", "Second", "one"),
        ("guide.md", 5, "item", "Second", "two"),
    ]
    assert {row["title"] for row in rows} == {"plain", "Guide"}
    assert {row["page"] for row in rows} == {None}
    assert list(rows[0]) == [
        *("document", "title", "kind", "page", "section", "number", "position", "text"),
    ]
    result = runner.results["docs"]
    assert (result.records_in, result.records_out, result.records_rejected) == (2, 6, 0)
    assert result.bytes_in == sum(
        (folder / name).stat().st_size for name in ("guide.md", "deep/plain.txt")
    )


def test_sections(runner: StepRunner, folder: Path) -> None:
    """A heading and what follows are one row."""
    rows = extract(runner, "notes/guide.md", split={"by": "section"})
    assert [(row["kind"], row["section"], row["text"]) for row in rows] == [
        ("section", "Guide", "Guide\n\nBegin here. It is easy."),
        ("section", "Second", "Second\n\none\n\ntwo"),
    ]


@pytest.mark.parametrize(
    "split",
    [
        {"by": "paragraph"},
        {"by": "section"},
        {"by": "size", "size": 20},
        {"by": "size", "size": 24, "overlap": 12},
    ],
)
def test_positions_are_true(runner: StepRunner, folder: Path, split: dict[str, Any]) -> None:
    """A row's text stands in the document's text where it says."""
    text = "Guide\n\nBegin here. It is easy.\n\nSecond\n\none\n\ntwo"
    rows = extract(runner, "notes/guide.md", split=split)
    assert [text[row["position"] :][: len(row["text"])] for row in rows] == [
        row["text"] for row in rows
    ]
    assert rows[0]["position"] == 0


def test_pieces_of_a_size(runner: StepRunner, folder: Path) -> None:
    """A piece is below the heading below which it begins."""
    rows = extract(runner, "notes/guide.md", split={"by": "size", "size": 32})
    assert [(row["kind"], row["section"], row["text"]) for row in rows] == [
        ("piece", "Guide", "Guide\n\nBegin here. It is easy."),
        ("piece", "Second", "Second\n\none\n\ntwo"),
    ]


def test_pages_of_a_pdf(runner: StepRunner, folder: Path) -> None:
    """A PDF's rows name their page."""
    (folder / "paper.pdf").write_bytes(pdf([["The first page is here."], ["The second one."]]))
    rows = extract(runner, "notes/*.pdf")
    assert [(row["page"], row["text"]) for row in rows] == [
        (1, "The first page is here."),
        (2, "The second one."),
    ]


def test_a_pattern_chooses(runner: StepRunner, folder: Path) -> None:
    """`**` goes through all folders; what is not meant is not even looked at."""
    (folder / "broken.bin").write_bytes(b"\0")
    assert {row["document"] for row in extract(runner, "notes/**/*.txt")} == {"deep/plain.txt"}
    assert {row["document"] for row in extract(runner, "notes/*.md")} == {"guide.md"}
    assert {row["document"] for row in extract(runner, "**/plain.*")} == {"notes/deep/plain.txt"}


def test_a_file_that_can_t_be_read(runner: StepRunner, folder: Path) -> None:
    """It fails the step, or is counted and named."""
    (folder / "broken.txt").write_bytes(b"a\0b")
    with pytest.raises(ProcessingError, match=r"broken\.txt: binary: .* \(on_error: skip goes on"):
        extract(runner)
    (folder / "picture.png").write_bytes(b"\x89PNG")
    rows = extract(runner, on_error="skip")
    result = runner.results["docs"]
    assert {row["document"] for row in rows} == {"guide.md", "deep/plain.txt"}
    assert (result.records_in, result.records_rejected) == (4, 2)
    assert [warning.partition(":")[0] for warning in sorted(result.warnings)] == [
        "broken.txt",
        "picture.png",
    ]


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"max_files": 1}, "more than 1 files"),
        ({"max_file_bytes": 40}, "too large"),
        ({"max_bytes": 60}, "all files have more than 60 bytes"),
    ],
)
def test_limits(runner: StepRunner, folder: Path, limit: dict[str, int], reason: str) -> None:
    """What is above a limit is no document that is left out in silence."""
    with pytest.raises(ProcessingError, match=reason):
        extract(runner, **limit)
    extract(runner, on_error="skip", **limit)
    assert reason in runner.results["docs"].warnings[0]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "no file or folder 'nowhere'"),
        ("/etc/passwd", "outside of storage.allowed_roots"),
        ("/etc/*.conf", "outside of storage.allowed_roots"),
        ("../*.md", "outside of storage.allowed_roots"),
        ("notes/*.docx", r"no document in 'notes/\*\.docx'"),
        ("notes/guide.md/*", "is no folder"),
    ],
)
def test_where_nothing_is_found(runner: StepRunner, folder: Path, path: str, message: str) -> None:
    """Neither outside of the roots, nor where there is nothing."""
    with pytest.raises(ProcessingError, match=message):
        extract(runner, path)


def test_a_link_leads_nowhere_else(runner: StepRunner, folder: Path, tmp_path: Path) -> None:
    """A link in a folder is not followed out of it."""
    (tmp_path / "secret.md").write_text("# Secret")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    extract(runner, on_error="skip")
    assert runner.results["docs"].warnings == ("link.md: a link that leads out of the folder",)


def test_files_of_the_run_can_be_read(runner: StepRunner, folder: Path) -> None:
    """What a step before has fetched is a document, too."""
    fetched = Path(runner.store.workspace("run", "fetch", 1).path_of("page.html"))
    fetched.parent.mkdir(parents=True)
    fetched.write_text("<head><title>T</title></head><h1>H</h1><p>Text.")
    assert [row["text"] for row in extract(runner, str(fetched))] == ["H", "Text."]


def test_the_overlap_is_at_most_half() -> None:
    """Else pieces would hardly move on."""
    with pytest.raises(ValidationError, match="at most half of size, 50, got 51"):
        DocumentExtractConfig.model_validate(
            {"path": "x", "split": {"by": "size", "size": 100, "overlap": 51}}
        )
