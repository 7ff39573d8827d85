"""What a schedule does where not all goes as it should: late, or while it still runs. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache

from datamcp.errors import InvalidScheduleError
from datamcp.naming import did_you_mean

CAUGHT_UP = 1000
"""Times that `catch_up` makes up for where it does not say how many."""
_MOST_CAUGHT_UP = 100_000

_GRACE_LEAST, _GRACE_MOST = timedelta(seconds=2), timedelta(seconds=60)


class Missed(StrEnum):
    """What becomes of times that passed while no beat ran."""

    SKIP = "skip"
    """Nothing."""
    FIRE_ONCE = "fire_once"
    """The last of them fires."""
    CATCH_UP = "catch_up"
    """Each fires: the newest so many."""


@dataclass(frozen=True, slots=True)
class Misfire:
    """A misfire policy; `most` is how many times are made up for."""

    missed: Missed
    most: int

    def __str__(self) -> str:
        """Return it as `parse_misfire` reads it."""
        is_plain = self.missed is not Missed.CATCH_UP or self.most == CAUGHT_UP
        return str(self.missed) if is_plain else f"{self.missed}:{self.most}"


class Overlap(StrEnum):
    """What happens at a time while what was fired last has not ended."""

    ALLOW = "allow"
    """Both run."""
    SKIP = "skip"
    """The new one is left out."""
    BUFFER_ONE = "buffer_one"
    """The new one starts once the other has ended; while it waits, more are left out."""
    CANCEL_OTHER = "cancel_other"
    """The other is cancelled; the new one starts once it has ended."""


@lru_cache(maxsize=256)
def parse_misfire(text: str) -> Misfire:
    """Read `skip`, `fire_once`, `catch_up` or `catch_up:20`; raises InvalidScheduleError."""
    word, colon, number = _normal(text).partition(":")
    if word not in set(Missed) or (colon and word != Missed.CATCH_UP):
        hint = did_you_mean(word, [one.value for one in Missed])
        reason = f"misfire: {text!r} is not skip, fire_once, catch_up or catch_up:20{hint}"
        raise InvalidScheduleError(text, reason)
    missed = Missed(word)
    if not colon:
        return Misfire(missed, CAUGHT_UP if missed is Missed.CATCH_UP else 1)
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= _MOST_CAUGHT_UP):
        reason = f"misfire: catch_up takes from 1 to {_MOST_CAUGHT_UP}, got {number!r}"
        raise InvalidScheduleError(text, reason)
    return Misfire(missed, int(number))


@lru_cache(maxsize=256)
def parse_overlap(text: str) -> Overlap:
    """Read `allow`, `skip`, `buffer_one` or `cancel_other`; raises InvalidScheduleError."""
    word = _normal(text)
    if word not in set(Overlap):
        hint = did_you_mean(word, [one.value for one in Overlap])
        raise InvalidScheduleError(text, f"overlap: {text!r} is not {', '.join(Overlap)}{hint}")
    return Overlap(word)


def grace(distance: timedelta | None) -> timedelta:
    """Return how late a time may fire and still not be missed.

    `distance` is how long it is until the next one; None if there is none. As long as that, but
    from 2 to 60 seconds.
    """
    if distance is None:
        return _GRACE_MOST
    return min(max(distance, _GRACE_LEAST), _GRACE_MOST)


def _normal(text: str) -> str:
    return text.strip().lower().replace("-", "_").replace(" ", "_")
