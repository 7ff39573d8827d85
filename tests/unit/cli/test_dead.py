import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from support.ledgers import LedgerOnHand, ledger_at_hand

from datamcp.cli.tree import tree
from datamcp.infra.database import Database
from datamcp.tasks.outcome import Fail, Retry
from datamcp.tasks.states import State

NOWHERE = "redis://127.0.0.1:1/0"  # nothing listens on port 1


@pytest.fixture
def at_hand(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerOnHand]:
    """Have the ledger that the commands use."""
    monkeypatch.setenv("DATAMCP_STORAGE__DATABASE_URL", sqlite_url)
    monkeypatch.setenv("DATAMCP_BROKER__URL", NOWHERE)
    database = Database(sqlite_url)
    yield ledger_at_hand(database)
    database.close()


def dead(at_hand: LedgerOnHand, **fields: object) -> str:
    """Have a dead letter, a second after the one before."""
    task_id = at_hand.add(**{"max_attempts": 2, **fields})
    for number in (1, 2):
        at_hand.clock.move(1)
        fence = f"{task_id}-{number}"
        at_hand.ledger.claim(task_id, fence, "agent")
        if number == 1:
            at_hand.defer(task_id, fence, Retry("busy", "try [later]"))
        else:
            at_hand.finish(task_id, fence, Fail("broken", "for good"))
    return task_id


def run(*words: str, code: int = 0) -> Result:
    """Run a command on dead letters in this process."""
    result = CliRunner().invoke(tree, ["task", "dead", *words], prog_name="datamcp")
    assert result.exit_code == code, result.output
    return result


def ids(*words: str) -> list[str]:
    """Return the ids that a command prints as an array."""
    return [letter["task_id"] for letter in json.loads(run(*words, "--json").stdout)]


def test_lists_without_a_word(at_hand: LedgerOnHand) -> None:
    """The last dead first; with the options of `list`."""
    first = dead(at_hand)
    second = dead(at_hand, task_type="bench.mul")
    table = run().stdout.splitlines()
    assert [line.split()[0] for line in table] == ["task", second, first]
    assert "broken" in table[1]
    assert ids() == ids("list") == [second, first]
    assert ids("--type", "bench.mul") == ids("list", "--limit", "1") == [second]
    since = at_hand.row(second).dead_at.isoformat()
    assert ids("--since", since) == [second]


def test_shows_one_with_its_history(at_hand: LedgerOnHand) -> None:
    """Each attempt, and why it ended; as text, and as one object."""
    task_id = dead(at_hand)
    shown = run("show", task_id).stdout
    assert "busy: try [later]" in shown
    assert "broken: for good" in shown
    letter = json.loads(run("show", task_id, "--json").stdout)
    assert (letter["task_id"], letter["parameters"]) == (task_id, {"a": 1})
    assert [event["state"] for event in letter["history"]][-3:] == ["retrying", "running", "failed"]


def test_requeues_those_that_are_named(at_hand: LedgerOnHand) -> None:
    """One answers with its new task, several with theirs; a second time is wrong input."""
    first, second, third = (dead(at_hand) for _ in range(3))
    status = json.loads(run("requeue", first, "--json").stdout)
    assert (status["retry_of"], status["state"]) == (first, "queued")
    assert ids("requeue", second, third) == [
        at_hand.row(second).followed_by,
        at_hand.row(third).followed_by,
    ]
    refused = run("requeue", first, code=2)
    assert f"was requeued as {status['task_id']}" in refused.stderr
    assert ids() == []


def test_requeues_all_that_fit(at_hand: LedgerOnHand) -> None:
    """The filters are those of the list."""
    first, second = dead(at_hand), dead(at_hand, task_type="bench.mul")
    table = run("requeue", "--all", "--type", "bench.mul").stdout
    assert second in table
    assert str(at_hand.row(second).followed_by) in table
    assert ids() == [first]


def test_discards(at_hand: LedgerOnHand) -> None:
    """Those that are named, or all; they stay failed tasks."""
    first, second, third = (dead(at_hand) for _ in range(3))
    assert json.loads(run("discard", first, "--json").stdout)["dead_at"] is None
    assert ids() == [third, second]
    assert "2 dead letters discarded" in run("discard", "--all").stderr
    assert ids() == []
    assert at_hand.row(first).state == State.FAILED


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("requeue", "name dead letters, or take --all"),
        ("requeue --all some", "name dead letters, or take --all"),
        ("discard some --limit 3", "--type, --since and --limit go with --all"),
        ("--since never", "--since takes an ISO 8601 instant, got 'never'"),
        ("shw", "there is no command 'shw'; did you mean 'show'?"),
        ("show nothing", "no task 'nothing' in the ledger"),
    ],
)
def test_what_makes_no_sense_is_refused(at_hand: LedgerOnHand, words: str, said: str) -> None:
    """In a line, before anything is done."""
    task_id = dead(at_hand)
    assert said in run(*words.split(), code=2).stderr
    assert ids() == [task_id]
