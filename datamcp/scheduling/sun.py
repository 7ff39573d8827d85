"""Times that the sun gives at a place: `solar sunset 52.52 13.40`. Pure.

The events are those of Celery's `solar`, and mean the same. Where the sun is at an instant knows the
library ephem, which is asked only where there is such a schedule (`pip install "datamcp[solar]"`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from datamcp.errors import ConfigError, InvalidScheduleError
from datamcp.naming import did_you_mean

_DAY = timedelta(days=1)
_SEARCHED = 400  # days: what is not in a year is never


@dataclass(frozen=True, slots=True)
class _Event:
    """How ephem is asked: which way the sun goes, and how high it then is, in degrees."""

    method: str
    horizon: str
    is_of_center: bool = False


_EVENTS = {
    "dawn_astronomical": _Event("next_rising", "-18", is_of_center=True),
    "dawn_nautical": _Event("next_rising", "-12", is_of_center=True),
    "dawn_civil": _Event("next_rising", "-6", is_of_center=True),
    "sunrise": _Event("next_rising", "-0:34"),
    "solar_noon": _Event("next_transit", "0"),
    "sunset": _Event("next_setting", "-0:34"),
    "dusk_civil": _Event("next_setting", "-6", is_of_center=True),
    "dusk_nautical": _Event("next_setting", "-12", is_of_center=True),
    "dusk_astronomical": _Event("next_setting", "-18", is_of_center=True),
}


@dataclass(frozen=True, slots=True)
class BySun:
    """An event of each day at a place, in degrees north and east; days without it are left out."""

    text: str
    event: str
    latitude: float
    longitude: float

    @classmethod
    def parse(cls, text: str) -> "BySun":
        """Read `solar EVENT LATITUDE LONGITUDE`; raises InvalidScheduleError."""
        words = text.split()
        if len(words) != 4:
            reason = f"{text!r} should be `solar EVENT LATITUDE LONGITUDE`"
            raise InvalidScheduleError(text, reason)
        event = words[1].lower()
        if event not in _EVENTS:
            hint = did_you_mean(event, _EVENTS) or f"; there are {', '.join(_EVENTS)}"
            raise InvalidScheduleError(text, f"the sun has no event {event!r}{hint}")
        latitude = _degrees(text, words[2], 90, "latitude")
        return cls(text, event, latitude, _degrees(text, words[3], 180, "longitude"))

    def after(self, instant: datetime, zone: ZoneInfo, anchor: datetime) -> datetime | None:  # noqa: ARG002  no clock counts
        """Return the first time after an instant; None if a year has none."""
        ephem = _ephem()
        day = self._midnight(instant.astimezone(UTC)) - _DAY
        for _ in range(_SEARCHED):
            at = self._on(day, ephem)
            if at is not None and at > instant:
                return at
            day += _DAY
        return None

    def _midnight(self, instant: datetime) -> datetime:
        """Return the last midnight by the sun at the place, about."""
        ahead = timedelta(hours=self.longitude / 15)
        local = (instant + ahead).replace(hour=0, minute=0, second=0, microsecond=0)
        return local - ahead

    def _on(self, midnight: datetime, ephem: Any) -> datetime | None:
        """Return the time on the day that begins then; None if that has none.

        Always asked from the same instant: what ephem finds depends on it by some milliseconds.
        """
        asked = _EVENTS[self.event]
        options = {"use_center": True} if asked.is_of_center else {}
        since = ephem.Date(midnight.replace(tzinfo=None))
        try:
            found = getattr(self._observer(ephem), asked.method)(
                ephem.Sun(), start=since, **options
            )
        except ephem.CircumpolarError:
            return None
        at: datetime = found.datetime().replace(microsecond=0, tzinfo=UTC)
        return at if at < midnight + _DAY else None

    def _observer(self, ephem: Any) -> Any:
        observer = ephem.Observer()
        observer.lat, observer.lon = str(self.latitude), str(self.longitude)
        observer.elev, observer.pressure = 0, 0
        observer.horizon = _EVENTS[self.event].horizon
        return observer


def _degrees(text: str, word: str, most: float, name: str) -> float:
    try:
        degrees = float(word)
    except ValueError:
        raise InvalidScheduleError(text, f"{name}: {word!r} is no number of degrees") from None
    if not -most <= degrees <= most:
        raise InvalidScheduleError(text, f"{name}: must be from -{most} to {most}, got {word}")
    return degrees


def _ephem() -> Any:
    try:
        import ephem
    except ImportError:
        raise ConfigError(
            'schedules of the sun need the library ephem: pip install "datamcp[solar]"'
        ) from None
    return ephem
