"""Lengths, sizes, instants and marks of an axis, as people read them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exports import BEGIN

from datamcp.pipelines.page.axis import label, ticks
from datamcp.pipelines.page.marks import ranked, worst
from datamcp.pipelines.page.text import (
    clock_time,
    count,
    cut,
    instant,
    joined,
    length,
    rough_length,
    size,
    tag,
)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (0.0, "0 ms"),
        (0.0449, "45 ms"),
        (0.9996, "1.00 s"),
        (1.236, "1.24 s"),
        (9.996, "10.0 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3_661, "1 h 01 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_lengths(seconds: float | None, said: str) -> None:
    """As many digits as help."""
    assert length(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (2_517_000, "2.52 MB"),
        (1e15, "1e+03 TB"),
    ],
)
def test_sizes(value: float | None, said: str) -> None:
    """In units of a thousand."""
    assert size(value) == said


def test_estimates_are_not_exact() -> None:
    """Nobody knows them to the second."""
    assert [rough_length(s) for s in (0, 12.2, 61, 7_300)] == [
        "about 1 s",
        "about 13 s",
        "about 2 min",
        "about 2 h 01 min",
    ]


def test_counts_and_instants() -> None:
    """Instants are in UTC; the day is told where it is another one."""
    assert (count(1_234_567), count(None)) == ("1,234,567", "")
    assert ">2026-07-01 12:00:00<" in str(instant(BEGIN))
    assert ">12:00:00<" in str(clock_time(BEGIN, BEGIN))
    assert ">07-03 12:00:00<" in str(clock_time(BEGIN + timedelta(days=2), BEGIN))
    assert instant(None) is None


@given(st.text(), st.integers(4, 40))
def test_a_cut_keeps_both_ends(text: str, most: int) -> None:
    """And is never longer than it may be."""
    short = cut(text, most)
    assert len(short) <= most
    assert short == text or (text.startswith(short.split("…")[0]) and "…" in short)


def test_markup_is_not_escaped_twice_and_text_always() -> None:
    """What `tag` made is markup; everything else is text."""
    inner = tag("b", "a & <b>")
    assert tag("p", inner, "<", title='"') == '<p title="&quot;"><b>a &amp; &lt;b&gt;</b>&lt;</p>'
    assert joined(["<", None, inner], " & ") == f"&lt; &amp; {inner}"
    assert tag("input", class_=None, data_l="x") == '<input data-l="x">'


@given(st.floats(1e-3, 1e9))
def test_ticks_are_few_and_within(span: float) -> None:
    """From the beginning on, at equal distances."""
    marks = ticks(span)
    assert marks[0] == 0
    assert len(marks) <= 10
    assert marks[-1] <= span * (1 + 1e-6)
    assert len({label(mark, marks[1] if len(marks) > 1 else span) for mark in marks}) == len(marks)


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (0.9, ["0", "0.1 s", "0.2 s"]),
        (43, ["0", "5 s", "10 s"]),
        (240, ["0", "30 s", "1:00"]),
        (3_000, ["0", "10 min", "20 min"]),
        (30_000, ["0", "1:00 h", "2:00 h"]),
        (100_000, ["0", "6:00 h", "12:00 h"]),
        (400_000, ["0", "1 d", "2 d"]),
    ],
)
def test_labels_of_an_axis(span: float, said: list[str]) -> None:
    """Round lengths, in the unit that fits."""
    marks = ticks(span)
    assert [label(mark, marks[1]) for mark in marks[:3]] == said


def test_states_in_order() -> None:
    """What needs somebody first; what is not known comes last."""
    assert worst(["succeeded", "running", "skipped"]) == "running"
    assert worst(["succeeded", "failed", "of_tomorrow"]) == "failed"
    assert worst(["of_tomorrow"]) == "of_tomorrow"
    assert worst([]) == ""
    assert ranked({"of_tomorrow": 1, "queued": 2, "succeeded": 3}) == [
        ("succeeded", 3),
        ("queued", 2),
        ("of_tomorrow", 1),
    ]
