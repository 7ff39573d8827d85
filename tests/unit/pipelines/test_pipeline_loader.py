from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import InvalidPipelineError
from datamcp.pipelines.definition import ParameterDefinition, PipelineDefinition, TaskDefinition
from datamcp.pipelines.loader import MAX_BYTES, load, parse

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
  - {task_id: report, processor: http.get}
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
        "f.yaml:6 timeout: `timeout` of a whole run is not available in this version",
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
        "f.yaml:21 tasks[4].processor: `http.get` is not available in this version",
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
