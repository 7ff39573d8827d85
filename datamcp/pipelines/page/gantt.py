"""A run in time: when each step waited, and when it ran. Pure.

Bars are placed in per cent, so that the chart fills whatever room there is; labels stand beside.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from datamcp.pipelines.export import StepAttempt
from datamcp.pipelines.page.axis import label, ticks
from datamcp.pipelines.page.facts import Facts
from datamcp.pipelines.page.marks import kind, mark, word
from datamcp.pipelines.page.text import (
    Html,
    count,
    cut,
    joined,
    length,
    number,
    seconds_between,
    tag,
)

ROW, TOP = 22, 24  # pixels
MOST_ROWS = 120
_TAIL = 8  # letters of a name that are seen however little room there is
_SHOWN_ATTEMPTS = 12  # of one step
_LOAD = 48  # pixels: how many steps ran at once
_ROOM = 86  # per cent of the axis: a bar that ends before it has room behind
_NO_BAR = frozenset({"skipped", "upstream_failed", "cancelled"})


def gantt_section(facts: Facts) -> Html:
    """Return the chart, with what its bars mean."""
    rows = _rows(facts)
    left_out = len(facts.steps) - len(rows)
    note = None
    if left_out:
        note = (
            f"{count(len(rows))} of {count(len(facts.steps))} steps: the critical path, what needs "
            "somebody, and what took longest. On top, how many steps ran at once."
        )
    load = _LOAD if left_out else 0
    names = [_label(facts, step_id) for step_id in rows]
    spacer = tag("li", "all steps" if load else "", class_="load" if load else "head")
    labels = tag("ol", spacer, joined(names), class_="labels" + (" loaded" if load else ""))
    return tag(
        "section",
        tag("h2", "Time"),
        tag("p", note, class_="note") if note else None,
        tag("div", labels, _Chart(facts, rows, load).drawn(), class_="gantt"),
        _legend(facts),
        class_="time",
    )


def _rows(facts: Facts) -> Sequence[str]:
    """Return the steps that have a row, in the order in which they began."""
    order = {step_id: place for place, step_id in enumerate(facts.order)}
    wanted = set(facts.order)
    if len(wanted) > MOST_ROWS:
        critical = set(facts.critical)

        def rank(step_id: str) -> tuple[bool, bool, float, int]:
            state = facts.steps[step_id].state
            is_pressing = state in {"failed", "timed_out", "running", "retrying"}
            took = facts.took(step_id) or 0.0
            return step_id not in critical, not is_pressing, -took, order[step_id]

        wanted = set(sorted(facts.order, key=rank)[:MOST_ROWS])
    begun = {step_id: _begun(facts, step_id) for step_id in wanted}

    def place(step_id: str) -> tuple[datetime, int, datetime, int]:
        parent = facts.parents.get(step_id, step_id)
        first = begun.get(parent) or facts.last
        together = [
            begun[one] for one in (parent, *facts.instances.get(parent, ())) if one in begun
        ]
        first = min([at for at in together if at is not None], default=facts.last)
        own = begun[step_id] or facts.last
        return first, order[parent], own if step_id != parent else first, order[step_id]

    return sorted(wanted, key=place)


def _begun(facts: Facts, step_id: str) -> datetime | None:
    step = facts.steps[step_id]
    made = facts.export.attempts.get(step_id)
    if made:
        return made[0].started_at or made[0].ended_at
    return step.started_at or step.finished_at


def _label(facts: Facts, step_id: str) -> Html:
    names = ["critical"] if step_id in set(facts.critical) else []
    names += ["inner"] if step_id in facts.parents else []
    return tag(
        "li",
        tag(
            "a",
            mark(facts.steps[step_id].state),
            tag("span", step_id[:-_TAIL]) if len(step_id) > 2 * _TAIL else None,
            tag("span", step_id[-_TAIL:] if len(step_id) > 2 * _TAIL else step_id, class_="tail"),
            href=f"#{facts.anchors[step_id]}",
            title=step_id,
        ),
        class_=" ".join(names) or None,
    )


def _legend(facts: Facts) -> Html:
    parts = [
        tag("span", tag("i", class_="k wait"), "waits in a queue"),
        tag("span", tag("i", class_="k run"), "runs"),
    ]
    if facts.export.attempts:
        parts.append(tag("span", tag("i", class_="k past"), "earlier attempt"))
    if len(facts.critical) > 1:
        parts.append(tag("span", tag("i", class_="k crit"), "took longest (critical path)"))
    return tag("p", joined(parts), class_="legend")


class _Chart:
    """The bars of some steps."""

    def __init__(self, facts: Facts, rows: Sequence[str], load: int) -> None:
        self._facts = facts
        self._rows = rows
        self._top = TOP + load
        self._load = load
        self._begin = facts.begin
        self._span = max(0.001, (facts.last - facts.begin).total_seconds())
        self._critical = set(facts.critical)

    def drawn(self) -> Html:
        """Return the chart."""
        height = self._top + ROW * len(self._rows) + 6
        bars = [
            tag(
                "svg",
                tag("title", self._told(step_id)),
                joined(self._bars(step_id)),
                y=self._top + ROW * place,
                width="100%",
                height=ROW,
                class_="row critical" if step_id in self._critical else "row",
            )
            for place, step_id in enumerate(self._rows)
        ]
        return tag(
            "svg",
            joined(self._stripes()),
            joined(self._axis(height)),
            joined(self._joints()),
            self._running_at_once() if self._load else None,
            joined(bars),
            class_="chart",
            width="100%",
            height=height,
            role="img",
            aria_label="when each step waited and ran; the table below says the same",
        )

    def _at(self, instant: datetime) -> float:
        """Return a place in per cent; the last tenth is left for what is written."""
        seconds = (instant - self._begin).total_seconds()
        return max(0.0, min(100.0, seconds / self._span * 100))

    def _axis(self, height: float) -> Iterator[Html]:
        marks = ticks(self._span)
        step = marks[1] if len(marks) > 1 else self._span
        for place, seconds in enumerate(marks):
            x = f"{number(seconds / self._span * 100)}%"
            end = seconds / self._span > 0.94
            yield tag(
                "g",
                tag("line", x1=x, x2=x, y1=TOP - 5, y2=height),
                tag(
                    "text",
                    label(seconds, step),
                    x=x,
                    y=13,
                    text_anchor="start" if not place else "end" if end else "middle",
                ),
                class_="tick odd" if place % 2 else "tick",
            )
        if not self._facts.export.status.is_final:
            x = f"{number(self._at(self._facts.now))}%"
            yield tag("line", x1=x, x2=x, y1=TOP - 5, y2=height, class_="now")

    def _stripes(self) -> Iterator[Html]:
        for place in range(0, len(self._rows), 2):
            yield tag("rect", y=self._top + ROW * place, width="100%", height=ROW, class_="stripe")

    def _joints(self) -> Iterator[Html]:
        """Yield lines that lead along the critical path."""
        place = {step_id: number for number, step_id in enumerate(self._rows)}
        for up, down in pairwise(self._facts.critical):
            end = self._facts.end(self._facts.steps[up])
            if up in place and down in place and end is not None:
                x = f"{number(self._at(end))}%"
                y1, y2 = (self._top + ROW * place[one] + ROW / 2 for one in (up, down))
                yield tag("line", x1=x, x2=x, y1=y1, y2=y2, class_="joint")

    def _bars(self, step_id: str) -> Iterator[Html]:
        step = self._facts.steps[step_id]
        for attempt in self._facts.export.attempts.get(step_id, ())[-_SHOWN_ATTEMPTS:]:
            yield from self._tried(attempt)
        end = self._facts.end(step)
        queued = self._facts.queued(step_id)
        if step.state == "queued" and queued is not None:
            yield self._thin(queued, self._facts.now)
            yield self._written("queued", queued, self._facts.now)
        elif step.started_at is None or self._facts.is_between(step_id):
            if step.state in _NO_BAR and step.finished_at is not None:
                yield self._never(step.state, step.finished_at)
            elif self._facts.is_between(step_id):
                since = self._facts.export.attempts[step_id][-1].ended_at
                yield self._written("waits to try again", since, since)
        else:
            if queued is not None:
                yield self._thin(queued, step.started_at)
            shown_end = end or self._facts.now
            yield self._thick(step.started_at, shown_end, f"run s-{kind(step.state)}")
            took = length(self._facts.took(step_id))
            yield self._written(took, self._first(step_id) or step.started_at, shown_end)

    def _first(self, step_id: str) -> datetime | None:
        """Return where the first thing in a row is drawn."""
        made = self._facts.export.attempts.get(step_id, ())[-_SHOWN_ATTEMPTS:]
        if made:
            return made[0].queued_at or made[0].started_at
        return self._facts.queued(step_id)

    def _tried(self, attempt: StepAttempt) -> Iterator[Html]:
        if attempt.started_at is None:
            return
        if attempt.queued_at is not None:
            yield self._thin(attempt.queued_at, attempt.started_at)
        outcome = attempt.outcome if attempt.outcome in {"retried", "snoozed", "lost"} else "other"
        yield self._thick(attempt.started_at, attempt.ended_at, f"past o-{outcome}")
        x = f"{number(self._at(attempt.ended_at))}%"
        yield tag("line", x1=x, x2=x, y1=4, y2=ROW - 4, class_=f"cap o-{outcome}")

    def _thin(self, start: datetime, end: datetime) -> Html:
        return self._bar(start, end, y=ROW / 2 - 1.5, height=3, class_="wait")

    def _thick(self, start: datetime, end: datetime, name: str) -> Html:
        return self._bar(start, end, y=5, height=ROW - 10, rx=2.5, class_=f"bar {name}")

    def _bar(self, start: datetime, end: datetime, **attributes: object) -> Html:
        x, right = self._at(start), self._at(end)
        wide = min(max(right - x, 0.25), 100 - min(x, 99.75))
        x = min(x, 99.75)
        return tag("rect", x=f"{number(x)}%", width=f"{number(wide)}%", **attributes)

    def _written(self, text: str, start: datetime, end: datetime) -> Html:
        """Return what is written behind a bar; before it, or else in it, if there is no room."""
        first, last = self._at(start), self._at(end)
        if last <= _ROOM:
            x, side, name = last, 1, None
        elif first > 100 - _ROOM:
            x, side, name = first, -1, None
        else:
            x, side, name = last, -1, "over"
        return tag(
            "text",
            text,
            x=f"{number(x)}%",
            dx=6 * side,
            y=ROW / 2 + 4,
            text_anchor="start" if side > 0 else "end",
            class_=name,
        )

    def _never(self, state: str, at: datetime) -> Html:
        x = self._at(at)
        is_left = x > 80
        return joined(
            [
                tag("circle", cx=f"{number(x)}%", cy=ROW / 2, r=3, class_=f"dot s-{kind(state)}"),
                tag(
                    "text",
                    word(state),
                    x=f"{number(x)}%",
                    dx=-8 if is_left else 8,
                    y=ROW / 2 + 4,
                    text_anchor="end" if is_left else "start",
                    class_="never",
                ),
            ]
        )

    def _running_at_once(self) -> Html:
        """Return how many steps ran at each time, as an area."""
        moves = []
        for step_id, step in self._facts.steps.items():
            end = self._facts.end(step)
            if (
                step.started_at is not None
                and end is not None
                and not self._facts.is_between(step_id)
            ):
                moves += [(self._at(step.started_at), 1), (self._at(end), -1)]
        buckets = [0.0] * 400
        level, before = 0, 0.0
        for x, change in sorted(moves):
            _spread(buckets, before, x, level)
            level, before = level + change, x
        most = max(buckets) or 1.0
        points = [f"0,{_LOAD}"]
        points += [
            f"{n / 4:g},{_LOAD - v / most * (_LOAD - 12):.1f}" for n, v in enumerate(buckets)
        ]
        area = tag("polygon", points=" ".join([*points, f"100,{_LOAD}"]))
        return tag(
            "g",
            tag(
                "svg",
                area,
                viewBox=f"0 0 100 {_LOAD}",
                preserveAspectRatio="none",
                y=TOP,
                width="100%",
                height=_LOAD - 6,
            ),
            tag("text", f"at most {count(round(most))} at once", x=6, y=TOP + 10),
            class_="at-once",
        )

    def _told(self, step_id: str) -> str:
        step = self._facts.steps[step_id]
        took, waited = self._facts.took(step_id), self._facts.waited(step_id)
        lines = [f"{step_id}: {word(step.state)}"]
        if waited is not None:
            lines.append(f"waited {length(waited)} in its queue")
        if step.started_at is not None:
            since = step.started_at - self._begin
            lines.append(f"began {length(max(since, timedelta()).total_seconds())} after the run")
        if took is not None:
            lines.append(f"took {length(took)}")
        for attempt in self._facts.export.attempts.get(step_id, ())[-5:]:
            spent = length(seconds_between(attempt.started_at, attempt.ended_at))
            why = cut(attempt.error_message or attempt.error_code or "", 120)
            lines.append(f"attempt {attempt.attempt} {attempt.outcome} after {spent}: {why}")
        return "\n".join(lines)


def _spread(buckets: list[float], start: float, end: float, level: int) -> None:
    """Add a level over a part of the axis (per cent) to the means of its buckets."""
    each = 100 / len(buckets)
    first, last = int(start / each), min(int(end / each), len(buckets) - 1)
    for place in range(first, last + 1):
        left, right = max(start, place * each), min(end, (place + 1) * each)
        buckets[place] += level * max(0.0, right - left) / each
