"""`output_destinations` of steps, as the steps that deliver their outputs. Pure.

A delivery is a step like any other: it has its attempts, its place in the history and in the
lineage, and its failure is the run's. It waits for the step whose output it takes, and nobody waits
for it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from datamcp.config.root import fault_of_remote
from datamcp.config.url import scheme_of
from datamcp.errors import Problem
from datamcp.pipelines.definition import MAX_ID_LENGTH, PipelineDefinition, TaskDefinition

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")  # as of `integrations`
_SERVERS = frozenset({"http", "https", "ws", "wss"})
_LOCAL = frozenset({"", "file"})


@dataclass(frozen=True, slots=True)
class Expanded:
    """A definition with the steps of its deliveries.

    `places` maps where these stand (`tasks[7]`) to the destinations that they are made of
    (`tasks[2].output_destinations[0]`).
    """

    definition: PipelineDefinition
    places: Mapping[str, str]

    def as_written(self, problem: Problem) -> Problem:
        """Return a problem of a delivery as one of what its author wrote."""
        place = problem.path.partition(".")[0]
        return Problem(self.places.get(place, problem.path), problem.message)


def expand(definition: PipelineDefinition) -> Expanded:
    """Return a definition to which a step is added for each destination; it may have them already.

    What `wrong_destinations` finds fault with is left out.
    """
    places: dict[str, str] = {}
    added: dict[str, list[TaskDefinition]] = {"tasks": [], "finally": []}
    there = {"tasks": len(definition.tasks), "finally": len(definition.finally_)}
    for place, step in definition.placed:
        section = place.partition("[")[0]
        for number, destination in enumerate(step.output_destinations):
            name = delivery_id(step.task_id, number)
            if name in definition.step_ids or _fault(step, number):
                continue
            places[f"{section}[{there[section] + len(added[section])}]"] = (
                f"{place}.output_destinations[{number}]"
            )
            added[section].append(_delivery(step, name, destination))
    if not places:
        return Expanded(definition, {})
    update = {"tasks": (*definition.tasks, *added["tasks"])}
    if added["finally"]:
        update["finally_"] = (*definition.finally_, *added["finally"])
    return Expanded(definition.model_copy(update=update), places)


def wrong_destinations(definition: PipelineDefinition) -> Iterator[Problem]:
    """Yield what is wrong with destinations themselves."""
    steps = {step.task_id: step for step in definition.steps}
    for place, step in definition.placed:
        for number, destination in enumerate(step.output_destinations):
            name = delivery_id(step.task_id, number)
            fault = _fault(step, number)
            if not fault and name in steps and steps[name] != _delivery(step, name, destination):
                fault = f"its delivery is called {name!r}, and so is another step; rename that"
            if fault:
                yield Problem(f"{place}.output_destinations[{number}]", fault)


def delivery_id(step_id: str, number: int) -> str:
    """Return what the step is called that delivers to the destination at `number`."""
    return f"{step_id}.to{number + 1}"


def _delivery(step: TaskDefinition, name: str, destination: str) -> TaskDefinition:
    given: dict[str, object] = {"task_id": name, "input_sources": (step.task_id,)}
    if _is_place(destination):
        given |= {"processor": "file.deliver", "configuration": {"path": destination}}
    else:
        table = step.task_id.replace(".", "_")
        options = {"connection": destination, "table": table, "mode": "replace"}
        given |= {"processor": "sql.write", "configuration": options}
    if step.retry_policy is not None:
        given["retry_policy"] = step.retry_policy
    if step.continues_on_error:  # what failed and was forgiven has left nothing to deliver
        given["when"] = f"outputs.{step.task_id}.state == 'succeeded'"
    return TaskDefinition.model_validate(given)


def _fault(step: TaskDefinition, number: int) -> str:
    destination = step.output_destinations[number]
    if len(delivery_id(step.task_id, number)) > MAX_ID_LENGTH:
        return f"the step's name is too long to deliver: at most {MAX_ID_LENGTH - 4} letters"
    if destination in step.output_destinations[:number]:
        return f"{destination!r} is named twice"
    return _fault_of_place(destination) if _is_place(destination) else _fault_of_name(step, number)


def _fault_of_place(destination: str) -> str:
    scheme = scheme_of(destination)
    if scheme in _SERVERS:
        return "a server is no place for files; send to it with a step of `http.post`"
    if scheme not in _LOCAL and "${" not in destination:
        if urlsplit(destination).password:
            return "may not hold a password; credentials come from the environment"
        if fault := fault_of_remote(destination):
            return fault
    return "may not have any of * ? [" if {"*", "?", "["} & set(destination) else ""


def _fault_of_name(step: TaskDefinition, number: int) -> str:
    destination = step.output_destinations[number]
    if not _NAME.fullmatch(destination):
        return (
            f"{destination!r} is neither a URL, an absolute path, nor a name of `integrations`; a "
            "folder of the run is what `file.write` writes to"
        )
    if step.map is not None:
        return (
            "a step with `map` leaves a list, and a database takes a table; read the outputs in a "
            "step of their own, or deliver to a .json file"
        )
    return ""


def _is_place(destination: str) -> bool:
    return destination.startswith(("/", "${")) or "://" in destination
