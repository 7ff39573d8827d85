import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.pipelines.document import read

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.text(st.characters(min_codepoint=97, max_codepoint=122), max_size=9), inner
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_json_is_read_as_it_is(value: object) -> None:
    """JSON is YAML, and means the same."""
    document = read(json.dumps({"value": value}))
    assert document.problems == []
    assert document.value == {"value": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("2013-01-01", "2013-01-01"),
        ("12:30", "12:30"),
        ("0x1f", "0x1f"),
        (".nan", ".nan"),
        ("1_000", "1_000"),
        ("007", 7),
        ("-1.5e3", -1500.0),
        ("1e3", 1000.0),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("!!str 1", "1"),
    ],
)
def test_plain_words_stay_words(text: str, value: object) -> None:
    """Only what YAML 1.2 calls null, a boolean or a number is one; a key may be called `on`."""
    document = read(f"on: {text}")
    assert document.value == {"on": value}
    assert type(document.value["on"]) is type(value)


def test_paths_have_lines() -> None:
    """A path knows its line; one that is not there has the line of what it is part of."""
    document = read("a: 1\ntasks:\n  - x: 1\n    y: [1,\n        2]\n  - z\n")
    paths = [
        "a",
        "tasks",
        "tasks[0]",
        "tasks[0].y",
        "tasks[0].y[1]",
        "tasks[1]",
        "tasks[0].no.such",
    ]
    assert [document.line(path) for path in paths] == [1, 2, 3, 4, 5, 6, 3]
    assert document.line("nowhere") == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "is empty"),
        ("a: 1\nb: [", 2, "is not YAML"),
        ("a: 1\n--- \nb: 2", 2, "expected a single document in the stream, but found"),
        ("a: \x00", 1, "is not YAML: unacceptable character"),
        ("a: 1\na: 2", 2, "key 'a' is already given on line 1"),
        ("a: 1\n2: 2", 1, "every key must be text, got 2"),
        ("{{a: 1}: 2}", 1, "every key must be text"),
        ("a: !!python/name:os.system", 1, "only plain values can be read"),
        ("a: !!set {b}", 1, "only plain values can be read"),
        ("a: !!int x", 1, "can't be read as a value"),
        ("a: " + "9" * 5000, 1, "can't be read as a value"),
        ("a: &a [*a]", 1, "is nested more than 50 levels deep"),
        ("[" * 100_000, 1, "is nested too deeply"),
    ],
)
def test_what_is_no_plain_document_is_told(text: str, line: int, message: str) -> None:
    """Everything else is a problem with its line, and never an exception."""
    document = read(text)
    (problem,) = document.problems
    assert message in problem.message
    assert document.line(problem.path) == line


def test_aliases_can_not_make_a_file_enormous() -> None:
    """A billion values from a few lines are refused."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (problem,) = read("\n".join(lines)).problems
    assert "values" in problem.message
