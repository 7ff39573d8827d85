from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console
from support.source import REPOSITORY

from benchmarks import report as marks
from benchmarks.schedules import report
from benchmarks.schedules.load import Load, lead_of, next_minute
from benchmarks.schedules.outcome import Found, Outcome, load
from datamcp.scheduling.when import parse, read_zone

PUBLISHED = REPOSITORY / "benchmarks" / "figures" / "published-schedules.json"
PAGE = REPOSITORY / "docs" / "reference" / "benchmarks-schedules.md"

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def outcome(**sides: Found) -> Outcome:
    """Return a run of two rounds."""
    return Outcome(
        started_at="2026-11-30T12:00:00+00:00",
        revision="abc1234",
        count=10_000,
        due=1000,
        idle=20.0,
        patience=150.0,
        rounds=2,
        load_before=[0.1, 0.2, 0.3],
        load_after=[1.0, 0.5, 0.3],
        sides=sides,
    )


def found(*, last: list[float | None], idle: list[float], sent: int = 1000) -> Found:
    """Return a side of two rounds."""
    return Found(
        seen_within="at once",
        settings={"scheduler": "a scheduler"},
        first=[0.1, 0.2],
        last=last,
        sent=[1000, sent],
        others=[0.5, 1.5],
        idle=idle,
        idle_servers=[0.001, 0.003],
        memory=[100 * 2**20, 102 * 2**20],
    )


def shown(figures: Outcome) -> str:
    """Return what a terminal shows."""
    console = Console(width=250, force_terminal=True, no_color=True)
    with console.capture() as captured:
        report.show(console, figures)
    return captured.get()


def test_so_many_are_due_at_the_instant_and_the_others_hours_later() -> None:
    """Each schedule fires next when the load says, by datamcp's own reading of it."""
    entries = Load(count=100, due=10, due_at=NOON).entries
    now = NOON - timedelta(minutes=2)
    times = [parse(entry.cron).after(now, read_zone("UTC"), now) for entry in entries]
    assert times[:10] == [NOON] * 10
    assert all(at is not None and at >= NOON + timedelta(hours=2) for at in times[10:])
    assert len({entry.name for entry in entries}) == 100
    assert len(set(times)) > 80


def test_all_may_be_due() -> None:
    """A load without others is one, too."""
    assert len(Load(count=3, due=3, due_at=NOON).entries) == 3


@pytest.mark.parametrize(
    ("count", "due", "due_at"),
    [(1, 2, NOON), (1, 0, NOON), (1, 1, NOON.replace(second=1))],
)
def test_a_load_that_can_t_be_is_refused(count: int, due: int, due_at: datetime) -> None:
    """No more are due than there are, and only at a full minute: cron says no more."""
    with pytest.raises(ValueError, match=r"can't be due|full minute"):
        Load(count, due, due_at)


def test_the_instant_leaves_time_to_start() -> None:
    """It is the first full minute after all that comes before."""
    lead = timedelta(seconds=90)
    assert next_minute(NOON, lead) == NOON + timedelta(minutes=2)
    assert next_minute(NOON - lead, lead) == NOON
    assert lead_of(10_000, 20.0) == lead


def test_figures_come_back_out_of_json(tmp_path: Path) -> None:
    """What is written is what is read; a file of another form is refused."""
    file = tmp_path / "figures.json"
    written = outcome(datamcp=found(last=[0.5, None], idle=[0.001, 0.02]))
    file.write_text(written.to_json())
    assert load(file) == written
    file.write_text("{}")
    with pytest.raises(ValueError, match="no figures of format"):
        load(file)


def test_our_targets_are_judged_and_those_of_rivals_are_not() -> None:
    """A target is met by all rounds, by their median, or missed."""
    text = shown(
        outcome(
            **{
                "datamcp, one": found(last=[0.5, 0.9], idle=[0.02, 0.03]),
                "datamcp, two": found(last=[0.5, 1.1], idle=[0.001, 0.002]),
                "rival": found(last=[2.0, 4.0], idle=[0.5, 0.5]),
            }
        )
    )
    for words in ("0.70 (0.50..0.90)", "3.00 (2.00..4.00)", "2.50 (2.00..3.00)", "101 (100..102)"):
        assert words in text
    one, two, rival = (line for line in text.splitlines() if line.count("at once"))
    assert (one.count(" met "), one.count(" missed "), one.count("met by the median")) == (1, 1, 0)
    assert (two.count(" met "), two.count(" missed "), two.count("met by the median")) == (2, 0, 1)
    assert "met" not in rival
    assert "missed" not in rival


def test_what_does_not_come_in_time_is_told_as_that() -> None:
    """A side that was given up is shown with what it had sent."""
    text = shown(outcome(rival=found(last=[140.0, None], idle=[0.0, 0.0], sent=900)))
    assert "> 150 (900 sent)" in text


def test_a_rival_that_is_not_installed_is_told_as_that() -> None:
    """Its row says which package is missing."""
    text = shown(outcome(rival=Found(seen_within="5 s", missing="celery-other")))
    assert "not measured: celery-other is not installed" in text


def test_the_page_shows_the_published_figures() -> None:
    """`python -m benchmarks.schedules --from … --page …` was run after they were published."""
    text = PAGE.read_text(encoding="utf-8")
    assert marks.put(text, report.markdown(load(PUBLISHED))) == text
