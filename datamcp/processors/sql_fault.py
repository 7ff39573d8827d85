"""What a database said, in one line that holds no part of its address."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, exc

from datamcp.config.redaction import HIDDEN, is_secret_name
from datamcp.errors import BackendUnavailable, ProcessingError
from datamcp.infra.database import means_unavailable, reason

_MYSQL_CLIENT = range(2000, 3000)  # of its errors: it was not reached, or went
_MYSQL_PASSING = frozenset({0, 1040, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1317, 1927})
"""Of MySQL's errors, those that the same statement may not meet again.

It is closed, has no connection left, shuts down, lost the network (4), lets this user have no more
connections, waited too long for a lock, met a deadlock, or was interrupted (2).
"""

_OURS = (ValueError, OverflowError)  # of a value that a driver cannot take or give


@contextmanager
def translated(name: str, url: URL) -> Iterator[None]:
    """Turn what the driver of connection `name` raises into errors of ours.

    BackendUnavailable where the same statement may be answered later, ProcessingError otherwise.
    The driver's own error is left out: it may hold the address, and the values of rows.
    """
    try:
        yield
    except exc.SQLAlchemyError as error:
        told = scrubbed(reason(error), url)
        if _is_passing(error):
            raise BackendUnavailable(f"connection {name!r}", told) from None
        raise ProcessingError(f"connection {name!r}: {told}") from None
    except _OURS as error:
        told = scrubbed(str(error).partition("\n")[0], url)
        raise ProcessingError(f"connection {name!r}: {told}") from None


def scrubbed(text: str, url: URL) -> str:
    """Return the text without the URL, and without every password that it holds."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(url: URL) -> set[str]:
    values = [value for key, value in url.query.items() if is_secret_name(key)]
    words = [word for value in values for word in ([value] if isinstance(value, str) else value)]
    words += [url.password] if url.password else []
    spelled = {way(word) for word in words for way in (str, quote, quote_plus)}
    return {url.render_as_string(hide_password=False), *spelled} - {""}


def _is_passing(error: exc.SQLAlchemyError) -> bool:
    kinds = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
    if not isinstance(error, kinds):
        return False
    number = _number(error)
    if number is not None:
        return number in _MYSQL_CLIENT or number in _MYSQL_PASSING
    is_refused = "readonly" in reason(error)  # of SQLite, where we have asked for it
    return means_unavailable(error) and not is_refused


def _number(error: exc.SQLAlchemyError) -> int | None:
    """Return the number of an error of MySQL's; the drivers of others give none."""
    given = error.orig.args[:1] if isinstance(error, exc.DBAPIError) and error.orig else ()
    return given[0] if given and isinstance(given[0], int) else None
