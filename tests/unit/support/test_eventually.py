import pytest
from support.eventually import eventually


def test_returns_the_first_true_outcome() -> None:
    """The check is repeated until it returns something true, which is handed back."""
    outcomes = iter([0, None, "ready", "never seen"])
    assert eventually(lambda: next(outcomes), interval=0) == "ready"


def test_takes_a_failed_assertion_for_not_yet() -> None:
    """A check may assert, and is called again as long as there is time."""
    calls: list[int] = []

    def check() -> bool:
        calls.append(1)
        assert len(calls) == 3
        return True

    assert eventually(check, interval=0)


def test_raises_the_last_failed_assertion_when_time_is_up() -> None:
    """After the timeout the reader sees what the check itself complained about."""

    def check() -> bool:
        raise AssertionError("no rows yet")

    with pytest.raises(AssertionError, match="no rows yet"):
        eventually(check, timeout=0)


def test_says_what_it_last_saw_when_time_is_up() -> None:
    """After the timeout a check without assertions still tells what it returned."""
    with pytest.raises(AssertionError, match=r"still \[\] after 0 s"):
        eventually(list[int], timeout=0)
