from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from datamcp.types import called_task_id, new_id, new_token, step_task_id

instants = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001  hypothesis wants it bare and adds the zone
    datetime(2500, 1, 1),  # noqa: DTZ001  as above
    timezones=st.just(UTC),
)
names = st.text(min_size=1, max_size=20)


@given(instants)
def test_an_id_is_a_uuid_of_version_7(now: datetime) -> None:
    """It has version and variant of RFC 9562, and the instant in its first 48 bits."""
    made = UUID(new_id(now))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(instants, st.integers(1, 10**9))
def test_ids_sort_by_time(now: datetime, milliseconds: int) -> None:
    """Of two ids, the one of an instant a millisecond or more later is greater as text."""
    assert new_id(now) < new_id(now + timedelta(milliseconds=milliseconds))


def test_ids_of_one_instant_differ() -> None:
    """The rest of an id is random."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert len({new_id(now) for _ in range(1000)}) == 1000


def test_a_token_is_128_bits_of_its_own() -> None:
    """Tokens fit the ledger's column for fences, and do not repeat."""
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(len(bytes.fromhex(token)) == 16 for token in tokens)


@given(names, names)
def test_the_id_of_a_step_follows_from_run_and_step(run_id: str, step_id: str) -> None:
    """The same input gives the same id, other input another."""
    assert step_task_id(run_id, step_id) == step_task_id(run_id, step_id)
    assert step_task_id(run_id, step_id) != step_task_id(run_id, step_id + "x")
    assert UUID(step_task_id(run_id, step_id)).version == 5


@given(names, names)
def test_the_id_of_a_call_follows_from_its_parts(caller_id: str, part: str) -> None:
    """The same input gives the same id, other input another, wherever the difference is."""
    assert called_task_id(caller_id, 1, part) == called_task_id(caller_id, 1, part)
    ids = {
        called_task_id(caller_id, 1, part),
        called_task_id(caller_id, 2, part),
        called_task_id(caller_id, None, part),
        called_task_id(caller_id, 1, part + "x"),
        called_task_id(caller_id, 1, part, "x"),
        called_task_id(caller_id + "x", 1, part),
    }
    assert len(ids) == 6
    assert {UUID(one).version for one in ids} == {5}
