"""What stands below the table of a run: errors in full, earlier attempts, results, logs. Pure.

All of it is bounded, so that a page stays one that a browser shows at once; the export as JSON has
what is left out here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datamcp.pipelines.page.facts import Facts
from datamcp.pipelines.page.marks import kind, word
from datamcp.pipelines.page.text import (
    Html,
    as_json,
    clock_time,
    count,
    cut,
    joined,
    length,
    seconds_between,
    tag,
)
from datamcp.tasks.task import TaskLogLine

_NAMED = 30  # steps of one error
_MOST_ERRORS, _ERROR_ROOM = 200, 200_000  # errors; characters of them
_MOST_ATTEMPTS, _MOST_WARNINGS = 200, 200
_MOST_RESULTS, _LONGEST_RESULT = 20, 2_000
_LOG_ROOM, _LONGEST_LINE = 300_000, 2_000  # characters


@dataclass(frozen=True, slots=True)
class StepError:
    """An error that one or several steps ended with."""

    code: str
    message: str
    state: str
    steps: tuple[str, ...]
    anchor: str


def errors_of(facts: Facts) -> list[StepError]:
    """Return the errors that steps ended with; what failed only because of another one has none.

    One that is tried again has not ended: its errors are among the earlier attempts.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for step_id in facts.order:
        step = facts.steps[step_id]
        is_meant = step.finished_at is not None and step.state != "upstream_failed"
        if is_meant and (step.error_message or step.error_code):
            key = (step.error_code or "", step.error_message or "")
            found.setdefault(key, []).append(step_id)
    return [
        StepError(code, message, facts.steps[steps[0]].state, tuple(steps), f"error-{number}")
        for number, ((code, message), steps) in enumerate(found.items(), start=1)
    ][:_MOST_ERRORS]


def errors_section(facts: Facts, errors: Sequence[StepError]) -> Html | None:
    """Return all errors in full, each once."""
    room, parts = _ERROR_ROOM, []
    for error in errors:
        message = cut(error.message, max(200, room))
        room -= len(message)
        parts.append(
            tag(
                "article",
                tag("p", _linked(facts, error.steps), tag("code", error.code)),
                tag("pre", message) if message else None,
                id=error.anchor,
                class_=f"s-{kind(error.state)}",
            )
        )
    return tag("section", tag("h2", "Errors"), joined(parts), class_="errors") if parts else None


def warnings_section(facts: Facts) -> Html | None:
    """Return what steps warned of."""
    told = [
        (step_id, warning) for step_id in facts.order for warning in facts.steps[step_id].warnings
    ]
    items = [
        tag("li", _linked(facts, [step_id]), " ", cut(warning, 500))
        for step_id, warning in told[:_MOST_WARNINGS]
    ]
    return _section("Warnings", tag("ul", joined(items)), len(told), _MOST_WARNINGS)


def attempts_section(facts: Facts) -> Html | None:
    """Return the attempts that another one followed."""
    tried = [
        (step_id, made)
        for step_id in facts.order
        for made in facts.export.attempts.get(step_id, ())
    ]
    rows = [
        tag(
            "tr",
            tag("th", _linked(facts, [step_id]), scope="row", class_="name"),
            _cell("attempt", str(made.attempt), "n"),
            _cell("ended", word(made.outcome)),
            _cell("began", clock_time(made.started_at, facts.begin), "n"),
            _cell("took", length(seconds_between(made.started_at, made.ended_at)), "n"),
            _cell("worker", cut(made.agent_id or "", 40), "worker"),
            _cell("error", cut(made.error_message or made.error_code or "", 400), "why"),
        )
        for step_id, made in tried[:_MOST_ATTEMPTS]
    ]
    names = ("step", "attempt", "ended", "began", "took", "worker", "error")
    numbers = {"attempt", "began", "took"}
    heads = [
        tag("th", name, scope="col", class_="n" if name in numbers else None) for name in names
    ]
    table = tag(
        "table",
        tag("thead", tag("tr", joined(heads))),
        tag("tbody", joined(rows)),
    )
    shown = tag("div", table, class_="scroll", tabindex=0)
    return _section("Earlier attempts", shown, len(tried), _MOST_ATTEMPTS)


def results_section(facts: Facts) -> Html | None:
    """Return what the last steps handed over: those that no other step waits for."""
    waited_for = {edge.from_ for edge in facts.export.edges} | set(facts.parents)
    found = [
        tag(
            "div",
            tag("dt", _linked(facts, [step_id])),
            tag("dd", tag("code", cut(as_json(step.output), _LONGEST_RESULT))),
        )
        for step_id, step in facts.steps.items()
        if step_id not in waited_for and step.output is not None
    ]
    shown = tag("dl", joined(found[:_MOST_RESULTS]), class_="fields parameters")
    return _section("Results", shown, len(found), _MOST_RESULTS)


def logs_section(facts: Facts) -> Html | None:
    """Return what the steps have logged, folded; None if that was not asked for."""
    if facts.export.logs is None:
        return None
    room, parts = _LOG_ROOM, []
    for step_id in facts.order:
        lines = facts.export.logs.get(step_id, ())
        if lines and room > 0:
            shown = _last(lines, room)
            room -= sum(len(text) for text in shown)
            said = f"{count(len(shown))} of {count(len(lines))} lines"
            said = said if len(shown) < len(lines) else f"{count(len(lines))} lines"
            is_bad = facts.steps[step_id].state in {"failed", "timed_out"}
            parts.append(
                tag(
                    "details",
                    tag("summary", step_id, tag("small", said)),
                    tag("pre", joined(shown, "\n")),
                    open="open" if is_bad else None,
                )
            )
    if not parts:
        parts.append(tag("p", "The steps have logged nothing.", class_="note"))
    elif room <= 0:
        parts.append(tag("p", "More lines are in the export as JSON.", class_="note"))
    return tag("section", tag("h2", "Log"), joined(parts), class_="logs")


def _last(lines: Sequence[TaskLogLine], room: int) -> list[str]:
    """Return the last lines that have room."""
    kept: list[str] = []
    for line in reversed(lines):
        text = cut(line.message, _LONGEST_LINE)
        at = f"{line.at:%H:%M:%S.%f}"[:-3]
        shown = f"{at}  {line.attempt}  {line.level:<7}  {text}"
        room -= len(shown)
        if room < 0 and kept:
            break
        kept.append(shown)
    return kept[::-1]


def _linked(facts: Facts, steps: Iterable[str]) -> Html:
    named = list(steps)
    links = [tag("a", step, href=f"#{facts.anchors[step]}") for step in named[:_NAMED]]
    more = len(named) - len(links)
    return joined([joined(links, ", "), f" and {count(more)} more" if more else None, " "])


def _cell(heading: str, cell: str | None, name: str | None = None) -> Html:
    return tag("td", cell or "", class_=name, data_l=heading if cell else None)


def _section(title: str, shown: Html, number: int, most: int) -> Html | None:
    if not number:
        return None
    more = f"{count(number - most)} more are in the export as JSON." if number > most else None
    return tag("section", tag("h2", title), shown, tag("p", more, class_="note") if more else None)
