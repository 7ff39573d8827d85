"""JSON values as something to read."""

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from datamcp.agent_types.reading.facts import facts
from datamcp.types import JSONValue

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def test_a_mapping_is_a_table_of_facts_and_its_parts_follow() -> None:
    """Names are spelled out, lists of plain values stand in one cell."""
    value: JSONValue = {
        "as_of": "2018-12-27",
        "year": 2018,
        "trades": 12345,
        "is_open": True,
        "levels": [1, 2.5, "x"],
        "risk": {"var_95": 0.031, "nested": {"deep": None}},
    }
    assert facts(value, 10) == [
        "| fact | value |",
        "| --- | --- |",
        "| as of | 2018-12-27 |",
        "| year | 2018 |",
        "| trades | 12,345 |",
        "| is open | yes |",
        "| levels | 1, 2.50, x |",
        "",
        "**risk**",
        "",
        "| fact | value |",
        "| --- | --- |",
        "| var 95 | 0.031 |",
        "",
        "**risk: nested**",
        "",
        "| fact | value |",
        "| --- | --- |",
        "| deep |  |",
        "",
    ]


def test_records_are_rows() -> None:
    """A list of mappings with names in common is a table; so is a mapping of them."""
    assert facts([{"a": 1, "b": "x"}, {"a": 2.5}], 10) == [
        "| a | b |",
        "| ---: | --- |",
        "| 1 | x |",
        "| 2.50 |  |",
        "",
    ]
    assert facts({"oil": {"price": 1}, "gas": {"price": 2}}, 10)[2:] == [
        "| oil | 1 |",
        "| gas | 2 |",
        "",
    ]


def test_long_tables_are_cut_and_say_so() -> None:
    """As for tables of steps."""
    found = facts([{"a": number} for number in range(5)], 2)
    assert found[-2:] == ["2 of 5 rows.", ""]
    assert len(found) == 7


def test_plain_values_are_paragraphs() -> None:
    """A text cannot be more than that."""
    assert facts("# not a heading", 10) == ["\\# not a heading", ""]
    assert facts(3, 10) == ["3", ""]
    assert facts([], 10) == ["", ""]
    assert facts({}, 10)[:2] == ["| fact | value |", "| --- | --- |"]


@given(_JSON, st.integers(1, 5))
def test_any_value_is_shown_and_stays_harmless(value: JSONValue, limit: int) -> None:
    """No heading, link or HTML comes of it; what is bold is a label of ours."""
    text = "\n".join(facts(value, limit))
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    every = [inner for token in tokens for inner in (token, *(token.children or []))]
    kinds = {token.type for token in every}
    assert not kinds & {"heading_open", "link_open", "html_block", "html_inline", "image", "fence"}
    assert not kinds & {"blockquote_open", "bullet_list_open", "ordered_list_open", "hr"}
