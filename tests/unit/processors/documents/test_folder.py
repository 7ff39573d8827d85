"""All documents below a folder: which files are read, and why the others are not."""

import os
from pathlib import Path

import pytest

from datamcp.processors.documents.document import Document, Skipped
from datamcp.processors.documents.folder import Limits, read_folder


def read(root: Path, limits: Limits | None = None) -> tuple[list[str], dict[str, str]]:
    """Return the sources that were read, and the reasons for the others."""
    found = list(read_folder(root, limits or Limits()))
    return (
        [one.source for one in found if isinstance(one, Document)],
        {one.source: one.reason for one in found if isinstance(one, Skipped)},
    )


def test_every_file_is_read_or_reported(tmp_path: Path) -> None:
    """In the order of paths; nothing is passed over in silence."""
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")
    (tmp_path / "b.md").write_text("text")
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "sub" / "c.md").write_text("text")
    (tmp_path / "sub" / "deep" / "d.html").write_text("<p>text")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "wrong.txt").write_bytes(b"a\0b")
    (tmp_path / ".hidden.md").write_text("text")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")

    sources, skipped = read(tmp_path)

    assert sources == ["a.txt", "b.md", "sub/c.md", "sub/deep/d.html"]
    assert set(skipped) == {".git/", ".hidden.md", "image.png", "wrong.txt", "broken.pdf"}
    assert skipped[".git/"] == skipped[".hidden.md"] == "hidden"
    assert "unknown type .png" in skipped["image.png"]
    assert "binary" in skipped["wrong.txt"]
    assert "not a PDF" in skipped["broken.pdf"]


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """What lies outside is not read, nor is anything read twice; loops end."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret.md").write_text("secret")
    (root / "a.md").write_text("text")
    (root / "out.md").symlink_to(outside / "secret.md")
    (root / "outdir").symlink_to(outside)
    (root / "again.md").symlink_to(root / "a.md")
    (root / "self").symlink_to(root)
    (root / "loop").symlink_to(root / "loop")
    (root / "gone.md").symlink_to(root / "nothing.md")

    sources, skipped = read(root)

    assert sources == ["a.md"]
    assert skipped == {
        "out.md": "a link that leads out of the folder",
        "outdir/": "a link that leads out of the folder",
        "again.md": "a link to a.md",
        "self/": "a link to .",
        "loop": "a link that leads nowhere",
        "gone.md": "a link that leads nowhere",
    }


def test_a_folder_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    """Only links below it are looked at."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.md").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read(tmp_path / "link") == (["a.md"], {})


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    """Reading one would never end."""
    os.mkfifo(tmp_path / "pipe.txt")
    assert read(tmp_path) == ([], {"pipe.txt": "not a regular file"})


@pytest.mark.parametrize(
    ("limits", "sources", "reason"),
    [
        (Limits(file_bytes=10), ["a.md", "c.md"], "too large: 20 bytes, at most 10 are read"),
        (Limits(total_bytes=15), ["a.md", "c.md"], "all files have more than 15 bytes"),
        (Limits(files=2), ["a.md", "b.md"], "more than 2 files"),
    ],
)
def test_limits_hold(tmp_path: Path, limits: Limits, sources: list[str], reason: str) -> None:
    """What is too much is reported; what fits is read all the same."""
    for name, size in {"a.md": 5, "b.md": 20, "c.md": 5}.items():
        (tmp_path / name).write_text("x" * size)
    found, skipped = read(tmp_path, limits)
    assert found == sources
    assert [reason in one for one in skipped.values()] == [True]


def test_one_file_is_a_folder_of_one(tmp_path: Path) -> None:
    """The path of a document itself does, too."""
    (tmp_path / "a.md").write_text("text")
    assert read(tmp_path / "a.md") == (["a.md"], {})


def test_names_of_any_bytes_are_told(tmp_path: Path) -> None:
    """A name that is no UTF-8 has a form that JSON can hold."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.md")).write_text("text")
    sources, _ = read(tmp_path)
    assert sources == ["\\xff.md"]


def test_progress_grows_to_the_end(tmp_path: Path) -> None:
    """It is told in shares of the bytes."""
    for name in "abc":
        (tmp_path / f"{name}.md").write_text("text")
    seen: list[float] = []
    list(read_folder(tmp_path, on_progress=seen.append))
    assert seen == [0.0, 1 / 3, 2 / 3]
