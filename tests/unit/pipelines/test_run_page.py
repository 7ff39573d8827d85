"""A run as a page: whole, bounded, and with nothing on it that somebody else wrote as markup."""

import re
from base64 import b64encode
from collections import Counter
from datetime import timedelta
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.dags import Edges, chain_of, dags, fan, layers
from support.exports import BEGIN, export_of, played, step

from datamcp.pipelines.export import RunExport, StepAttempt
from datamcp.pipelines.page.facts import MOST_LISTED, Facts
from datamcp.pipelines.page.gantt import MOST_ROWS
from datamcp.pipelines.page.page import run_page
from datamcp.pipelines.page.text import TIMES
from datamcp.pipelines.status import RunState
from datamcp.tasks.states import State
from datamcp.tasks.task import TaskLogLine

EVIL = "\"'><img src=x onerror=alert(1)></script></style><!--\x00\u202e&amp;"
VOID = {"meta", "input", "link"}
OURS = "default-src 'none'"


class Page(HTMLParser):
    """A page that was read: its elements, its attributes, its text."""

    def __init__(self, text: str) -> None:
        """Read a page; every element must be closed, in order."""
        super().__init__()
        self.open: list[str] = []
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.raw: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements[tag] += 1
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"twice in {tag}: {names}"
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text."""
        if self.open and self.open[-1] in {"script", "style"}:
            self.raw[self.open[-1]] = data
        else:
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        """Refuse comments: there are none of ours."""
        raise AssertionError(data)

    def values(self, name: str) -> list[str]:
        """Return the values of an attribute."""
        return [value for _, attribute, value in self.attributes if attribute == name]

    @property
    def words(self) -> str:
        """All text."""
        return " ".join(self.text)


def check(export: RunExport) -> Page:
    """Return the page of a run, after what is true of every page."""
    text = run_page(export)
    assert len(text.encode()) < 2_000_000
    page = Page(text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = page.values("href")
    assert {link[0] for link in links} <= {"#"}
    assert {link[1:] for link in links} <= set(ids)
    assert page.elements["script"] == page.elements["style"] == 1
    assert page.elements["img"] == page.elements["link"] == page.elements["iframe"] == 0
    names = {name for _, name, _ in page.attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not names & {"style", "src", "srcset", "action", "formaction"}
    facts = Facts(export)
    rows = {value for element, name, value in page.attributes if (element, name) == ("tr", "id")}
    assert rows == {facts.anchors[step_id] for step_id in facts.listed}
    assert len(rows) == min(len(facts.order), MOST_LISTED)
    return page


@settings(max_examples=40)
@given(dags(), st.integers(0, 5), st.sampled_from([None, 0.5, 3.0]))
def test_every_run_is_a_whole_page(edges: Edges, seed: int, until: float | None) -> None:
    """Of any graph, ended or not: each element is closed, each link leads to a place on it."""
    names = list(edges)
    failing = names[:1] if seed == 1 else []
    mapped = {names[-1]: 3} if seed > 2 else {}
    check(played(edges, seed, until=until, failures=failing, mapped=mapped))


@settings(max_examples=40)
@given(st.text(), st.text(max_size=20))
def test_any_text_is_shown_and_nothing_else(text: str, other: str) -> None:
    """Whatever a message, a parameter, a worker or a log says, it is text."""
    evil, name = EVIL + text, other + "[0]"
    steps = {
        "a": step(State.FAILED, error_code=evil, error_message=evil, agent_id=evil),
        "b": step(State.RUNNING, warnings=(evil,)),
        name: step(output={evil: evil}),
    }
    made = StepAttempt(
        attempt=1, agent_id=evil, started_at=BEGIN, ended_at=BEGIN, outcome=evil, error_message=evil
    )
    line = TaskLogLine(at=BEGIN, attempt=1, level=evil, message=evil)
    check(
        export_of(
            {"a": [], "b": ["a"]},
            steps,
            state=RunState.RUNNING,
            attempts={"a": (made,), name: (made,)},
            logs={"a": (line,), name: (line,)},
            triggered_by=evil,
            error_code=evil,
            error_message=evil,
            run_id=evil,
            parameters={evil: evil, "list": [evil, 1.5, None]},
        )
    )


def test_what_turns_text_round_is_marked() -> None:
    """So are control characters, and halves of characters that can't be written."""
    page = check(export_of({"a": []}, triggered_by="a\u202eb\x1bc\ud800d", parameters={}))
    assert "a\ufffdb\ufffdc?d" in page.words


def test_the_policy_allows_what_is_ours_alone() -> None:
    """It names the script and the style by their hashes, and loads nothing."""
    page = check(export_of({"a": []}))
    (policy,) = (value for value in page.values("content") if OURS in value)
    for name in ("script", "style"):
        digest = b64encode(sha256(page.raw[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|url\(|@import", page.raw["style"] + page.raw["script"])


@pytest.mark.parametrize("state", [*State, "paused", "of_tomorrow"])
def test_every_state_has_a_word_and_a_symbol(state: str) -> None:
    """Also one that is not known here: it is neutral."""
    known = step().model_copy(update={"state": state})
    export = export_of({"a": []}, {"a": known})
    status = export.status.model_copy(update={"state": state})
    page = check(export.model_copy(update={"status": status}))
    assert state.replace("_", " ") in page.words
    kinds = {link for link in page.values("href") if link.startswith("#i-")}
    assert len(kinds) == 1
    assert kinds == {"#i-other" if state == "of_tomorrow" else f"#i-{state}"}


@pytest.mark.parametrize(
    "edges",
    [fan(1000), chain_of(1000), layers(20, 50), {f"s{n}": [] for n in range(1000)}],
    ids=["fan", "chain", "layers", "alone"],
)
def test_a_thousand_steps_are_condensed(edges: Edges) -> None:
    """The drawings have few parts, the table has every step, and the file is not large."""
    evil = {name: [*ups] for name, ups in edges.items()}
    export = played(evil, 3, failures=[list(edges)[-1]], workers=30)
    page = check(export)
    drawn = [value for name, at, value in page.attributes if (name, at) == ("svg", "class")]
    assert 1 <= drawn.count("step") <= 100
    assert sum(value.split()[0] == "row" for value in drawn) == MOST_ROWS
    assert f"{MOST_ROWS} of 1,00" in page.words


def test_many_instances_are_not_all_listed() -> None:
    """Those that need somebody are; the links of the others lead to the table."""
    export = played({"a": [], "m": ["a"], "z": ["m"]}, 2, mapped={"m": 5_000}, workers=50)
    bad = export.status.tasks["m[4711]"].model_copy(update={"state": State.FAILED})
    tasks = {**export.status.tasks, "m[4711]": bad}
    status = export.status.model_copy(update={"tasks": tasks})
    page = check(export.model_copy(update={"status": status}))
    assert "m[4711]" in page.words
    assert "3,503 more steps are in the export as JSON" in page.words


def test_long_errors_and_logs_are_bounded() -> None:
    """A page stays one, whatever a thousand steps have to say; it tells that there is more."""
    edges = {f"s{n}": [] for n in range(1000)}
    steps = {
        name: step(State.FAILED, error_code="broken", error_message=f"{name} " + "x" * 2000)
        for name in edges
    }
    line = TaskLogLine(at=BEGIN, attempt=1, level="INFO", message="y" * 4000)
    made = StepAttempt(attempt=1, started_at=BEGIN, ended_at=BEGIN, outcome="retried")
    export = export_of(
        edges,
        steps,
        state=RunState.FAILED,
        logs=dict.fromkeys(edges, (line,) * 200),
        attempts=dict.fromkeys(edges, (made,) * 100),
        parameters={f"p{n}": "z" * 10_000 for n in range(500)},
    )
    page = check(export)
    assert "more are in the export as JSON" in page.words
    assert "More lines are in the export as JSON" in page.words


def test_an_error_that_many_steps_have_is_told_once() -> None:
    """With the steps that have it; what failed because of them is not among them."""
    steps = {
        "a": step(State.FAILED, error_code="broken", error_message="no such file"),
        "b": step(State.FAILED, error_code="broken", error_message="no such file"),
        "c": step(State.UPSTREAM_FAILED, error_message="step a did not succeed"),
    }
    page = check(export_of({"a": [], "b": [], "c": ["a", "b"]}, steps, state=RunState.FAILED))
    assert page.elements["article"] == 1
    links = [value for _, name, value in page.attributes if name == "href"]
    assert links.count("#error-1") == 2


def test_an_error_that_is_made_good_is_no_end() -> None:
    """The row keeps it until the step has ended; it is told as one that was before."""
    steps = {"a": step(State.RUNNING, error_code="busy", error_message="try later")}
    page = check(export_of({"a": []}, steps, state=RunState.RUNNING))
    assert page.elements["article"] == 0
    assert "before:  try later" in page.words


def test_a_run_that_goes_on_tells_when_it_will_end() -> None:
    """About; and nothing where that is not known."""
    steps = {"a": step(State.RUNNING)}
    ends = BEGIN + timedelta(seconds=130)
    for end, said in ((ends, "so far, about 2 min left"), (BEGIN, "so far, nearly done")):
        export = export_of({"a": []}, steps, state=RunState.RUNNING, estimated_completion=end)
        page = check(export)
        assert said in page.words
        assert "expected end" in page.words
    unknown = check(export_of({"a": []}, steps, state=RunState.RUNNING))
    assert "left" not in unknown.words
    assert "expected end" not in unknown.words


def test_what_a_step_waits_for_is_told_where_it_is_known() -> None:
    """Beside its state, until it has ended."""
    waiting = {"waiting_for": "the limit of <bench>"}
    noted = step(State.QUEUED).model_copy(update=waiting)
    export = export_of({"a": []}, {"a": step(State.QUEUED)}, state=RunState.RUNNING)
    status = export.status.model_copy(update={"tasks": {"a": noted}})
    assert "the limit of <bench>" in check(export.model_copy(update={"status": status})).words


def test_instances_stand_below_their_step() -> None:
    """In the table and in the chart, and in one box of the graph."""
    export = played({"a": [], "signals": ["a"], "z": ["signals"]}, 1, mapped={"signals": 12})
    facts = Facts(export)
    assert list(facts.order[:4]) == ["a", "signals", "signals[0]", "signals[1]"]
    page = check(export)
    boxes = [value for name, at, value in page.attributes if (name, at) == ("svg", "class")]
    assert boxes.count("step") == 3
    assert f"signals {TIMES}12" in page.words


def test_the_critical_path_is_what_was_waited_for() -> None:
    """From the last step back, each time to the upstream that ended last."""
    ends = {"a": 1, "b": 5, "c": 2, "d": 9}
    steps = {
        name: step(
            started_at=BEGIN + timedelta(seconds=end - 1),
            finished_at=BEGIN + timedelta(seconds=end),
        )
        for name, end in ends.items()
    }
    edges = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
    assert list(Facts(export_of(edges, steps)).critical) == ["a", "b", "d"]
    waiting = {name: step(State.SCHEDULED) for name in edges}
    assert list(Facts(export_of(edges, waiting, state=RunState.QUEUED)).critical) == []


def test_a_step_between_two_attempts_does_not_run() -> None:
    """Its row's start is that of the attempt that has ended."""
    made = StepAttempt(
        attempt=1, started_at=BEGIN, ended_at=BEGIN + timedelta(seconds=2), outcome="retried"
    )
    between = step(State.RETRYING, started_at=BEGIN, queued_at=BEGIN, attempt=1)
    facts = Facts(
        export_of({"a": []}, {"a": between}, state=RunState.RUNNING, attempts={"a": (made,)})
    )
    assert facts.is_between("a")
    assert facts.took("a") is None
    assert "waits to try again" in check(facts.export).words


def test_a_run_that_has_not_begun_has_a_page() -> None:
    """Nothing was queued, nothing ran."""
    steps = {name: step(State.SCHEDULED) for name in "ab"}
    export = export_of(
        {"a": [], "b": ["a"]},
        steps,
        state=RunState.QUEUED,
        started_at=None,
        scheduled_at=BEGIN + timedelta(days=1),
    )
    assert "not begun" in check(export).words
