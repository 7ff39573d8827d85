import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import InvalidPipelineError, UnknownTaskTypeError
from datamcp.pipelines.definition import (
    MapSpec,
    ParameterDefinition,
    PipelineDefinition,
    TaskDefinition,
)
from datamcp.pipelines.loader import MAX_BYTES, load, parse
from datamcp.tasks.parameters import Parameters
from datamcp.tasks.retry import RetryPolicy

SOUND = """\
pipeline_id: flights
name: Flight delays
version: "1"
parameters: {month: {type: string, default: "2013-01"}}
tasks:
  - task_id: flights
    processor: file.read
    configuration: {path: "data/flights_${parameters.month}.csv.gz"}
  - task_id: by_carrier
    processor: sql.transform
    input_sources: [flights]
    configuration: {sql: "select carrier, avg(dep_delay) d from flights group by 1"}
dependencies: {by_carrier: [flights]}
"""

BROKEN = """\
pipeline_id: flights
nam: Flight delays
version: 1
parameters: {month: {type: string, defalt: x}, n: {type: integer, default: x}}
schedule: {schedule: "@daily", timezon: UTC}
timeout: 900
tasks:
  - task_id: flights
    procesor: file.read
    configuration: {path: "data/flights_${parameters.mnth}.csv.gz"}
  - task_id: by carrier
    processor: sql.transfrm
    input_sources: [fligts]
    input_sources: [flights]
  - task_id: signals
    processor: trading.generate_signals
    configuration: {prices: "${outputs.report}"}
    retry_policy: {max_attempts: 0, strategy: expo}
    map: {over: "${outputs.flights.value}", max_paralel: 4}
  - 3
  - {task_id: report, processor: memory.store}
  - {task_id: report, processor: sql.transform}
dependencies: {report: [signals], signals: report}
"""

KNOWN = {"file.read", "sql.transform", "trading.generate_signals"}


def problems(text: str, known: set[str] | None = None) -> list[str]:
    """Return what is wrong with a text, a line each."""
    with pytest.raises(InvalidPipelineError) as caught:
        parse(text, source="f.yaml", known=known)
    return [str(problem) for problem in caught.value.problems]


def test_file_says_what_python_says(tmp_path: Path) -> None:
    """The same pipeline is the same definition in YAML and in Python."""
    (tmp_path / "flights.yaml").write_text(SOUND)
    assert load(tmp_path / "flights.yaml", known=KNOWN) == PipelineDefinition(
        pipeline_id="flights",
        name="Flight delays",
        parameters={"month": ParameterDefinition(default="2013-01")},
        tasks=(
            TaskDefinition(
                task_id="flights",
                processor="file.read",
                configuration={"path": "data/flights_${parameters.month}.csv.gz"},
            ),
            TaskDefinition(
                task_id="by_carrier",
                processor="sql.transform",
                input_sources=("flights",),
                configuration={"sql": "select carrier, avg(dep_delay) d from flights group by 1"},
            ),
        ),
        dependencies={"by_carrier": ("flights",)},
    )


def test_everything_wrong_is_told_at_once() -> None:
    """Form, names, references, cycles and what is not there yet: each with line and path."""
    assert problems(BROKEN, KNOWN) == [
        "f.yaml:2 nam: unknown key 'nam'; did you mean 'name'?",
        "f.yaml:3 version: must be text, got 1; put it in quotes",
        "f.yaml:4 parameters.month.defalt: unknown key 'defalt'; did you mean 'default'?",
        "f.yaml:4 parameters.n: the default must be of type integer, got 'x'",
        "f.yaml:5 schedule.timezon: unknown key 'timezon'; did you mean 'timezone'?",
        "f.yaml:8 tasks[0].processor: is required",
        "f.yaml:9 tasks[0].procesor: unknown key 'procesor'; did you mean 'processor'?",
        "f.yaml:10 tasks[0].configuration.path: unknown parameter 'mnth'; did you mean 'month'?",
        "f.yaml:11 tasks[1].task_id: may hold letters, digits, '_', '-' and '.' only, got 'by carrier'",
        "f.yaml:12 tasks[1].processor: unknown processor 'sql.transfrm'; did you mean 'sql.transform'?",
        "f.yaml:13 tasks[1].input_sources[0]: unknown step 'fligts'; did you mean 'flights'?",
        "f.yaml:14 tasks[1].input_sources: key 'input_sources' is already given on line 13",
        "f.yaml:15 tasks[2]: cycle: signals -> report -> signals",
        "f.yaml:18 tasks[2].retry_policy.max_attempts: must be greater than or equal to 1, got 0",
        "f.yaml:18 tasks[2].retry_policy.strategy: must be 'constant', 'linear', 'exponential' or 'jittered', got 'expo'",
        "f.yaml:19 tasks[2].map.max_paralel: unknown key 'max_paralel'; did you mean 'max_parallel'?",
        "f.yaml:20 tasks[3]: must be a mapping of keys to values, got 3",
        "f.yaml:21 tasks[4].processor: `memory.store` is not available in this version",
        "f.yaml:22 tasks[5].task_id: step 'report' is already defined by tasks[4]",
        "f.yaml:23 dependencies.signals: must be a list, got 'report'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "f.yaml:1: is empty"),
        ("- 1", "f.yaml:1: must be a mapping of keys to values"),
        ("just words", "f.yaml:1: must be a mapping of keys to values"),
        ("pipeline_id: p\ntasks: []", "f.yaml:2 tasks: must not be empty"),
        ("pipeline_id: p\ntasks: {a: b}", "f.yaml:2 tasks: must be a list"),
        ("pipeline_id: p", "f.yaml:1 tasks: is required"),
        ("tasks: [{task_id: a, processor: x.y}]", "f.yaml:1 pipeline_id: is required"),
        (
            "pipeline_id: p\ntasks:\n- task_id: a\n  processor: x.y\n  configuration: {n: 1e999}",
            "f.yaml:5 tasks[0].configuration.n: must be a finite number, got inf",
        ),
        (
            "pipeline_id: p\ntimeout: true\ntasks: [{task_id: a, processor: x.y}]",
            "f.yaml:2 timeout: must be a number, got true",
        ),
        (
            "pipeline_id: p\ntimeout: '60'\ntasks: [{task_id: a, processor: x.y}]",
            "f.yaml:2 timeout: must be a number, got '60'; leave the quotes out",
        ),
        (
            'pipeline_id: p\nname: "\\ud800"\ntasks: [{task_id: a, processor: x.y}]',
            "f.yaml:2 name: holds half a character: '\\ud800'",
        ),
        (
            "pipeline_id: p\nparameters: {m: {defalt: x}}\nschedule: '@daily'\ntasks: [{task_id: a, processor: x.y}]",
            "f.yaml:2 parameters.m.defalt: unknown key 'defalt'; did you mean 'default'?",
        ),
        (
            "pipeline_id: p\ntasks: [{task_id: a, processor: x.y, <<: 3}]",
            "f.yaml:2 tasks[0].<<: keys can't be merged; write them out",
        ),
        (
            "pipeline_id: p\nname: [1]\ntasks: [{task_id: a, processor: x.y}]",
            "f.yaml:2 name: must be text",
        ),
        (
            "pipeline_id: p\nschedule: 3\ntasks: [{task_id: a, processor: x.y}]",
            "f.yaml:2 schedule: must be text, got 3; put it in quotes",
        ),
    ],
)
def test_one_mistake_is_one_line(text: str, problem: str) -> None:
    """A single mistake is told once, with nothing that only follows from it."""
    assert problems(text) == [problem]


@given(st.text(st.characters(codec="utf-8")) | st.text(alphabet="abtasks_id:[]{}-,'\"&*!#|> \n$"))
def test_no_text_is_a_traceback(text: str) -> None:
    """Whatever a file holds, the answer is a definition or a list of problems."""
    with pytest.raises(InvalidPipelineError) as caught:
        parse(text)
    assert caught.value.problems


_KEYS = st.sampled_from(
    [
        *PipelineDefinition.model_fields,
        *TaskDefinition.model_fields,
        *MapSpec.model_fields,
        *RetryPolicy.model_fields,
        "finally",
        "as",
        "default",
        "type",
        "nonsense",
    ]
)
_WORDS = st.sampled_from(
    [
        "a",
        "b",
        "a b",
        "",
        "file.read",
        "${outputs.a}",
        "${",
        "${item}",
        "outputs.a.value >",
        "@daily",
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats() | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_STEPS = st.lists(_VALUES | st.dictionaries(_KEYS, _VALUES, max_size=6), max_size=4)
_FILES = st.dictionaries(_KEYS, _VALUES, max_size=6) | st.fixed_dictionaries(
    {"tasks": _STEPS},
    optional={"finally": _STEPS, "parameters": _VALUES, "dependencies": _VALUES},
)


@given(_FILES)
def test_no_form_is_a_traceback(value: dict[str, Any]) -> None:
    """Whatever stands wherever."""
    with suppress(InvalidPipelineError):
        parse(json.dumps(value), find=lambda _name: None)


def test_what_is_wrong_in_finally_hides_nothing_else() -> None:
    """Its steps are salvaged as others are."""
    text = """\
pipeline_id: p
tasks:
- {task_id: a, processor: x.y}
finally:
- {task_id: f, procesor: x.y, when: outputs.aa.state == 'failed'}
- 3
- {task_id: a, processor: x.y}
- {task_id: g, processor: x.y, map: {over: "${parameters.xs}", max_paralel: 3}}
"""
    assert problems(text) == [
        "f.yaml:5 finally[0].processor: is required",
        "f.yaml:5 finally[0].procesor: unknown key 'procesor'; did you mean 'processor'?",
        "f.yaml:5 finally[0].when: unknown step 'aa' at column 1; did you mean 'a'?",
        "f.yaml:6 finally[1]: must be a mapping of keys to values, got 3",
        "f.yaml:7 finally[2].task_id: step 'a' is already defined by tasks[0]",
        "f.yaml:8 finally[3].map.max_paralel: unknown key 'max_paralel'; did you mean 'max_parallel'?",
        "f.yaml:8 finally[3].map.over: unknown parameter 'xs'",
    ]


def test_a_key_that_is_misspelt_still_names_its_step() -> None:
    """Nothing is told of those that refer to the step."""
    assert problems(
        "pipeline_id: p\ntasks:\n- {taskid: a, processor: x.y}\n"
        "- {task_id: b, processor: x.y, input_sources: [a]}"
    ) == [
        "f.yaml:3 tasks[0].task_id: is required",
        "f.yaml:3 tasks[0].taskid: unknown key 'taskid'; did you mean 'task_id'?",
    ]


def test_what_processors_do_not_accept_has_its_line() -> None:
    """Beside all else that is wrong."""
    text = """\
pipeline_id: p
tasks:
- task_id: a
  processor: bench.add
  configuration:
    b: many
    c: 1
- {task_id: b, processor: bench.sub, retry_policy: {max_attempts: 9}}
- {task_id: c, processor: bench.add, configuration: 3}
- 3
"""
    with pytest.raises(InvalidPipelineError) as caught:
        parse(text, source="f.yaml", find=find, most_retries=3)
    assert [str(problem) for problem in caught.value.problems] == [
        "f.yaml:5 tasks[0].configuration.a: is required",
        "f.yaml:6 tasks[0].configuration.b: must be a whole number, got 'many'",
        "f.yaml:7 tasks[0].configuration.c: unknown key 'c'",
        "f.yaml:8 tasks[1].processor: unknown processor 'bench.sub'; there is bench.add",
        "f.yaml:8 tasks[1].retry_policy.max_attempts: must be at most 4, got 9: `pipelines.max_retry_attempts` allows a step 3 retries",
        "f.yaml:9 tasks[2].configuration: must be a mapping of keys to values, got 3",
        "f.yaml:10 tasks[3]: must be a mapping of keys to values, got 3",
    ]


def find(name: str) -> Parameters | None:
    """Return what the only capability that there is accepts."""
    if name != "bench.add":
        raise UnknownTaskTypeError(name, "there is bench.add")
    return Parameters.of("bench.add", add)


def add(a: int, b: int = 0) -> int:
    """Add."""
    return a + b


def test_unreadable_files_are_one_line_each(tmp_path: Path) -> None:
    """A file that is missing, a folder, binary or enormous is told in one line."""
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    reasons = {
        "none.yaml": "there is no such file",
        ".": "can't be read: Is a directory",
        "binary.yaml": "is not UTF-8 text",
        "large.yaml": f"is larger than {MAX_BYTES} bytes",
    }
    for name, reason in reasons.items():
        with pytest.raises(InvalidPipelineError) as caught:
            load(tmp_path / name)
        assert str(caught.value) == f"pipeline {tmp_path / name} is not valid: {reason}"
