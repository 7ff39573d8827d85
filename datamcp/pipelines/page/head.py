"""The head of a page of a run: what it was, how it is, and what it was told. Pure."""

from collections import Counter
from collections.abc import Iterator

from datamcp.pipelines.page.facts import Facts
from datamcp.pipelines.page.marks import badge, kind, mark, ranked, word
from datamcp.pipelines.page.text import (
    Content,
    Html,
    as_json,
    count,
    cut,
    instant,
    joined,
    length,
    rough_length,
    seconds_between,
    tag,
)

_LONGEST_VALUE = 1_000  # characters of a parameter
_MOST_PARAMETERS = 60


def head(facts: Facts) -> Html:
    """Return what stands on top of the page."""
    status, definition = facts.export.status, facts.export.pipeline.definition
    name = definition.name if definition.name != status.pipeline_id else None
    title = tag(
        "div",
        tag("h1", status.pipeline_id, badge(status.state)),
        tag("p", cut(name, 200), class_="called") if name else None,
        tag("p", cut(definition.description, 600)) if definition.description else None,
        class_="what",
    )
    return tag(
        "header",
        tag("div", title, _figure(facts), class_="top"),
        _bar(facts),
        _error(facts),
        tag("dl", joined(_fields(facts)), class_="fields"),
        _parameters(facts),
        class_=f"s-{kind(status.state)}",
    )


def _figure(facts: Facts) -> Html:
    """Return how long the run took, or takes."""
    status = facts.export.status
    took = seconds_between(status.started_at, status.finished_at or facts.now)
    if took is None:
        return tag("p", tag("b", "not begun"), class_="figure")
    said: str = "so far"
    if status.is_final:
        said = "from first start to end"
    elif status.estimated_completion is not None:
        left = (status.estimated_completion - facts.now).total_seconds()
        said = f"so far, {rough_length(left)} left" if left > 0 else "so far, nearly done"
    return tag("p", tag("b", length(took)), said, class_="figure")


def _bar(facts: Facts) -> Html:
    """Return the states of all steps as one bar, and in numbers."""
    counts = Counter(str(step.state) for step in facts.steps.values())
    total, parts, x = max(1, len(facts.steps)), [], 0.0
    for state, number in ranked(counts):
        wide = number / total * 100
        parts.append(
            tag(
                "rect",
                tag("title", f"{word(state)}: {number}"),
                x=f"{x:.3f}%",
                width=f"{wide:.3f}%",
                height=10,
                class_=f"s-{kind(state)}",
            )
        )
        x += wide
    chips = [
        tag("li", mark(state), f"{count(number)} {word(state)}", class_=f"s-{kind(state)}")
        for state, number in ranked(counts)
    ]
    drawn = tag("svg", joined(parts), class_="share", role="img", aria_label="states of the steps")
    return tag("div", drawn, tag("ul", joined(chips), class_="chips"), class_="states")


def _error(facts: Facts) -> Html | None:
    status = facts.export.status
    if not status.error_message and not status.error_code:
        return None
    return tag(
        "div",
        tag("b", status.error_code) if status.error_code else None,
        tag("p", status.error_message or ""),
        class_="error",
        role="note",
    )


def _fields(facts: Facts) -> Iterator[Html]:
    status, pipeline = facts.export.status, facts.export.pipeline
    steps = len(facts.steps)
    yield from _field("run", tag("code", status.run_id))
    yield from _field("version", f"{status.version} (revision {pipeline.revision})")
    yield from _field("triggered by", cut(status.triggered_by, 200))
    yield from _field("done", f"{status.progress:.0%} of {count(steps)} step{'s'[: steps != 1]}")
    yield from _field("triggered", instant(status.created_at))
    yield from _field("due", instant(status.scheduled_at))
    yield from _field("began", instant(status.started_at))
    yield from _field("ended", instant(status.finished_at))
    if not status.is_final:
        yield from _field("expected end", instant(status.estimated_completion))
        yield from _field("seen", instant(facts.now))
    if status.started_at is not None:
        since = status.scheduled_at or status.created_at
        yield from _field("waited to begin", length(seconds_between(since, status.started_at)))
    work = sum(facts.took(step_id) or 0.0 for step_id in facts.steps)
    if work:
        yield from _field("work of all steps", length(work))


def _field(name: str, value: Content) -> Iterator[Html]:
    if value:
        yield tag("div", tag("dt", name), tag("dd", value))


def _parameters(facts: Facts) -> Html | None:
    given = facts.export.status.parameters
    if not given:
        return None
    shown = list(given.items())[:_MOST_PARAMETERS]
    rows = [
        tag(
            "div",
            tag("dt", cut(str(name), 200)),
            tag("dd", tag("code", cut(as_json(value), _LONGEST_VALUE))),
        )
        for name, value in shown
    ]
    more = len(given) - len(shown)
    return tag(
        "div",
        tag("h2", "Parameters"),
        tag("dl", joined(rows), class_="fields parameters"),
        tag("p", f"and {count(more)} more", class_="note") if more else None,
    )
