"""Patterns for files of a folder."""

import pytest

from datamcp.processors.documents.pattern import divided, is_pattern, matcher


@pytest.mark.parametrize(
    ("pattern", "folder", "rest"),
    [
        ("*.md", ".", "*.md"),
        ("notes/*.md", "notes", "*.md"),
        ("notes/2026/**/a?.txt", "notes/2026", "**/a?.txt"),
        ("/data/[ab]/x.md", "/data", "[ab]/x.md"),
        ("/*.md", "/", "*.md"),
    ],
)
def test_a_pattern_begins_in_a_folder(pattern: str, folder: str, rest: str) -> None:
    """What has no marks is the folder; the rest is matched below it."""
    assert is_pattern(pattern)
    assert divided(pattern) == (folder, rest)
    assert not is_pattern(folder)


@pytest.mark.parametrize(
    ("pattern", "path", "is_meant"),
    [
        ("*.md", "a.md", True),
        ("*.md", "b/a.md", False),
        ("**/*.md", "a.md", True),
        ("**/*.md", "b/c/a.md", True),
        ("**/*.md", "b/c/a.txt", False),
        ("**", "b/c/a.txt", True),
        ("a/**/z.md", "a/z.md", True),
        ("a/**/z.md", "a/b/c/z.md", True),
        ("a/**/z.md", "b/z.md", False),
        ("[ab]/?.md", "b/x.md", True),
        ("[!ab]/?.md", "b/x.md", False),
        ("x.m*", "x.md", True),
        ("a.md", "aXmd", False),
        ("**/" * 12 + "z", "a/" * 40 + "y", False),
    ],
)
def test_what_a_pattern_means(pattern: str, path: str, is_meant: bool) -> None:
    """`*` stays within a name, `**` goes through folders, and none takes long."""
    assert matcher(pattern)(path) == is_meant
