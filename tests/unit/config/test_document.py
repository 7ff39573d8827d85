from pathlib import Path
from typing import Any

import pytest

from datamcp.config.document import LIMIT, read_document
from datamcp.config.layer import Layer, Rank
from datamcp.errors import Problem


def read(tmp_path: Path, content: str | bytes) -> tuple[Layer, list[Problem]]:
    """Write a file and read it."""
    path = tmp_path / "x.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_document(path, "x.yaml", Rank.EXTRA_FILE)


def test_every_setting_knows_its_line(tmp_path: Path) -> None:
    """Nested keys become paths, each with file and line."""
    layer, problems = read(tmp_path, "storage:\n  cache_backend: none\n  allowed_roots:\n    - a\n")
    assert not problems
    assert [(entry.name, entry.value, str(entry.origin)) for entry in layer.entries] == [
        ("storage.cache_backend", "none", "x.yaml:2"),
        ("storage.allowed_roots", ["a"], "x.yaml:4"),
    ]


@pytest.mark.parametrize("content", ["", "# nothing\n", "storage:\n", "null\n", "\ufeff\n"])
def test_an_empty_file_or_section_says_nothing(tmp_path: Path, content: str) -> None:
    """A section of which only the name is left is no error."""
    layer, problems = read(tmp_path, content)
    assert (layer.entries, problems) == ((), [])


def test_a_key_given_twice_is_a_problem(tmp_path: Path) -> None:
    """The second one is refused with both lines, instead of silently winning."""
    _, problems = read(tmp_path, "broker:\n  url: a\n  url: b\n")
    assert problems == [Problem("broker.url", "is given twice, first in line 2 (x.yaml:3)")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n- b\n", "x.yaml:1: must be a mapping of sections"),
        ("a: [1\n", "x.yaml:2: "),
        ("a: !!python/object/apply:os.system [ls]\n", "x.yaml:1: the tag "),
        ("a: !!python/name:os.system\n", "x.yaml:1: could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2: but found another document"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "x.yaml:3: keys must be plain names"),
        ("? [a]\n: 1\n", "x.yaml:1: keys must be plain names"),
        ("a: 2001-99-99\n", "x.yaml: is not valid YAML"),
        ("a: &a [*a]\n", "too deeply nested"),
        ("[" * 5000, "x.yaml"),
        (b"a: \xff\n", "x.yaml: is not UTF-8 text"),
        (b"a: " + b"x" * LIMIT, "x.yaml: is larger than"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_one_problem(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    """Whatever is wrong with a file as a whole is said in one line with its name."""
    layer, problems = read(tmp_path, content)
    assert layer.entries == ()
    assert message in str(problems[0])


def test_aliases_cannot_multiply(tmp_path: Path) -> None:
    """A small file that unfolds to billions of values is refused."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    _, problems = read(tmp_path, "\n".join(lines))
    assert "too large" in str(problems[0])


@pytest.mark.parametrize(("name", "message"), [("gone", "does not exist"), ("", "is no file")])
def test_a_missing_file_or_a_folder_is_one_problem(tmp_path: Path, name: str, message: str) -> None:
    """The name of the file and what is the matter with it are said."""
    _, problems = read_document(tmp_path / name, "x.yaml", Rank.EXTRA_FILE)
    assert problems == [Problem("", f"x.yaml: {message}")]


def test_lists_may_hold_mappings(tmp_path: Path) -> None:
    """Open options of an integration may be nested in any way."""
    layer, _ = read(tmp_path, "integrations:\n  x:\n    options: {a: [{b: 1}], c: {}}\n")
    values: dict[str, Any] = layer.tree()["integrations"]["x"]["options"]
    assert values == {"a": [{"b": 1}], "c": {}}
