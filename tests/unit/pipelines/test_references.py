from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import InvalidParametersError, ProcessingError
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.references import (
    Malformed,
    Reference,
    bind_parameters,
    edges,
    resolve,
    strings,
    tokens,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@dataclass(frozen=True)
class Output:
    value: Any = None
    path: str | None = None
    records_out: int | None = None


def resolved(configuration: Any, **outputs: Output) -> Any:
    """Return a configuration resolved in a run of January."""
    return resolve(
        configuration,
        parameters={"month": "2013-01", "n": 3, "tags": ["a", "b"], "none": None},
        outputs=outputs,
        run={"run_id": "r1", "fire_at": "2026-01-01T00:00:00Z"},
    )


@given(JSON)
def test_what_has_no_reference_is_left_alone(value: Any) -> None:
    """A configuration without `${` is itself."""
    if not any("${" in text for _, text in strings(value)):
        assert resolved(value) == value
        assert edges(value) == set()


@given(st.text())
def test_any_text_can_be_written(text: str) -> None:
    """With each `${` written as `$${` a text comes out as it was meant."""
    if "$${" not in text:
        assert resolved(text.replace("${", "$${")) == text


@given(st.text(alphabet="${}.outpsrameun_x "))
def test_any_text_can_be_read(text: str) -> None:
    """No text breaks the reader."""
    assert all(isinstance(token, str | Reference | Malformed) for token in tokens(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${parameters.n}", 3),
        ("${parameters.tags}", ["a", "b"]),
        ("${parameters.none}", None),
        ("${ parameters.n }", 3),
        ("n=${parameters.n}", "n=3"),
        ("${parameters.n}${parameters.n}", "33"),
        ("in ${parameters.tags}", 'in ["a","b"]'),
        ("data/${parameters.month}.csv", "data/2013-01.csv"),
        ("${run.run_id}@${run.fire_at}", "r1@2026-01-01T00:00:00Z"),
        ("${outputs.a.value}", {"x": 1}),
        ("${outputs.a}", {"x": 1}),
        ("${outputs.b}", "/b.parquet"),
        ("${outputs.b.path}", "/b.parquet"),
        ("${outputs.b.records_out}", 0),
        ("${outputs.b.value}", None),
        ("cost: $5, {x}", "cost: $5, {x}"),
    ],
)
def test_references_become_values(text: str, value: Any) -> None:
    """A reference alone keeps the type of its value; inside of text it is written out."""
    outputs = {"a": Output(value={"x": 1}), "b": Output(path="/b.parquet", records_out=0)}
    assert resolved({"deep": [text]}, **outputs) == {"deep": [value]}


def test_values_are_not_searched_for_references() -> None:
    """What a step put out is data, even if it looks like a reference."""
    assert resolved("${outputs.a.value}", a=Output(value="${run.run_id}")) == "${run.run_id}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${parameters.gone}", "has no value in this run"),
        ("${outputs.gone.path}", "has no value in this run"),
        ("${outputs.a.path}", "the step left no path"),
        ("x ${parameters.none}", "is null and can't be part of a text"),
        ("${env.HOME}", "is no reference"),
        ("${parameters.n", "never closed"),
    ],
)
def test_references_without_a_value_are_errors(text: str, message: str) -> None:
    """Nothing is silently left empty."""
    with pytest.raises(ProcessingError, match=message):
        resolved([text, text + "!"][text.startswith(("${env", "${parameters.n"))], a=Output())


def test_steps_may_have_dots_in_their_names() -> None:
    """The last part is a field only if an output has such a field."""
    found = list(tokens("${outputs.a.b.path}${outputs.a.b}"))
    assert found == [Reference("outputs", "a.b", "path"), Reference("outputs", "a.b")]
    assert [str(token) for token in found] == ["${outputs.a.b.path}", "${outputs.a.b}"]


def test_references_are_edges() -> None:
    """Every step whose output is referred to is an upstream."""
    configuration = {
        "x": ["${outputs.a.value}", {"y": "${outputs.b} ${parameters.c} $${outputs.d}"}]
    }
    assert edges(configuration) == {"a", "b"}


def test_strings_know_their_paths() -> None:
    """A string is found with the way to it."""
    assert list(strings({"tables": [{"sql": "x"}], "n": 1}, "c")) == [("c.tables[0].sql", "x")]


DEFINITION = PipelineDefinition.model_validate(
    {
        "pipeline_id": "p",
        "parameters": {
            "month": {"default": "2013-01"},
            "n": {"type": "integer"},
            "note": {"required": False},
        },
        "tasks": [{"task_id": "a", "processor": "x.y"}],
    }
)


def test_parameters_are_given_or_default() -> None:
    """What is not given has its default, or null."""
    assert bind_parameters(DEFINITION, {"n": 1}) == {"month": "2013-01", "n": 1, "note": None}


def test_wrong_parameters_are_told_all_at_once() -> None:
    """Unknown, missing and wrong parameters are listed together."""
    with pytest.raises(InvalidParametersError) as caught:
        bind_parameters(DEFINITION, {"mnth": "x", "month": 201301})
    assert [str(problem) for problem in caught.value.problems] == [
        "mnth: is not a parameter; did you mean 'month'?",
        "month: must be of type string, got 201301",
        "n: is required",
    ]


ELEMENT = {"k": {"n": 1, "list": ["a", {"b": None}]}, "0": "zero", "a b": 2}


def of_element(configuration: Any, element: Any = ELEMENT, name: str = "item") -> Any:
    """Return a configuration resolved for an element."""
    return resolve(
        configuration,
        parameters={"item": "a parameter"},
        outputs={},
        run={"run_id": "r1"},
        items={name: element},
    )


class TestItems:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("${item}", ELEMENT),
            ("${ item }", ELEMENT),
            ("${item.k}", ELEMENT["k"]),
            ("${item.k.n}", 1),
            ("${item.k.list.1.b}", None),
            ("${item.k.list.0}", "a"),
            ("${item.0}", "zero"),
            ("${item.a b}", 2),
            ("is ${item.k.n}!", "is 1!"),
            ("${item.k.n}${item.0}", "1zero"),
            ("${parameters.item} of ${run.run_id}", "a parameter of r1"),
            ("$${item}", "${item}"),
        ],
    )
    def test_are_named_by_path(self, text: str, value: Any) -> None:
        """Alone with their type, in text written out."""
        assert of_element(text) == value
        assert of_element({"deep": [text]}) == {"deep": [value]}

    @pytest.mark.parametrize(
        "path", ["x", "k.x", "k.n.x", "k.list.2", "k.list.-1", "k.list.one", "0.0", "k.list.²"]
    )
    def test_that_are_not_there_are_named(self, path: str) -> None:
        """With the part that is missing."""
        with pytest.raises(ProcessingError, match="names nothing: the element has no"):
            of_element(f"${{item.{path}}}")

    def test_of_another_name(self) -> None:
        """What `as` says counts, and nothing else."""
        assert of_element("${row.k.n}", name="row") == 1
        with pytest.raises(ProcessingError, match="is no reference"):
            of_element("${item}", name="row")

    def test_are_no_references_elsewhere(self) -> None:
        """Where a step is not repeated."""
        with pytest.raises(ProcessingError, match="is no reference"):
            resolved("${item}")

    @given(JSON)
    def test_are_never_searched_for_references(self, value: Any) -> None:
        """Nor changed in any other way."""
        nested = {"text": "${parameters.item} ${", "value": value}
        assert of_element(["${item}", "${item.value}"], nested) == [nested, value]

    def test_are_no_edges(self) -> None:
        """Steps of the same name among them."""
        assert edges(["${item.outputs.a}", "${outputs.item.value}"], "item") == {"item"}

    def test_are_shown_as_they_were_written(self) -> None:
        """Their path with them."""
        assert [str(one) for one in tokens("${item.k.n}${item}", "item")] == [
            "${item.k.n}",
            "${item}",
        ]
