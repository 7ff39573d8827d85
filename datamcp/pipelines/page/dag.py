"""The graph of a run as a drawing: a box for each step, in its state's colour. Pure."""

from collections import Counter
from collections.abc import Mapping

from datamcp.pipelines.page.condense import Box, Condensed, condense
from datamcp.pipelines.page.facts import Facts
from datamcp.pipelines.page.layout import Point
from datamcp.pipelines.page.marks import kind, ranked, word, worst
from datamcp.pipelines.page.places import HEIGHT, ROOM, WIDTH, place
from datamcp.pipelines.page.text import TIMES, Html, count, cut, joined, length, tag

_LETTERS = 142  # pixels for the title
_LISTED = 12  # steps that a box of many names when it is pointed at

_NARROW, _WIDE = frozenset("ijlft.,:;|!'()[]{} -rI1"), frozenset("mwMW@%…→")


def graph_section(facts: Facts) -> Html:
    """Return the drawing, with what its lines mean."""
    found = condense(facts.steps, [(edge.from_, edge.to) for edge in facts.export.edges])
    drawing, is_small = _drawing(facts, found)
    note = None
    if not found.is_whole:
        said = f"{count(len(facts.steps))} steps are drawn as {count(len(found.boxes))}"
        note = f"{said}: those that are alike, or follow one another, have a box together."
    return tag(
        "section",
        tag("h2", "Graph"),
        tag("p", note, class_="note") if note else None,
        tag("div", drawing, class_="scroll fit" if is_small else "scroll", tabindex=0),
        _legend(facts, found),
        class_="graph",
    )


def _legend(facts: Facts, found: Condensed) -> Html | None:
    if not found.edges:
        return None
    kinds = {edge.data for edge in facts.export.edges}
    lines = [
        (True, "data", "passes data on"),
        (False, "order", "is waited for, without data"),
    ]
    parts = [
        tag("span", _sample(name), meaning) for is_data, name, meaning in lines if is_data in kinds
    ]
    if len(facts.critical) > 1:
        parts.append(tag("span", _sample("data critical"), "took longest (critical path)"))
    return tag("p", joined(parts), class_="legend")


def _sample(name: str) -> Html:
    line = tag("path", d="M0 6H28", class_=f"edge {name}")
    return tag("svg", line, width=28, height=12, aria_hidden="true")


def _drawing(facts: Facts, found: Condensed) -> tuple[Html, bool]:
    """Return the graph as SVG, and whether it fits on a page."""
    placed = place(found)
    width, height = round(placed.width), round(placed.height)
    data = _data_edges(facts, found)
    steps = zip(facts.critical, facts.critical[1:], strict=False)
    owner = {step: name for name, box in found.boxes.items() for step in box.steps}
    critical = {(owner[up], owner[down]) for up, down in steps if up in owner and down in owner}
    lines = [
        tag(
            "path",
            d=path,
            class_=" ".join(
                [
                    "edge",
                    "data" if edge in data else "order",
                    *(["critical"] if edge in critical else []),
                ]
            ),
            marker_end="url(#arrow)",
        )
        for edge, path in sorted(placed.edges.items(), key=lambda item: item[0] in critical)
    ]
    boxes = [_box(facts, found.boxes[name], at) for name, at in placed.boxes.items()]
    drawing = tag(
        "svg",
        _ARROW,
        tag("g", joined(lines), aria_hidden="true"),
        joined(boxes),
        class_="dag",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="group",
        aria_label="the steps, and what waits for what",
    )
    return drawing, width <= ROOM + 60


_ARROW = tag(
    "defs",
    tag(
        "marker",
        tag("path", d="M0 .8 6.4 4 0 7.2Z", class_="tip"),
        id="arrow",
        viewBox="0 0 8 8",
        refX=6.4,
        refY=4,
        markerWidth=8,
        markerHeight=8,
        markerUnits="userSpaceOnUse",
        orient="auto",
    ),
)


def _data_edges(facts: Facts, found: Condensed) -> set[tuple[str, str]]:
    owner = {step: name for name, box in found.boxes.items() for step in box.steps}
    return {
        (owner[edge.from_], owner[edge.to])
        for edge in facts.export.edges
        if edge.data and edge.from_ in owner and edge.to in owner
    }


def _box(facts: Facts, box: Box, at: Point) -> Html:
    """Return a box that leads to the row of its step; of several, to the one that needs most."""
    states = Counter(str(facts.steps[step].state) for step in _counted(box))
    state = worst(states)
    is_many = len(box.steps) > 1
    target = next(
        (step for step in _counted(box) if facts.steps[step].state == state), box.steps[0]
    )
    many = f" {TIMES}{count(len(_counted(box)))}" if box.is_mapped else ""
    again = sum(len(facts.export.attempts.get(step, ())) for step in box.steps)
    tries = f"↻{count(again)}" if again else ""
    room = _LETTERS - 9 * len(many) - 9 * len(tries)
    name = _fitting(box.title, room) + many
    link = "critical" if any(step in set(facts.critical) for step in box.steps) else ""
    back = [
        tag("rect", x=4, y=4, width=WIDTH, height=HEIGHT, rx=8, class_="back") if is_many else None
    ]
    return tag(
        "a",
        tag(
            "svg",
            tag("title", _told(facts, box)),
            joined(back),
            tag("rect", x=1, y=1, width=WIDTH - 2, height=HEIGHT - 2, rx=8, class_="box"),
            tag("rect", x=1, y=9, width=3.5, height=HEIGHT - 18, class_="stripe"),
            tag("use", href=f"#i-{kind(state)}", x=13, y=8, width=15, height=15),
            tag("text", name, x=36, y=20, class_="name"),
            tag("text", tries, x=WIDTH - 9, y=20, class_="more again") if tries else None,
            tag("text", _second(facts, box, states), x=36, y=36, class_="more"),
            x=at[0],
            y=at[1],
            width=WIDTH + 5,
            height=HEIGHT + 5,
            class_="step",
        ),
        href=f"#{facts.anchors[target]}",
        class_=f"s-{kind(state)} {link}".rstrip(),
        aria_label=f"{cut(box.title, 80)}: {_in_words(states)}",
    )


def _counted(box: Box) -> tuple[str, ...]:
    """Return the steps of a box that do the work: of a mapped one, its instances."""
    return box.steps[1:] if box.is_mapped and len(box.steps) > 1 else box.steps


def _second(facts: Facts, box: Box, states: Mapping[str, int]) -> str:
    if len(box.steps) > 1:
        return _in_brief(states)
    step_id = box.steps[0]
    took = facts.took(step_id)
    state = word(facts.steps[step_id].state)
    return state if took is None else f"{state} · {length(took)}"


def _in_words(states: Mapping[str, int]) -> str:
    if len(states) == 1 and sum(states.values()) == 1:
        return word(next(iter(states)))
    return ", ".join(f"{count(number)} {word(state)}" for state, number in ranked(states))


def _in_brief(states: Mapping[str, int]) -> str:
    """Return how many steps have succeeded, and how many are in the state that matters most."""
    total, done = sum(states.values()), states.get("succeeded", 0)
    most = worst(state for state in states if state != "succeeded")
    if not most or not done:
        return cut(_in_words(states), 25)
    return cut(f"{count(done)} of {count(total)}, {count(states[most])} {word(most)}", 25)


def _told(facts: Facts, box: Box) -> str:
    """Return what is told of a box when it is pointed at."""
    if len(box.steps) > 1:
        named = _counted(box)
        lines = [f"{step}: {word(facts.steps[step].state)}" for step in named[:_LISTED]]
        more = len(named) - _LISTED
        return "\n".join([box.title, *lines, *([f"and {more} more"] if more > 0 else [])])
    step_id = box.steps[0]
    step = facts.steps[step_id]
    tries = f"attempt {step.attempt} of {step.max_attempts}" if step.max_attempts else ""
    facts_told = [
        step_id,
        facts.processors.get(step_id, ""),
        word(step.state),
        f"took {length(facts.took(step_id))}" if facts.took(step_id) is not None else "",
        tries if step.attempt else "",
        f"{count(step.records_out)} records out" if step.records_out is not None else "",
        cut(step.error_message or "", 300),
    ]
    return "\n".join(line for line in facts_told if line)


def _fitting(text: str, pixels: float) -> str:
    """Return what of a title has room, by how wide letters usually are; with its end."""
    wide = sum(_wide(letter) for letter in text)
    if wide <= pixels:
        return text
    most = max(8, int(len(text) * pixels / wide))
    return f"{text[: most - 1]}…" if text.endswith("…") else cut(text, most)


def _wide(letter: str) -> float:
    if letter in _NARROW:
        return 5.2
    if letter in _WIDE or ord(letter) > 0x2E80:
        return 12.5
    return 9.4 if letter.isupper() else 8.5
