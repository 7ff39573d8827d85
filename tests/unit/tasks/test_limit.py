import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.tasks.limit import NAP, Limit, spacing_of


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [("10/m", 6.0), ("4/s", 0.25), ("0.5/s", 2.0), ("1/h", 3600), ("2/d", 43200)],
)
def test_a_rate_spaces_starts_evenly(rate: str, seconds: float) -> None:
    """A number per second, minute, hour or day."""
    assert spacing_of(rate) == seconds


@pytest.mark.parametrize(
    "rate", ["", "10", "10/w", "0/s", "-1/s", "1e3/s", " 1/s", "1/s ", 10, "٣/s x"]
)
def test_a_rate_of_another_form_is_refused(rate: str) -> None:
    """The message shows the form."""
    with pytest.raises(ValueError, match=r"rate must be like '10/m'"):
        spacing_of(rate)


def test_a_type_s_tasks_share_one_key() -> None:
    """Whatever their parameters are."""
    assert Limit(max_running=1).key("bench.add", {"a": 1}) == "bench.add"


def test_each_value_of_a_parameter_has_a_key() -> None:
    """By its JSON form, and by its default where a task does not name it."""
    limit = Limit(max_running=1, per="account", default="main")
    assert limit.key("bench.add", {"account": "7", "a": 1}) == 'bench.add account="7"'
    assert limit.key("bench.add", {"account": 7}) == "bench.add account=7"
    assert limit.key("bench.add", {}) == 'bench.add account="main"'


@given(st.text(min_size=200), st.text(min_size=200))
def test_long_values_have_short_keys(one: str, other: str) -> None:
    """And different ones for different values."""
    limit = Limit(max_running=1, per="text")
    keys = [limit.key("bench.add", {"text": text}) for text in (one, other)]
    assert max(map(len, keys)) <= 240
    assert (keys[0] == keys[1]) == (one == other)


@pytest.mark.parametrize(
    ("limit", "running", "wait", "room"),
    [
        (Limit(max_running=3), 0, 0.0, 3),
        (Limit(max_running=3), 2, 99.0, 1),
        (Limit(max_running=3), 5, 0.0, 0),
        (Limit(spacing=10.0), 50, 0.0, 1),
        (Limit(spacing=10.0), 0, 0.3, 0),
        (Limit(spacing=0.1), 0, 0.0, 3),
        (Limit(max_running=2, spacing=0.1), 0, -5.0, 2),
    ],
)
def test_the_stricter_half_of_a_limit_holds(
    limit: Limit, running: int, wait: float, room: int
) -> None:
    """Places that are free, and turns that come while a slot waits."""
    assert limit.room(running, wait) == room
    assert NAP == 0.25
