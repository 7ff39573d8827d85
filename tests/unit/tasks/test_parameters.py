import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from datamcp.errors import InvalidParametersError, Problem
from datamcp.tasks.parameters import Parameters


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


@dataclass
class Point:
    x: int
    y: float = 0.0


class Order(BaseModel):
    number: int = Field(alias="no")
    when: datetime | None = None


def add(self: object, a: int, b: int = 0) -> int:
    """Have one required and one optional parameter, as the shortest agent has."""
    return a + b


ADD = Parameters.of("bench.add", add)


def of_type(annotation: Any) -> Parameters:
    """Return the parameters of a capability that takes one `value` of this type."""

    def take(self: object, value: Any) -> None: ...

    take.__annotations__["value"] = annotation
    return Parameters.of("bench.take", take)


def problems_of(call: Callable[[], object]) -> list[Problem]:
    """Return what a refused call is told."""
    with pytest.raises(InvalidParametersError) as caught:
        call()
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, Problem("a", "is required")),
        ({"a": "1"}, Problem("a", "input should be a valid integer, got '1'")),
        ({"a": 1.0}, Problem("a", "input should be a valid integer, got 1.0")),
        ({"a": True}, Problem("a", "input should be a valid integer, got True")),
        ({"a": None}, Problem("a", "input should be a valid integer, got None")),
        ({"a": [1]}, Problem("a", "input should be a valid integer")),
        ({"a": 1, "bb": 2}, Problem("bb", "is not a parameter; did you mean 'b'?")),
        ({"a": 1, "other": 2}, Problem("other", "is not a parameter")),
        ({"a": 1, "self": 2}, Problem("self", "is not a parameter")),
    ],
)
def test_says_what_is_wrong_with_a_parameter(values: Mapping[str, Any], problem: Problem) -> None:
    """A missing, ill-typed or unknown parameter is named, with the value or the name meant."""
    assert problems_of(lambda: ADD.dump(values)) == [problem]


def test_says_everything_that_is_wrong_at_once() -> None:
    """Nobody has to mend one parameter to hear of the next."""
    with pytest.raises(InvalidParametersError) as caught:
        ADD.dump({"b": "x", "c": 1})
    assert [problem.path for problem in caught.value.problems] == ["a", "b", "c"]
    assert str(caught.value).startswith("invalid parameters for bench.add: a: is required; b: ")


def test_leaves_defaults_to_the_capability() -> None:
    """What is unset stays out, so that the default stands in the signature alone."""
    assert ADD.load(ADD.dump({"a": 1})) == {"a": 1}


def test_names_the_place_inside_a_value() -> None:
    """The path leads into lists and models."""
    orders = of_type(list[Order])
    found = problems_of(lambda: orders.dump({"value": [{"no": 1}, {"no": "2"}]}))
    assert found == [Problem("value.1.no", "input should be a valid integer, got '2'")]


def test_cuts_a_huge_value() -> None:
    """A message repeats no more than the beginning of what was refused."""
    (problem,) = problems_of(lambda: ADD.dump({"a": "9" * 100_000}))
    assert len(problem.message) < 150
    assert problem.message.endswith("…")


def test_cuts_a_huge_number_of_problems() -> None:
    """A long list of wrong things is answered with some, and how many more there are."""
    found = problems_of(lambda: of_type(list[int]).dump({"value": ["x"] * 1000}))
    assert len(found) == 21
    assert found[-1] == Problem("", "and 980 more")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 10**40),
        (float, 1.5),
        (float, math.inf),
        (str, "\0 ¼ \U0001f600"),
        (bytes, b"abc"),
        (datetime, datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)),
        (date, date(2026, 1, 1)),
        (timedelta, timedelta(days=2, microseconds=1)),
        (Decimal, Decimal("1.10")),
        (UUID, UUID(int=7)),
        (Colour, Colour.RED),
        (Size, Size.SMALL),
        (Point, Point(1, 2.5)),
        (Order, Order(no=1, when=datetime(2026, 1, 1, tzinfo=UTC))),
        (set[int], {1, 2}),
        (tuple[int, str], (1, "a")),
        (dict[int, list[str]], {1: ["a"]}),
        (Literal["a", "b"], "b"),
        (int | str, "5"),
        (int | None, None),
        (Any, {"a": [1, None, "x"]}),
    ],
)
def test_a_value_comes_back_as_its_type(annotation: Any, value: Any) -> None:
    """What the caller hands in as a Python value, the capability gets as the annotated type."""
    parameters = of_type(annotation)
    loaded = parameters.load(parameters.dump({"value": value}))["value"]
    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize("annotation", [float, Any])
def test_nan_is_a_number(annotation: Any) -> None:
    """NaN travels, although JSON has no word for it."""
    parameters = of_type(annotation)
    assert math.isnan(parameters.load(parameters.dump({"value": math.nan}))["value"])


def test_a_whole_number_fits_where_a_fraction_does() -> None:
    """JSON has one kind of number; `1` is a float where one is wanted."""
    assert of_type(float).load('{"value": 1}') == {"value": 1.0}


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(str, 1), (float, "1.5"), (bool, 1), (bool, "true"), (list[int], "1"), (Colour, "blue")],
)
def test_converts_nothing(annotation: Any, value: Any) -> None:
    """A value of another type is refused, not guessed at."""
    (problem,) = problems_of(lambda: of_type(annotation).dump({"value": value}))
    assert problem.path == "value"


def test_obeys_the_limits_of_an_annotation() -> None:
    """A `Field` beside the type holds as everywhere in pydantic."""
    limited = of_type(Annotated[int, Field(ge=0)])
    (problem,) = problems_of(lambda: limited.dump({"value": -1}))
    assert problem == Problem("value", "input should be greater than or equal to 0, got -1")


@pytest.mark.parametrize("value", [object(), "\udc80", b"\xff", circle := [[]]])
def test_refuses_what_has_no_json_form(value: Any) -> None:
    """The parameter at fault is named, whatever its annotation allows."""
    circle[0] = circle
    found = problems_of(lambda: of_type(Any).dump({"other": 1, "value": value}))
    assert [problem.path for problem in found] == ["value"]
    assert found[0].message.startswith("has no JSON form: ")


def test_a_parameter_may_have_any_name() -> None:
    """Names that a model's own methods have are names like others."""

    def odd(self: object, json: int, copy: str, schema: int = 0, model_config: int = 0) -> None: ...

    values = {"json": 1, "copy": "x", "schema": 2, "model_config": 3}
    parameters = Parameters.of("bench.odd", odd)
    assert parameters.load(parameters.dump(values)) == values
    assert set(parameters.schema["properties"]) == set(values)


def test_the_schema_says_what_the_signature_says() -> None:
    """It is an object that takes no more than the parameters, and needs those without default."""
    schema = ADD.schema
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["a"]
    assert {name: shape["type"] for name, shape in schema["properties"].items()} == {
        "a": "integer",
        "b": "integer",
    }


def keywords(self: object, a: int, /, b: int, *, c: int) -> None:
    """Have one parameter of each kind."""


BIND = Parameters.of("bench.keywords", keywords)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1, 2), {"c": 3}), ((1,), {"b": 2, "c": 3}), ((), {"a": 1, "b": 2, "c": 3})],
)
def test_binds_arguments_as_a_call_does(args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    """By position or by name, each value ends at its parameter."""
    assert BIND.bind(args, kwargs) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((1, 2, 3), {}, Problem("", "takes 2 by position, got 3")),
        ((1,), {"a": 2}, Problem("a", "given twice")),
    ],
)
def test_refuses_arguments_that_no_call_would_take(
    args: tuple[int, ...], kwargs: dict[str, int], problem: Problem
) -> None:
    """A keyword-only parameter has no position, and no parameter takes two values."""
    assert problems_of(lambda: BIND.bind(args, kwargs)) == [problem]


def variable(self: object, *values: int) -> None:
    """Take any number of values."""


def open_ended(self: object, **values: int) -> None:
    """Take any name."""


def opaque(self: object, value: "Callable[[], object]", lock: pytest.MonkeyPatch) -> None:
    """Want something that no JSON is."""


def unknown(self: object, value: "Missing") -> None:  # type: ignore[name-defined]  # noqa: F821  on purpose
    """Name a type that is nowhere."""


@pytest.mark.parametrize("function", [variable, open_ended, opaque, unknown])
def test_refuses_a_signature_that_json_cannot_fill(function: Callable[..., Any]) -> None:
    """The complaint is a TypeError that names the capability, when the agent is looked at."""
    with pytest.raises(TypeError, match=r"bench\.it: "):
        Parameters.of("bench.it", function)


@pytest.mark.parametrize(
    ("annotation", "word", "value"),
    [
        (int, "1", 1),
        (int, "x", "x"),
        (int, "null", "null"),
        (int, "[1]", [1]),
        (str, "1", "1"),
        (str, "true", "true"),
        (str, "null", "null"),
        (str, "[1, 2]", "[1, 2]"),
        (str, '{"a": 1}', '{"a": 1}'),
        (str, "plain words", "plain words"),
        (str, "", ""),
        (bool, "true", True),
        (float, "1", 1),
        (int | None, "null", None),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], '["x"]', ["x"]),
        (datetime, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        (int | str, "7", 7),
        (Any, "1.5", 1.5),
    ],
)
def test_reads_a_word_from_the_command_line(annotation: Any, word: str, value: Any) -> None:
    """A word is JSON where that fits the parameter, else text; what fits neither is told by `dump`."""
    assert of_type(annotation).parse({"value": word}) == {"value": value}


def test_reads_words_of_names_that_it_does_not_know() -> None:
    """An unknown name is kept, so that the check can refuse it."""
    words = ADD.parse({"a": "1", "c": "2"})
    assert [problem.path for problem in problems_of(lambda: ADD.dump(words))] == ["c"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_any_json_value_comes_back_the_same(value: Any) -> None:
    """A parameter without annotation carries whatever JSON can hold."""
    parameters = of_type(Any)
    assert parameters.load(parameters.dump({"value": value})) == {"value": value}


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "self"]), json_values))
def test_accepts_exactly_what_the_signature_says(values: dict[str, Any]) -> None:
    """There is no third way: no other error, and no value that is lost or changed."""
    fits = {"a"} <= set(values) <= {"a", "b"} and all(type(x) is int for x in values.values())
    if fits:
        assert ADD.load(ADD.dump(values)) == values
    else:
        assert problems_of(lambda: ADD.dump(values))
