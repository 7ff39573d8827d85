"""What a database said, in one line that holds no part of its address."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, exc

from datamcp.config.redaction import HIDDEN, is_secret_name
from datamcp.errors import BackendUnavailable, ProcessingError
from datamcp.infra.database import means_unavailable, reason

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
    is_refused = "readonly" in reason(error)  # of SQLite, where we have asked for it
    return isinstance(error, kinds) and means_unavailable(error) and not is_refused
