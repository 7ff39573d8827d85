import operator
import string
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from datamcp.errors import ExpressionError, ProcessingError
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.expression.expression import Expression, Names, Scope, is_true, parse
from datamcp.pipelines.expression.operations import MAX_ITEMS, MAX_TEXT, equal
from datamcp.pipelines.expression.parser import MAX_DEPTH, MAX_LENGTH
from datamcp.pipelines.references import Reference
from datamcp.tasks.states import State

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@dataclass(frozen=True)
class Output:
    value: Any = None
    path: str | None = None
    records_out: int | None = None


SCOPE = Scope(
    parameters={
        "month": "2013-01",
        "n": 3,
        "half": 0.5,
        "tags": ["a", "b"],
        "none": None,
        "yes": True,
        "deep": {"limit": {"of": [10, {"x y": 7}]}, "value": 1, "not": 2},
        "my-n": 30,
        "a.b": 40,
    },
    outputs={
        "flights": Output(value={"rows": 5}, path="/f.parquet", records_out=12),
        "file": Output(path="/only.parquet", records_out=0),
        "check": {"value": [1, 2], "state": State.SKIPPED},
        "my-step": {"value": "dashed"},
        "my.step.two": {"value": "dotted"},
        "value": {"value": "odd"},
    },
    run={"run_id": "r1", "fire_at": "2026-01-01T00:00:00+00:00"},
    items={"item": {"name": "JFK", "delay": 9}},
)

NAMES = Names(
    parameters=frozenset(SCOPE.parameters),
    steps=frozenset(SCOPE.outputs) | {"gone"},
    items=("item",),
)


def value(text: str, names: Names = NAMES, **more: Any) -> Any:
    """Return what an expression comes to; `more` are further parameters."""
    scope = replace(SCOPE, parameters={**SCOPE.parameters, **more})
    return parse(text, names).evaluate(scope)


def refused(text: str, names: Names = NAMES) -> str:
    """Return why a text is no expression."""
    with pytest.raises(ExpressionError) as caught:
        parse(text, names)
    message = str(caught.value)
    assert "\n" not in message
    assert 1 <= caught.value.column <= len(text) + 1
    return message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("1.50", 1.5),
        ("2e3", 2000.0),
        ("'it'", "it"),
        (r"'it\'s'", "it's"),
        (r'"a\\b\"\n"', 'a\\b"\n'),
        ("'ü\u2028'", "ü\u2028"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("None", None),
        ("[]", []),
        ("[1, [true, 'x'], null]", [1, [True, "x"], None]),
        ("[1, 2,\n 3]", [1, 2, 3]),
        ("\t1 \n", 1),
    ],
)
def test_literals(text: str, expected: Any) -> None:
    """Numbers, texts in either quotes, words and lists."""
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("parameters.month", "2013-01"),
        ("parameters.n-1", 2),
        ("parameters.my-n", 30),
        ("parameters.my-n-1", 29),
        ("parameters.a.b", 40),
        ('parameters["a.b"]', 40),
        ("parameters.deep.limit.of[0]", 10),
        ("parameters.deep.limit.of[1]['x y']", 7),
        ("parameters.deep.limit.of[-1]", {"x y": 7}),
        ("parameters.deep.not", 2),
        ("parameters.deep.value", 1),
        ("parameters.deep.missing.further[3].key", None),
        ("parameters.tags[7]", None),
        ("parameters . n", 3),
        ("outputs.flights", {"rows": 5}),
        ("outputs.flights.value.rows", 5),
        ("outputs.flights['rows']", 5),
        ("outputs.flights.records_out", 12),
        ("outputs.flights.records_out-2", 10),
        ("outputs.flights.state", None),
        ("outputs.file", "/only.parquet"),
        ("outputs.file.value", None),
        ("outputs.check.state == 'skipped'", True),
        ("outputs.check[1]", 2),
        ("outputs.check.value[0] + outputs.check.value[1]", 3),
        ("outputs.my-step.value", "dashed"),
        ("outputs.my-step", "dashed"),
        ("outputs.my.step.two", "dotted"),
        ("outputs.my.step.two.value", "dotted"),
        ("outputs['my-step'].value", "dashed"),
        ('outputs["my.step.two"]', "dotted"),
        ("outputs.value.value", "odd"),
        ("outputs.gone.value", None),
        ("outputs.gone.state", None),
        ("run.run_id", "r1"),
        ("run['fire_at'] < '2027'", True),
        ("item.name", "JFK"),
        ("item['delay']-1", 8),
        ("item", {"name": "JFK", "delay": 9}),
        ("${parameters.n}", 3),
        ("${ outputs.flights.value.rows } + 1", 6),
        ("${outputs.flights.value}.rows", 5),
        ("${item}.delay > ${parameters.n}", True),
    ],
)
def test_names(text: str, expected: Any) -> None:
    """What is named is read from the scope, and looked into; what is not there is null."""
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "step", "field"),
    [
        ("outputs.a", "a", ""),
        ("outputs.a.value", "a", "value"),
        ("outputs.a-b.path", "a-b", "path"),
        ("outputs.a.b.records_out", "a.b", "records_out"),
        ("outputs.a.b.value.state", "a.b", "value"),
        ("outputs.a.records_out-1", "a", "records_out"),
        ("outputs.a.values.state", "a.values", "state"),
        ("outputs.a.b", "a.b", ""),
        ("outputs.a - 1", "a", ""),
        ("outputs['a.value']", "a.value", ""),
        ("outputs.value.value", "value", "value"),
    ],
)
def test_names_of_steps_that_are_not_known(text: str, step: str, field: str) -> None:
    """A step's id goes up to the first thing that an output has, as in other references."""
    assert parse(text).references == {Reference("outputs", step, field)}


def test_the_longest_known_name_is_meant() -> None:
    """Of `a`, `a-b` and `a-b.c`, each is found where it is written whole."""
    names = Names(steps={"a", "a-b", "a-b.c"}, items=("x", "x-y"))
    for text, step in [("a", "a"), ("a-b", "a-b"), ("a-b.c", "a-b.c"), ("a-b.path", "a-b")]:
        assert {one.name for one in parse(f"outputs.{text}", names).references} == {step}
    assert parse("x-y - x", names).references == {Reference("item", "x-y"), Reference("item", "x")}


def test_references_are_all_that_is_named() -> None:
    """Whether they are looked at in a run or not."""
    text = "true or outputs.a.state == 'x' and ${parameters.n} > item.x or run.run_id in [item]"
    assert parse(text).references == {
        Reference("outputs", "a", "state"),
        Reference("parameters", "n"),
        Reference("item", "item"),
        Reference("run", "run_id"),
    }
    assert {str(one) for one in parse("item").references} == {"${item}"}


def test_names_of_a_step() -> None:
    """A step may name what its pipeline has, and its own map's element."""
    definition = PipelineDefinition.model_validate(
        {
            "pipeline_id": "p",
            "parameters": {"month": {}},
            "tasks": [
                {"task_id": "a-1", "processor": "x.y"},
                {"task_id": "b", "processor": "x.y", "map": {"over": "[1]", "as": "one"}},
            ],
        }
    )
    first, second = definition.tasks
    assert Names.of(definition, first) == Names({"month"}, {"a-1", "b"}, ())
    text = "outputs.a-1.value and one > 1"
    assert parse(text, Names.of(definition, second)).references == {
        Reference("outputs", "a-1", "value"),
        Reference("item", "one"),
    }
    assert refused(text, Names.of(definition, first)) == "unknown name 'one' at column 23"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 - 4 / 2", 5),
        ("(1 + 2) * 3 % 4", 1),
        ("-7 % 3", 2),
        ("-(2 - 5)", 3),
        ("--2", 2),
        ("2 - -2", 4),
        ("7 / 2", 3.5),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("1 == 1.0", True),
        ("true == 1", False),
        ("[true, 0] == [1, 0]", False),
        ("[1, [2]] == [1.0, [2]]", True),
        ("[1] == [1, 2]", False),
        ("null == false", False),
        ("null != 0", True),
        ("parameters.deep == parameters.deep", True),
        ("'2013-02' > parameters.month", True),
        ("2 <= 2 and 2 >= 2 and not 2 < 2", True),
        ("'b' in parameters.tags", True),
        ("'limit' in parameters.deep", True),
        ("'ont' in 'month'", True),
        ("true in [1]", False),
        ("'c' not in parameters.tags", True),
        ("not 'c' in parameters.tags", True),
        ("not not 1", True),
        ("not 1 == 2", True),
        ("0 or '' or 'x'", "x"),
        ("1 and [] and 2", []),
        ("1 or 0 and 0", 1),
        ("null or parameters.n", 3),
        ("len('abc') + len([1]) + len(parameters.deep)", 7),
        ("lower('AbC') + upper('ß')", "abcSS"),
        ("contains('month', 'on')", True),
        ("contains([1, 2], 3)", False),
        ("starts_with(parameters.month, '2013')", True),
        ("ends_with(parameters.month, '02')", False),
        ("default(parameters.none, 5)", 5),
        ("default(false, 5)", False),
        ("default(outputs.gone.records_out, 0) > 0", False),
        ("default(null, default(null, 1)) + 1", 2),
        ("int('12') + int(' -3 ') + int(7.9) + int(-7.9) + int(true)", 10),
        ("float('1.5e1') + float(1)", 16),
        ("str(1.5) + str(true) + str(null) + str('x')", "1.5truenullx"),
        ("str(['ü'])", '["ü"]'),
        ("str(parameters.deep.limit)", '{"of":[10,{"x y":7}]}'),
        ("abs(-3) + abs(2.5)", 5.5),
        ("min(3, 1, 2) + max([4, 6.5])", 7.5),
        ("min('b', 'a')", "a"),
        ("exists(parameters.none) or exists(parameters.deep.gone)", False),
        ("exists(0)", True),
        ("(parameters.deep)['value']", 1),
        ("[1, 2, 3][1]", 2),
    ],
)
def test_operators_and_functions(text: str, expected: Any) -> None:
    """They bind and come out as in Python, but for booleans, which are no numbers."""
    found = value(text)
    assert equal(found, expected), found


@pytest.mark.parametrize(
    "text",
    [
        "false and 1 / 0",
        "1 or 1 / 0",
        "default(1, 1 / 0)",
        "0 and (1 or 1 / 0) or 1",
        "default(parameters.n, parameters.absent) and true",
    ],
)
def test_what_is_not_wanted_is_not_looked_at(text: str) -> None:
    """`and`, `or` and `default` are lazy."""
    parse(text).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "'/' divides by zero"),
        ("1 % 0.0", "'%' divides by zero"),
        ("null < 1", "'<' does not go with null and a number; default(x, y) is y where x is null"),
        (
            "outputs.gone.records_out > 0",
            "'>' does not go with null and a number; default(x, y) is y where x is null",
        ),
        ("'a' >= 1", "'>=' does not go with a text and a number"),
        ("[1] < [2]", "'<' does not go with a list and a list"),
        ("true + 1", "'+' does not go with a boolean and a number"),
        ("'a' * 3", "'*' does not go with a text and a number"),
        ("'a' + 3", "'+' does not go with a text and a number"),
        ("[] + ''", "'+' does not go with a list and a text"),
        ("-'a'", "a text has no negative"),
        ("-null", "null has no negative; default(x, y) is y where x is null"),
        ("1 in 'a'", "a text can't hold a number"),
        ("1 in null", "null can't hold a number; default(x, y) is y where x is null"),
        ("1 in parameters.deep", "an object can't hold a number"),
        ("parameters.month.year", "a text has no key 'year'"),
        ("parameters.n[0]", "a number has no place that a number names"),
        ("parameters.tags[true]", "a list has no place that a boolean names"),
        ("parameters.tags.a", "a list has no key 'a'"),
        ("parameters.tags[0.0]", "a list has no place that a number names"),
        ("len(1)", "a number has no length"),
        ("lower(null)", "lower takes a text, got null; default(x, y) is y where x is null"),
        ("starts_with('a', 1)", "starts_with takes a text, got a number"),
        ("int('a')", "int: the text is not a whole number"),
        ("int('1_0')", "int: the text is not a whole number"),
        ("int(null)", "int: null is not a whole number; default(x, y) is y where x is null"),
        ("float('inf')", "float: the text is not a number"),
        ("float('1e999')", "the result is no finite number"),
        ("abs('a')", "abs takes a number, got a text"),
        ("min([])", "min of an empty list is not defined"),
        ("max(1)", "max takes a list or several values, got a number"),
        ("max(1, 'a')", "'>' does not go with a text and a number"),
        ("1e308 * 10", "the result is no finite number"),
        ("1" + "0" * 300 + " * 1" + "0" * 300, "the result is too large a number"),
        ("1" + "0" * 308 + " * 10 / 1", "the result is too large a number"),
    ],
)
def test_what_can_not_be_done_is_told(text: str, said: str) -> None:
    """In one line, with the expression, and without the data."""
    with pytest.raises(ProcessingError) as caught:
        value(text)
    shown = text if len(text) <= 100 else text[:99] + "…"
    assert str(caught.value) == f"expression {shown!r}: {said}"


def test_names_without_a_value_are_told() -> None:
    """What should have been bound, and is not, is no null."""
    for text in ["parameters.month", "run.run_id", "item"]:
        with pytest.raises(ProcessingError) as caught:
            parse(text).evaluate(Scope())
        assert str(caught.value) == f"expression {text!r}: ${{{text}}} has no value in this run"
    assert parse("outputs.a.records_out").evaluate(Scope()) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a value at column 1, where the text ends"),
        ("1 + 2 and and", "expected a value at column 11, got 'and'"),
        ("1 +", "expected a value at column 4, where the text ends"),
        ("1 2", "expected an operator at column 3, got '2'"),
        ("(1 + 2", "expected ')' at column 7, where the text ends"),
        ("[1 2]", "expected ',' or ']' at column 4, got '2'"),
        ("[1,]", "expected a value at column 4, got ']'"),
        ("len('a'", "expected ',' or ')' at column 8, where the text ends"),
        ("1 = 1", "can't read '=' at column 3; did you mean '=='?"),
        ("true && false", "can't read '&&' at column 6; did you mean 'and'?"),
        ("true || false", "can't read '||' at column 6; did you mean 'or'?"),
        ("!true", "can't read '!' at column 1; did you mean 'not'?"),
        ("1 ; 2", "can't read ';' at column 3"),
        ("é", "can't read 'é' at column 1"),
        ("12abc", "can't read '12abc' at column 1"),
        ("1 + 'abc", "the text that begins at column 5 is never closed"),
        ("'\\\n'", r"unknown escape '\\\n' at column 2; a backslash is written \\"),
        (r"'\d+'", r"unknown escape \d at column 2; a backslash is written \\"),
        ("1e999", "the number at column 1 is too large"),
        ("1 < 2 < 3", "comparisons can't be chained, at column 7; join them with 'and'"),
        ("1 + not 2", "expected a value at column 5, got 'not'"),
        ("lenn('a')", "unknown function 'lenn' at column 1; did you mean 'len'?"),
        ("defalt(1, 2)", "unknown function 'defalt' at column 1; did you mean 'default'?"),
        ("matches('a', 'a')", "unknown function 'matches' at column 1"),
        ("__import__('os')", "unknown function '__import__' at column 1"),
        ("len()", "len at column 1 takes 1 argument, got 0"),
        ("contains('a')", "contains at column 1 takes 2 arguments, got 1"),
        ("min()", "min at column 1 takes 1 to 100 arguments, got 0"),
        ("default(1)", "default at column 1 takes 2 arguments, got 1"),
        ("default(1, 2, 3)", "expected ')' at column 13, got ','"),
        ("len", "unknown name 'len' at column 1"),
        (
            "parmeters.month",
            "unknown name 'parmeters' at column 1; did you mean 'parameters'?",
        ),
        ("itm.name", "unknown name 'itm' at column 1; did you mean 'item'?"),
        (
            "1 < parameters.mnth",
            "unknown parameter 'mnth' at column 5; did you mean 'month'?",
        ),
        ("outputs.fligths.path", "unknown step 'fligths' at column 1; did you mean 'flights'?"),
        ("outputs['fligths']", "unknown step 'fligths' at column 1; did you mean 'flights'?"),
        (
            "outputs.flights.pth",
            (
                "an output has value, path, records_out, state, not 'pth', at column 17; "
                "did you mean 'path'?"
            ),
        ),
        ("run.id", "unknown field of the run 'id' at column 1"),
        ("run.fire", "unknown field of the run 'fire' at column 1; did you mean 'fire_at'?"),
        ("outputs", "'outputs' at column 1 needs the name of a step, as in outputs.NAME"),
        ("outputs.", "expected the name of a step at column 9"),
        ("parameters.[1]", "expected the name of a parameter at column 12"),
        ("parameters[1]", "expected the name of a parameter in quotes at column 12, got '1'"),
        (
            "outputs['a b']",
            "expected the name of a step in quotes at column 9, got \"'a b'\"",
        ),
        ("item.0", "expected a key at column 6, got '0'"),
        ("item.name.", "expected a key at column 11, where the text ends"),
        ("item['a'", "expected ']' at column 9, where the text ends"),
        ("${parameters.n", "expected '}' at column 15, where the text ends"),
        ("${1}", "expected a value at column 3, got '1'"),
        ("item.name()", "expected an operator at column 10, got '('"),
        ("'" + "a" * 60 + "' 1 '" + "b" * 60 + "'", "expected an operator at column 64, got '1'"),
        ("1 '" + "b" * 60 + "'", "expected an operator at column 3, got \"'" + "b" * 38 + '…"'),
        (
            "(" * (MAX_DEPTH + 1),
            "is nested more than 50 levels deep at column 51",
        ),
        (
            "1" + " " * MAX_LENGTH,
            "is longer than 2,000 characters, the most that an expression may have",
        ),
    ],
)
def test_what_is_no_expression_is_told(text: str, said: str) -> None:
    """In one line, with the column."""
    assert refused(text) == said


def test_the_error_is_a_value_error() -> None:
    """So that a model's validator may let it pass."""
    with pytest.raises(ValueError, match="expected a value at column 3, got 'and'"):
        parse("- and")


def test_results_are_bounded() -> None:
    """No text or list grows without end, and nothing is written out that is too long."""
    half, rows = "x" * (MAX_TEXT // 2 + 1), [0] * (MAX_ITEMS // 2 + 1)
    for text, more in [
        ("parameters.x + parameters.x", {"x": half}),
        ("parameters.x + parameters.x", {"x": rows}),
        ("upper(parameters.x)", {"x": "ß" * (MAX_TEXT // 2 + 1)}),
        ("str([[parameters.x, parameters.x], parameters.x])", {"x": half}),
    ]:
        with pytest.raises(ProcessingError, match=r"the result (is longer|has more) than"):
            value(text, Names(), **more)


def test_a_number_that_is_too_large_for_a_fraction_is_told() -> None:
    """What comes from outside may be larger than what an expression makes."""
    for text in ["parameters.x / 2", "parameters.x + 0.5", "float(parameters.x)"]:
        with pytest.raises(ProcessingError, match="the result is too large a number"):
            value(text, Names(), x=10**400)


def test_values_that_are_nested_without_end_do_no_harm() -> None:
    """They can be compared, and are refused where they would have to be written."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert value("parameters.x == parameters.x", Names(), x=deep) is True
    with pytest.raises(ProcessingError, match="a list can't be written as a text"):
        value("str(parameters.x)", Names(), x=deep)


def test_as_deep_and_as_long_as_may_be() -> None:
    """What is allowed can be evaluated without deep recursion."""
    assert value("(" * (MAX_DEPTH - 1) + "1" + ")" * (MAX_DEPTH - 1)) == 1
    assert value("1" + "+1" * ((MAX_LENGTH - 1) // 2)) == MAX_LENGTH // 2
    steep = "1"
    for _ in range(MAX_DEPTH - 2):
        steep = f"({steep}*1+1>0 and 1 or 1)"
    assert value(steep) == 1


@pytest.mark.parametrize("value", [False, None, 0, 0.0, "", [], {}])
def test_what_is_false(value: Any) -> None:
    """Nothing else is."""
    assert not is_true(value)


@pytest.mark.parametrize("value", [True, 1, -0.1, "false", " ", [0], {"a": None}])
def test_what_is_true(value: Any) -> None:
    """Whatever holds something."""
    assert is_true(value)


@st.composite
def numbers(draw: DrawFn, depth: int = 4) -> str:
    """Return random arithmetic that Python reads in the same way."""
    if not depth or draw(st.booleans()):
        return draw(
            st.integers(0, 99).map(str)
            | st.floats(0, 1e6, allow_subnormal=False).map(repr)
            | st.just("parameters.n")
        )
    one, other = draw(numbers(depth=depth - 1)), draw(numbers(depth=depth - 1))
    form = draw(
        st.sampled_from(
            [
                "{} + {}",
                "{} - {}",
                "{} * {}",
                "({} - {})",
                "({} + {})",
                "-{} + {}",
                "-({} * {})",
                "({}) / ({})",
                "({}) % ({})",
                "abs({} - {})",
                "min({}, {})",
                "max([{}, {}])",
            ]
        )
    )
    return form.format(one, other)


@st.composite
def truths(draw: DrawFn, depth: int = 4) -> str:
    """Return a random expression that is true or false, and that Python reads in the same way."""
    if not depth or draw(st.booleans()):
        symbol = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]))
        one, other = draw(numbers(depth=2)), draw(numbers(depth=2))
        return f"{one} {symbol} [{other}, {one}]" if "in" in symbol else f"{one} {symbol} {other}"
    one, other = draw(truths(depth=depth - 1)), draw(truths(depth=depth - 1))
    form = draw(
        st.sampled_from(["{} and {}", "{} or {}", "not {} or {}", "not ({} and {})", "({} or {})"])
    )
    return form.format(one, other)


class _Parameters:
    n = 3


def by_python(text: str) -> Any:
    """Return what Python says of an expression of ours that was made here."""
    names = {"parameters": _Parameters, "abs": abs, "min": min, "max": max, "__builtins__": {}}
    return eval(text, names)  # noqa: S307  the text is made by the strategies above


@given(numbers() | truths())
def test_agrees_with_python(text: str) -> None:
    """Arithmetic and logic come out as Python's."""
    assume(len(text) <= MAX_LENGTH)
    try:
        expected = by_python(text)
    except ZeroDivisionError:
        with pytest.raises(ProcessingError, match="divides by zero"):
            value(text)
        return
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@given(JSON)
def test_equal_to_itself(one: Any) -> None:
    """Every value is the same as itself, and none of it is changed by being looked at."""
    assert value(
        "parameters.x == parameters.x and not parameters.x != parameters.x", x=one, names=Names()
    )
    assert equal(value("parameters.x", x=one, names=Names()), one)


@given(st.integers() | st.floats(allow_nan=False), st.integers() | st.floats(allow_nan=False))
def test_orders_numbers_as_python_does(one: float, other: float) -> None:
    """All four comparisons of any two numbers."""
    for symbol, work in [
        ("<", operator.lt),
        ("<=", operator.le),
        (">", operator.gt),
        (">=", operator.ge),
    ]:
        assert value(f"parameters.a {symbol} parameters.b", Names(), a=one, b=other) is work(
            one, other
        )


@given(st.text().filter(lambda text: "\\" not in text))
def test_any_text_can_be_written(text: str) -> None:
    """With its quotes escaped."""
    assume(len(text) < MAX_LENGTH // 2)
    for quote in "'\"":
        escaped = text.replace(quote, "\\" + quote)
        assert value(f"{quote}{escaped}{quote}") == text


_WRITTEN = """
and or not in true null item parameters outputs run len default min exists
== != < <= > >= + - * / % ( ) [ ] , . ${ } ' " \\
parameters.n outputs.flights outputs.flights.value run.run_id 'a' 1 2.5 x
"""
_PIECES: SearchStrategy[str] = st.sampled_from(_WRITTEN.split())


def parsed(text: str, names: Names) -> Expression | ExpressionError:
    """Return an expression, or why it is none."""
    try:
        return parse(text, names)
    except ExpressionError as error:
        return error


@given(
    st.text()
    | st.text(alphabet=string.printable)
    | st.lists(_PIECES, max_size=25).map(" ".join)
    | st.lists(_PIECES, max_size=12).map("".join),
    st.sampled_from([NAMES, Names(), Names(items=("1a", "x", "a.b-c", "len", "and"))]),
)
def test_no_text_does_harm(text: str, names: Names) -> None:
    """It is refused with a column, or it can be evaluated, or that is refused."""
    expression = parsed(text, names)
    if isinstance(expression, ExpressionError):
        assert 1 <= expression.column <= max(len(text), 1) + 1
        assert "\n" not in str(expression)
        return
    try:
        found = expression.evaluate(SCOPE)
    except ProcessingError:
        return
    assert found is None or isinstance(found, bool | int | float | str | list | dict)


@given(truths(), st.sampled_from([" ", "  ", "\n", "\t"]))
def test_blanks_do_not_matter(text: str, blank: str) -> None:
    """More of them, or another kind, change nothing."""
    assume(len(text) * 2 <= MAX_LENGTH)
    assert parse(text.replace(" ", blank)).code == parse(text).code
