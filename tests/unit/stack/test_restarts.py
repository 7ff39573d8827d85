import pytest

from datamcp.stack.restarts import (
    HEALTHY_AFTER,
    LONGEST,
    deaths_in_a_row,
    delay,
    error_of,
    is_hopeless,
)


def test_delays_double_up_to_a_bound() -> None:
    """The first death costs no time; a process that never lives is tried twice a minute."""
    assert [delay(deaths) for deaths in range(1, 9)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert delay(10_000) == LONGEST


def test_a_minute_of_life_makes_up_for_earlier_deaths() -> None:
    """A process that dies once a day starts again at once, each time."""
    assert deaths_in_a_row(5, HEALTHY_AFTER - 0.1) == 6
    assert deaths_in_a_row(5, HEALTHY_AFTER) == 1
    assert deaths_in_a_row(0, 0.0) == 1


@pytest.mark.parametrize(
    ("code", "starts", "lost_broker", "hopeless"),
    [
        (2, 1, False, True),  # configured wrongly
        (3, 1, False, True),  # a service is away
        (3, 1, True, False),  # that service is ours, and has just died
        (2, 1, True, True),
        (2, 2, False, False),  # it has started before
        (1, 1, False, False),
        (-9, 1, False, False),
    ],
)
def test_a_first_start_that_is_refused_is_hopeless(
    code: int, starts: int, lost_broker: bool, hopeless: bool
) -> None:
    """Whatever else ends a process, another start may do better."""
    assert is_hopeless(code, starts=starts, lost_broker=lost_broker) is hopeless


def test_finds_what_a_process_said_of_its_end() -> None:
    """The last error counts, with the problems below it; what comes before and after does not."""
    written = (
        "banner\nError: first\nmore\nError: two problems\n  a: is wrong\n  b: too\ntraceback\n"
    )
    assert error_of(written) == "two problems\n  a: is wrong\n  b: too"
    assert error_of("nothing\nof the kind\n") is None
    assert error_of("") is None
