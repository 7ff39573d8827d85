"""Writes what the documentation takes from the code: `python docs/generate.py`; a test compares.

Some pages are made whole. In others it is a part, between `<!-- made: NAME -->` and
`<!-- made. -->`.
"""  # noqa: INP001  a program beside the pages that it makes

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import BaseModel
from pydantic_core import to_json

import datamcp
from datamcp import errors
from datamcp.agent_types.markets.analysis import Indicators, MarketAnalysis, Return, Returns
from datamcp.agent_types.markets.backtest import Backtest
from datamcp.agent_types.markets.quote import Drawdown, Quote
from datamcp.agent_types.markets.risk import RiskAssessment, TailRisk, WorstReturn
from datamcp.agent_types.markets.series import Bar
from datamcp.agent_types.markets.signals import MarketSignals, RuleWord, Signal, Stance
from datamcp.agent_types.trading import TradingAgent
from datamcp.agents.agent import BaseAgent, capabilities_of
from datamcp.agents.capability import capability
from datamcp.agents.manager import AgentManager, SyncAgentManager
from datamcp.bootstrap.runtime import Runtime
from datamcp.cli.tree import tree
from datamcp.errors import DatamcpError
from datamcp.pipelines.definition import (
    CacheSpec,
    Limits,
    MapSpec,
    ParameterDefinition,
    PipelineDefinition,
    ScheduleSpec,
    TaskDefinition,
)
from datamcp.pipelines.orchestrator import PipelineOrchestrator, SyncPipelineOrchestrator
from datamcp.pipelines.status import RUN_TRANSITIONS, Pipeline, PipelineStatus, RunState, StepStatus
from datamcp.processors.column_type import ColumnType
from datamcp.processors.document_rows import Split
from datamcp.processors.processor import Output
from datamcp.processors.registry import ProcessorRegistry
from datamcp.processors.rules import ColumnRules
from datamcp.processors.sql_read import Watermark
from datamcp.processors.web.options import Pages
from datamcp.public import connect, worker_app
from datamcp.scheduling.schedule import Firing, Schedule
from datamcp.scheduling.scheduler import SyncTaskScheduler, TaskScheduler
from datamcp.stack.report import (
    InstallationStatus,
    ProcessStatus,
    QueueStatus,
    ServiceStatus,
    StackPart,
    Totals,
)
from datamcp.storage.artifacts import Workspace
from datamcp.storage.roots import AllowedRoots
from datamcp.tasks.context import TaskContext
from datamcp.tasks.parameters import Parameters
from datamcp.tasks.retry import RetryPolicy
from datamcp.tasks.states import TRANSITIONS, State
from datamcp.tasks.task import Task, TaskEvent, TaskResult, TaskStatus
from datamcp.tasks.tasks import AsyncTasks, Tasks
from datamcp.testing import (
    Broker,
    CapabilityRun,
    DrainLimitError,
    EnqueuedTask,
    FakeClock,
    InlineRuntime,
    NobodyRunsItError,
    Situation,
    Worker,
    Workers,
    all_enqueued,
    assert_enqueued,
    drain,
    inline_runtime,
    refute_enqueued,
    run_capability,
    using,
)

DOCS = Path(__file__).resolve().parent

NOTICE = "This page is made by `python docs/generate.py`; do not edit it by hand.\n"

COMMANDS = """\
stdout carries results only, with `--json` as JSON; messages go to stderr. The groups `task`,
`pipeline` and `schedule` are also commands of Celery: `celery -A datamcp task list`.

`-h` or `--help` after any command shows its help.

Exit codes: 0 done · 1 the work failed · 2 wrong input · 3 a service is unreachable ·
130 interrupted.
"""

ERRORS = """\
`code` names the kind in results, JSON and the ledger. *Again*: the same call may succeed later
without any change by the caller. *Exit*: the exit code of a command that ends with it. An
exception of a capability's own that is none of these has the name of its class as its code.
"""

PROCESSORS = """\
The steps that no agent owns. `processor` names one, `configuration` holds its options; an option
that is not listed here is an error. Steps that name another in `input_sources` get what it left:
a Parquet table, or of `file.write` the file that it wrote. `http.get` and `http.post` may also leave
a value, or a file. Packages that are installed may add processors of their own (entry points of the
group `datamcp.processors`).
"""

FACADES = """\
The façades of a runtime `rt`:

| attribute | what it is | awaitable |
| --- | --- | --- |
| `rt.tasks` | [Tasks](#tasks) | `rt.tasks.aio`: [AsyncTasks](#asynctasks) |
| `rt.agents.sync` | [SyncAgentManager](#syncagentmanager) | `rt.agents`: [AgentManager](#agentmanager) |
| `rt.scheduler.sync` | [SyncTaskScheduler](#synctaskscheduler) | `rt.scheduler`: [TaskScheduler](#taskscheduler) |
| `rt.pipelines.sync` | [SyncPipelineOrchestrator](#syncpipelineorchestrator) | `rt.pipelines`: [PipelineOrchestrator](#pipelineorchestrator) |
"""

Moves = Mapping[tuple[StrEnum, StrEnum], str]

TASK_MOVES: Moves = {
    (State.SCHEDULED, State.QUEUED): "its time has come, or the last of its upstreams succeeded",
    (State.SCHEDULED, State.RUNNING): "it is due, and its message came before the sweep",
    (State.SCHEDULED, State.CANCELLED): "cancelled, or expired",
    (State.SCHEDULED, State.SUCCEEDED): "a step that needs no slot: taken over, waited for, marked",
    (State.SCHEDULED, State.FAILED): "a step that needs no slot, or could not be started",
    (State.SCHEDULED, State.TIMED_OUT): "a step waited for longer than it may",
    (State.SCHEDULED, State.SKIPPED): "a step whose condition does not hold, or that follows one",
    (State.SCHEDULED, State.UPSTREAM_FAILED): "a step before it did not succeed",
    (State.QUEUED, State.SCHEDULED): "its run was paused",
    (State.QUEUED, State.RUNNING): "claimed by a worker",
    (State.QUEUED, State.CANCELLED): "cancelled, or expired",
    (State.RUNNING, State.QUEUED): "the process that ran it died; no attempt is used up",
    (
        State.RUNNING,
        State.SCHEDULED,
    ): "snoozed: put off uncounted; or left to what replaces it (Celery tasks)",
    (
        State.RUNNING,
        State.RETRYING,
    ): "the attempt failed or ran out of time, and another is to follow",
    (State.RUNNING, State.SUCCEEDED): "the capability returned",
    (State.RUNNING, State.FAILED): "the capability raised, or workers died on it three times",
    (State.RUNNING, State.CANCELLED): "a cancel was asked for; it wins over every other ending",
    (State.RUNNING, State.TIMED_OUT): "its timeout passed",
    (State.RETRYING, State.QUEUED): "its time has come",
    (State.RETRYING, State.RUNNING): "it is due, and its message came before the sweep",
    (State.RETRYING, State.CANCELLED): "cancelled, or expired",
}

RUN_MOVES: Moves = {
    (RunState.QUEUED, RunState.RUNNING): "a first step was claimed",
    (RunState.QUEUED, RunState.PAUSED): "paused before a step started",
    (RunState.RUNNING, RunState.PAUSED): "paused",
    (RunState.PAUSED, RunState.QUEUED): "resumed; no step has started",
    (RunState.PAUSED, RunState.RUNNING): "resumed",
    (RunState.PAUSED, RunState.SUCCEEDED): "every step that had begun succeeded, and none is left",
    (RunState.PAUSED, RunState.FAILED): "all steps have ended, and one failed; or it took too long",
    (RunState.PAUSED, RunState.CANCELLED): "a cancel was asked for, and all steps have ended",
    (RunState.QUEUED, RunState.SUCCEEDED): "every step was taken over from another run, or skipped",
    (RunState.QUEUED, RunState.FAILED): "every step ended before one could start",
    (RunState.QUEUED, RunState.CANCELLED): "cancelled before a step started",
    (RunState.RUNNING, RunState.SUCCEEDED): "every step succeeded",
    (RunState.RUNNING, RunState.FAILED): "all steps have ended, and one failed or timed out",
    (RunState.RUNNING, RunState.CANCELLED): "a cancel was asked for, and all steps have ended",
}


def pages() -> dict[Path, str]:
    """Return the text of every page that is made, whole or in part."""
    whole = {
        "commands": commands_page,
        "errors": errors_page,
        "processors": processors_page,
        "python": python_page,
    }
    made = {DOCS / "reference" / f"{name}.md": make() for name, make in whole.items()}
    for path in sorted(DOCS.rglob("*.md")):
        if path not in made and "<!-- made: " in path.read_text(encoding="utf-8"):
            made[path] = _with_parts(path.read_text(encoding="utf-8"))
    return made


def _with_parts(text: str) -> str:
    parts: dict[str, Callable[[], str]] = {
        "task states": lambda: states_part(TRANSITIONS, TASK_MOVES, ("scheduled", "queued")),
        "run states": lambda: states_part(RUN_TRANSITIONS, RUN_MOVES, ("queued",)),
        "pipeline keys": pipeline_keys_part,
        "trading capabilities": lambda: capabilities_part(TradingAgent, "trading"),
        "trading results": trading_results_part,
    }

    def fill(match: re.Match[str]) -> str:
        return f"<!-- made: {match[1]} -->\n{parts[match[1]]()}<!-- made. -->"

    return re.sub(r"<!-- made: ([\w ]+) -->\n.*?<!-- made\. -->", fill, text, flags=re.DOTALL)


# States.


def states_part(transitions: Mapping[Any, frozenset[Any]], moves: Moves, first: Any) -> str:
    """Return a diagram of the states, and a table of the moves between them."""
    order = list(type(next(iter(transitions))))
    edges = [(a, b) for a in order for b in sorted(transitions[a], key=order.index)]
    final = [state for state in order if not transitions[state]]
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {state}" for state in first]
    lines += [f"    {before} --> {after}" for before, after in edges]
    lines += [f"    {state} --> [*]" for state in final]
    lines += ["```", "", "| from | to | when |", "| --- | --- | --- |"]
    lines += [f"| `{a}` | `{b}` | {moves[a, b]} |" for a, b in edges]
    return "\n".join(lines) + "\n"


# The command line.


def commands_page() -> str:
    """Return the page of all commands."""
    lines = ["# Command line", "", NOTICE, COMMANDS]
    for path, command in _commands("datamcp", tree):
        lines += [*_command(path, command)]
    lines += ["## JSON of `datamcp status`", ""]
    for model in (
        InstallationStatus,
        StackPart,
        ServiceStatus,
        QueueStatus,
        ProcessStatus,
        Totals,
    ):
        lines += _model(model)
    return "\n".join(lines)


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if inner := command.get_command(context, name):
                yield from _commands(f"{path} {name}", inner)


def _command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"## `{path}`\n"
    yield f"    {path} {' '.join(command.collect_usage_pieces(context))}\n"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        text = paragraph.lstrip("\b\n")
        yield f"```text\n{text}\n```\n" if paragraph.startswith("\b") else f"{text}\n"
    options = [one for one in command.params if isinstance(one, click.Option)]
    if options:
        yield "| option | meaning |"
        yield "| --- | --- |"
        for option in options:
            yield f"| {_names(option, context)} | {_cell(_meaning(option))} |"
        yield ""


def _names(option: click.Option, context: click.Context) -> str:
    value = "" if option.is_flag else f" {_cell(option.make_metavar(context))}"
    return ", ".join(f"`{name}{value}`" for name in option.opts)


def _meaning(option: click.Option) -> str:
    value = option.default
    shown = f"{value:g}" if isinstance(value, int | float) else value
    default = f" Default: `{shown}`." if option.show_default else ""
    return f"{option.help or ''}{default}"


# Errors.


def errors_page() -> str:
    """Return the page of all errors."""
    head, picture, _ = (str(errors.__doc__)).split("\n\n", 2)
    lines = ["# Errors", "", NOTICE, head, "", "```text", picture, "```", ""]
    lines += [
        ERRORS,
        "| error | code | again | exit | meaning | evidence |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    classes = [one for _, one in inspect.getmembers(errors, inspect.isclass)]
    ours = [one for one in classes if issubclass(one, DatamcpError)]
    for one in sorted(ours, key=lambda one: inspect.getsourcelines(one)[1]):
        again = "yes" if one.is_retryable else ""
        code = one.exit_code
        first = inspect.cleandoc(one.__doc__ or "").partition("\n")[0]
        evidence = ", ".join(f"`{name}`" for name in _evidence(one))
        lines.append(
            f"| `{one.__name__}` | `{one.code}` | {again} | {code} | {first} | {evidence} |"
        )
    unraised = ", ".join(f"`{one.__name__}`" for one in ours if _is_unraised(one))
    lines += ["", f"Not raised by this version: {unraised}."] if unraised else []
    return "\n".join(lines) + "\n"


def _is_unraised(error: type[DatamcpError]) -> bool:
    sources = {*Path(datamcp.__file__).parent.rglob("*.py")} - {Path(errors.__file__)}
    is_made = any(f"{error.__name__}(" in path.read_text(encoding="utf-8") for path in sources)
    return not (is_made or error.__subclasses__())


def _evidence(error: type[DatamcpError]) -> list[str]:
    source = inspect.getsource(error.__init__) if "__init__" in vars(error) else ""
    return [
        name for name in re.findall(r"self\.(\w+) =", source) if name not in {"args", "message"}
    ]


# Processors and pipeline files.


def processors_page() -> str:
    """Return the page of all processors and their options."""
    registry = ProcessorRegistry(roots=AllowedRoots([]), threads=1, memory_limit="1GiB")
    lines = ["# Processors", "", NOTICE, PROCESSORS]
    for name in registry.names():
        model, processor = registry.config_model(name), type(registry.create(name))
        lines += [f"## `{name}`", "", inspect.cleandoc(processor.__doc__ or ""), ""]
        lines += [inspect.cleandoc(model.__doc__ or ""), "", *_options(model)]
    mark = inspect.cleandoc(Watermark.__doc__ or "")
    lines += ["## Watermark", "", mark, "", *_options(Watermark)]
    rules = inspect.cleandoc(ColumnRules.__doc__ or "")
    lines += ["## Rules of a column", "", rules, "", *_options(ColumnRules)]
    lines += ["## Types of a column", "", inspect.cleandoc(ColumnType.__doc__ or ""), ""]
    for part in (*get_args(get_args(Split)[0]), *get_args(get_args(Pages)[0])):
        lines += [f"## {part.__name__}", "", inspect.cleandoc(part.__doc__ or ""), ""]
        lines += _options(part)
    return "\n".join(lines).rstrip() + "\n"


def _options(model: type[BaseModel]) -> Iterator[str]:
    schema = model.model_json_schema()
    yield "| option | type | default |"
    yield "| --- | --- | --- |"
    for name, field in model.model_fields.items():
        key = field.alias or name
        kind = _kind(schema["properties"][key], schema.get("$defs", {}))
        yield f"| `{key}` | {kind} | {_default(model, name)} |"
    yield ""


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    if field.default_factory is not None and name in {"name", "task_type"}:
        return "`pipeline_id`" if name == "name" else "`processor`"
    value = field.get_default(call_default_factory=True)
    return "–" if value is None else f"`{to_json(value).decode()}`"  # noqa: RUF001  a dash


def _kind(shape: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return what a JSON Schema allows, in words."""
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        inner = definitions[name]
        is_model = "properties" in inner
        return f"[{name}](#{_anchor(name)})" if is_model else _kind(inner, definitions)
    if "enum" in shape:
        return ", ".join(f"`{value}`" for value in shape["enum"])
    if "const" in shape:
        return f"`{shape['const']}`"
    if "anyOf" in shape or "oneOf" in shape:
        kinds = [_kind(one, definitions) for one in shape.get("anyOf") or shape["oneOf"]]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    match shape.get("type"):
        case "array":
            return f"list of {_kind(shape.get('items', {}), definitions)}"
        case "object":
            inner = next(iter(shape.get("patternProperties", {}).values()), None)
            inner = inner or shape.get("additionalProperties")
            held = _kind(inner, definitions) if isinstance(inner, Mapping) else "any value"
            return f"mapping of names to {held or 'any value'}"
        case "string":
            formats = {"date-time": "instant (ISO 8601)", "date": "day (ISO 8601)"}
            return formats.get(shape.get("format", ""), "text")
        case "integer":
            return f"whole number{_bounds(shape)}"
        case "number":
            return f"number{_bounds(shape)}"
        case "boolean":
            return "true or false"
        case "null":
            return "null"
    return "any value"


def _bounds(shape: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    told = [f"{sign} {shape[name]:g}" for name, sign in signs.items() if name in shape]
    return f", {', '.join(told)}" if told else ""


def _anchor(name: str) -> str:
    return {"ColumnRules": "rules-of-a-column"}.get(name, name.lower())


def pipeline_keys_part() -> str:
    """Return a table for each mapping that a pipeline file may hold."""
    lines: list[str] = []
    for model in (
        PipelineDefinition,
        TaskDefinition,
        ParameterDefinition,
        RetryPolicy,
        ScheduleSpec,
        Limits,
        MapSpec,
        CacheSpec,
    ):
        about = inspect.cleandoc(model.__doc__ or "")
        lines += [f"### {model.__name__}", "", about, "", *_options(model)]
    return "\n".join(lines) + "\n"


# Agents of the product.


def capabilities_part(agent: type[BaseAgent], agent_type: str) -> str:
    """Return a table of the parameters of each capability of an agent."""
    lines: list[str] = []
    for name, method in capabilities_of(agent, agent_type).items():
        schema = Parameters.of(name, method.function).schema
        signature = inspect.signature(method.function)
        lines += [f"### `{name}`", "", inspect.getdoc(method.function) or "", ""]
        lines += ["| parameter | type | default |", "| --- | --- | --- |"]
        for parameter, shape in schema["properties"].items():
            default = _default_of(signature.parameters[parameter])
            lines.append(f"| `{parameter}` | {_kind(shape, schema.get('$defs', {}))} | {default} |")
        lines.append("")
    return "\n".join(lines)


def _default_of(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required"
    return "–" if parameter.default is None else f"`{to_json(parameter.default).decode()}`"  # noqa: RUF001  a dash


def trading_results_part() -> str:
    """Return a table of what each result of the trading agent holds."""
    lines: list[str] = []
    for model in (
        Bar,
        MarketAnalysis,
        Returns,
        Return,
        Indicators,
        MarketSignals,
        Signal,
        RuleWord,
        Stance,
        Backtest,
        RiskAssessment,
        TailRisk,
        WorstReturn,
        Quote,
        Drawdown,
    ):
        lines += [f"### {model.__name__}", "", inspect.cleandoc(model.__doc__ or ""), ""]
        lines += ["| field | type | meaning |", "| --- | --- | --- |"]
        schema = model.model_json_schema(mode="serialization")
        for name, shape in schema["properties"].items():
            kind = _kind(shape, schema.get("$defs", {}))
            lines.append(f"| `{name}` | {kind} | {_cell(shape.get('description', ''))} |")
        lines.append("")
    return "\n".join(lines)


# Python.


def python_page() -> str:
    """Return the page of all public names."""
    lines = ["# Python", "", NOTICE]
    lines += [
        "What can be imported from `datamcp`: "
        + ", ".join(f"`{n}`" for n in datamcp.__all__)
        + ".",
        "",
        "## Connecting",
        "",
        *_function(connect),
        *_class(Runtime, {"require_ledger", "close"}),
        FACADES,
        *_function(worker_app),
        "### `celery`",
        "",
        "The app of `celery -A datamcp …`, a `celery.Celery` that is built at its first use.",
        "",
        "## Tasks and their results",
        "",
    ]
    for model in (Task, TaskStatus, TaskResult, TaskEvent, RetryPolicy):
        lines += _model(model)
    lines += [*_class(Tasks), *_class(AsyncTasks)]
    lines += ["## Agents", "", *_class(BaseAgent), *_function(capability)]
    lines += [*_class(TaskContext), *_class(Workspace), *_class(AgentManager)]
    lines += [*_class(SyncAgentManager), "## Schedules", ""]
    for model in (Schedule, Firing):
        lines += _model(model)
    lines += [*_class(SyncTaskScheduler), *_class(TaskScheduler), "## Pipelines", ""]
    for model in (PipelineDefinition, TaskDefinition, Pipeline, PipelineStatus, StepStatus, Output):
        lines += _model(model)
    lines += [*_class(SyncPipelineOrchestrator), *_class(PipelineOrchestrator), *_testing()]
    return "\n".join(lines).rstrip() + "\n"


def _testing() -> Iterator[str]:
    yield "## Testing\n"
    yield "What can be imported from `datamcp.testing`; see [how to](../how-to/testing.md).\n"
    for function in (drain, assert_enqueued, refute_enqueued, all_enqueued, run_capability):
        yield from _function(function)
    for function in (using, inline_runtime):
        yield from _function(function)
    for found in (FakeClock, InlineRuntime, Workers, Worker, NobodyRunsItError, DrainLimitError):
        yield from _class(found)
    for found in (Situation, CapabilityRun, EnqueuedTask, Broker):
        yield from _class(found)
        yield from _fields(found)


def _function(function: Callable[..., Any]) -> Iterator[str]:
    yield f"### `{function.__name__}`\n"
    yield f"```python\n{_signature(function)}\n```\n"
    yield f"{inspect.getdoc(function)}\n"


def _class(found: type, only: set[str] | None = None) -> Iterator[str]:
    yield f"### {found.__name__}\n"
    yield f"{inspect.cleandoc(found.__doc__ or '')}\n"
    for name, member in vars(found).items():
        if name.startswith("_") or (only is not None and name not in only):
            continue
        function = getattr(member, "fget", None) or getattr(member, "func", member)
        if inspect.isfunction(function):
            is_attribute = function is not member and not isinstance(member, staticmethod)
            yield f"#### `{found.__name__}.{name}`\n"
            if not is_attribute:
                yield f"```python\n{_signature(function)}\n```\n"
            yield f"{inspect.getdoc(function)}\n"


def _fields(found: type) -> Iterator[str]:
    """Yield a table of a dataclass's fields."""
    yield "| field | type | default |"
    yield "| --- | --- | --- |"
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(found)))):
        if isinstance(node, ast.AnnAssign):
            default = "" if node.value is None else f"`{_cell(ast.unparse(node.value))}`"
            shown = _cell(ast.unparse(node.annotation))
            yield f"| `{ast.unparse(node.target)}` | `{shown}` | {default} |"
    yield ""


def _model(model: type[BaseModel]) -> Iterator[str]:
    yield f"### {model.__name__}\n"
    yield f"{inspect.cleandoc(model.__doc__ or '')}\n"
    written = {
        node.target.id: ast.unparse(node.annotation)
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(model))))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    yield "| field | type | default |"
    yield "| --- | --- | --- |"
    for name in model.model_fields:
        yield f"| `{name}` | `{_cell(written[name])}` | {_default(model, name)} |"
    yield ""


def _signature(function: Callable[..., Any]) -> str:
    """Return a signature as the source has it, without decorators."""
    source = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(source).body[0]
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        raise TypeError(f"{function} is no function")
    lines = source.splitlines()[node.lineno - 1 : node.body[0].lineno - 1]
    return re.sub(r":\s*(#.*)?$", "", "\n".join(lines))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write every page that has changed."""
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(DOCS.parent)}\n")


if __name__ == "__main__":
    main()
