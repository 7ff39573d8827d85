import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import wraps
from typing import Any, Optional
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import InvalidParametersError
from datamcp.tasks.arguments import Arguments, result_text

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
zones = st.sampled_from([UTC, timezone(timedelta(hours=-3)), None])
rich = (
    st.datetimes(timezones=st.none())
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.times()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.binary()
)
values = st.recursive(
    plain | rich,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def anything(*args: Any, **kwargs: Any) -> None:
    """Take anything."""


@given(st.lists(values), st.dictionaries(st.text(), values))
def test_whatever_celery_could_send_arrives(args: list[Any], kwargs: dict[str, Any]) -> None:
    """Equal to what it was, and still positional or named."""
    arguments = Arguments("t", anything)
    assert arguments.load(arguments.dump_call(args, kwargs)) == (args, kwargs)


@given(values)
def test_a_result_is_plain_json(value: Any) -> None:
    """Without the marks by which Celery knows types again."""
    assert "__type__" not in json.dumps(json.loads(result_text(value)))


def test_what_a_result_looks_like() -> None:
    """Dates as ISO 8601, numbers and ids as text."""
    value = {
        "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "time": time(1, 2),
        "price": [Decimal("1.10")],
        "id": UUID(int=0x1234),
        "data": b"text",
        "like": {"__type__": "x"},
    }
    assert json.loads(result_text(value)) == {
        "when": "2026-01-02T03:04:05+00:00",
        "day": "2026-01-02",
        "time": "01:02:00",
        "price": ["1.10"],
        "id": "00000000-0000-0000-0000-000000001234",
        "data": "text",
        "like": {"__type__": "x"},
    }
    with pytest.raises(TypeError):
        result_text(object())


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function as decorators do."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@decorated
def report(day: date, /, title: str, *, note: Optional[str] = None, limit: "int" = 5) -> None:  # noqa: UP045  as old code has it
    """Have parameters of every kind."""


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((), {}, "day: is required"),
        ((1,), {}, "title: is required"),
        ((1, "t"), {"titel": 2}, "titel: is not a parameter; did you mean 'title'?"),
        ((1, "t"), {"title": 2}, "title: given twice"),
        ((1, "t", 3), {}, "too many positional arguments"),
        ((1, "t"), {"note": {1}}, "note: has no JSON form: Object of type set"),
        ((object(), "t"), {}, r"\[0\]: has no JSON form"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(
    args: tuple[Any, ...], kwargs: dict[str, Any], problem: str
) -> None:
    """With the parameter at fault."""
    with pytest.raises(InvalidParametersError, match=problem):
        Arguments("t", report).dump_call(args, kwargs)


def test_checks_may_be_off() -> None:
    """As with `typing=False`; and there may be nothing to check with."""
    unchecked = Arguments("t", report, checks=False)
    assert unchecked.load(unchecked.dump_call((), {"x": 1})) == ([], {"x": 1})
    built_in = Arguments("t", max)
    assert built_in.load(built_in.dump_call((1, 2, 3), {})) == ([1, 2, 3], {})


def test_parameters_by_name_become_keywords() -> None:
    """What may be given so has a name; `**kwargs` takes the rest."""
    arguments = Arguments("t", report)
    assert list(arguments.names) == ["title", "note", "limit"]
    named = Arguments("t", anything)
    assert (list(named.names), named.load(named.dump({"a": 1}))) == ([], ([], {"a": 1}))


def test_words_are_json_where_they_are_some() -> None:
    """But what is annotated as text stays text; a wrong annotation does no harm."""
    words = {"title": "007", "note": "1", "limit": "7", "other": "[1, 2", "more": "true"}
    parsed = Arguments("t", report).parse(words)
    assert parsed == {"title": "007", "note": "1", "limit": 7, "other": "[1, 2", "more": True}

    def wrong(a: "NoSuchThing") -> None:  # type: ignore[name-defined]  # noqa: F821
        """Be annotated wrongly."""

    assert Arguments("t", wrong).parse({"a": "1"}) == {"a": 1}
