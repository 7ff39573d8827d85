"""The steps of a run as a table, one a row. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datamcp.pipelines.page.facts import Facts
from datamcp.pipelines.page.marks import badge, kind
from datamcp.pipelines.page.text import (
    TIMES,
    Content,
    Html,
    clock_time,
    count,
    cut,
    joined,
    length,
    size,
    tag,
)

_FILTERED = 15  # steps from which on there is a field to filter them
_ERROR = 140  # characters of an error in a row; it stands below in full


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: its heading, what is in it of each step, and whether those are numbers."""

    heading: str
    cell: Callable[[Facts, str], Content]
    name: str = ""


def table_section(facts: Facts, errors: dict[str, str]) -> Html:
    """Return the table; `errors` maps steps to the anchors of their errors in full."""
    columns = [_Column("step", _named, "name"), *_columns(errors)]
    cells = {
        column.heading: [column.cell(facts, step_id) for step_id in facts.listed]
        for column in columns
    }
    used = [column for column in columns if any(cells[column.heading])]
    heads = [tag("th", column.heading, scope="col", class_=column.name or None) for column in used]
    rows = [
        _row(facts, step_id, used, [cells[column.heading][place] for column in used])
        for place, step_id in enumerate(facts.listed)
    ]
    table = tag(
        "table",
        tag("thead", tag("tr", joined(heads))),
        tag("tbody", joined(rows)),
        class_="steps",
    )
    field = None
    if len(rows) > _FILTERED:
        entry = tag("input", type="search", placeholder="name, state, worker, error…")
        field = tag("label", "filter ", entry, class_="filter", hidden="hidden")
    return tag(
        "section",
        tag("h2", "Steps"),
        field,
        tag("div", table, class_="scroll", tabindex=0),
        tag("p", joined([*_left_out(facts), "Times are in UTC."], " "), class_="note"),
        id="steps",
    )


def _left_out(facts: Facts) -> list[str]:
    more = len(facts.order) - len(facts.listed)
    return [f"{count(more)} more steps are in the export as JSON."] if more else []


def _row(facts: Facts, step_id: str, columns: Sequence[_Column], cells: Sequence[Content]) -> Html:
    names = [f"s-{kind(facts.steps[step_id].state)}"]
    names += ["inner"] if step_id in facts.parents else []
    shown = [
        tag("th", cell, scope="row", class_="name")
        if column.name == "name"
        else tag(
            "td", cell or "", class_=column.name or None, data_l=column.heading if cell else None
        )
        for column, cell in zip(columns, cells, strict=True)
    ]
    return tag("tr", joined(shown), id=facts.anchors[step_id], class_=" ".join(names))


def _columns(errors: dict[str, str]) -> list[_Column]:
    return [
        _Column("state", _state, "state"),
        _Column("attempt", _attempt, "n"),
        _Column("began", _began, "n"),
        _Column("waited", lambda facts, step: length(facts.waited(step)), "n"),
        _Column("took", lambda facts, step: length(facts.took(step)), "n took"),
        _Column("in", lambda facts, step: count(facts.steps[step].records_in), "n"),
        _Column("out", lambda facts, step: count(facts.steps[step].records_out), "n"),
        _Column("set aside", _rejected, "n"),
        _Column("size", lambda facts, step: size(facts.steps[step].bytes_out), "n"),
        _Column("worker", lambda facts, step: _worker(facts.steps[step].agent_id), "worker"),
        _Column("error", lambda facts, step: _error(facts, step, errors), "why"),
    ]


def _named(facts: Facts, step_id: str) -> Html:
    processor = facts.processors.get(step_id)
    many = len(facts.instances.get(step_id, ()))
    return joined(
        [
            tag("span", step_id, class_="id"),
            tag("small", processor) if processor else None,
            tag("small", f"{TIMES}{count(many)}") if many else None,
        ]
    )


def _state(facts: Facts, step_id: str) -> Html:
    step = facts.steps[step_id]
    told = [badge(step.state)]
    if step.state == "running" and step.progress is not None:
        told.append(tag("small", f"{step.progress:.0%}"))
    note = getattr(step, "note", None) or getattr(step, "waiting_for", None)
    if note and not step.finished_at:
        told.append(tag("small", cut(str(note), 80)))
    return joined(told, " ")


def _attempt(facts: Facts, step_id: str) -> str:
    step = facts.steps[step_id]
    if not step.attempt:
        return ""
    return f"{step.attempt}/{step.max_attempts}" if step.max_attempts > 1 else str(step.attempt)


def _began(facts: Facts, step_id: str) -> Html | None:
    step = facts.steps[step_id]
    return None if facts.is_between(step_id) else clock_time(step.started_at, facts.begin)


def _rejected(facts: Facts, step_id: str) -> str:
    return count(facts.steps[step_id].records_rejected or None)


def _worker(agent_id: str | None) -> Html | None:
    return tag("span", cut(agent_id, 28), title=agent_id) if agent_id else None


def _error(facts: Facts, step_id: str, errors: dict[str, str]) -> Html | str:
    step = facts.steps[step_id]
    text = cut(step.error_message or step.error_code or "", _ERROR)
    if text and step.finished_at is None:
        return joined([tag("small", "before: "), text])
    if not text or step_id not in errors:
        return text
    return tag("a", text, href=f"#{errors[step_id]}")
