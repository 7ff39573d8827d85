"""What must not be shown, and how it is shown instead. Pure.

A URL loses its password, and those of its query that look secret. A value whose name looks secret
is hidden whole, whatever its type. When in doubt more is hidden, never less.
"""

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "********"

_SECRET_NAME = re.compile(
    r"(?:pass(?:words?|wd|phrase)?|secret|token|credentials?|authorization|[_-]auth"
    r"|(?:api|access|private|master|secret|signing)[_-]?key)$",
    re.IGNORECASE,
)
# The password ends at the last @ of the text, as one with an unescaped / or @ would otherwise show.
_USERINFO = re.compile(r"([a-z][a-z0-9+.-]*://[^:/@\s]*):.+@", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(r"([?&;])([^=&;?]+)=([^&;]*)")


def is_secret_name(name: str) -> bool:
    """Tell whether a setting of this name is likely to hold a secret."""
    return _SECRET_NAME.search(name) is not None


def redact_url(url: str) -> str:
    """Return the URL with its passwords hidden; a text without any comes back as it is."""
    return _QUERY.sub(_redact_parameter, _USERINFO.sub(rf"\1:{HIDDEN}@", url))


def has_secret(url: str) -> bool:
    """Tell whether the text is a URL that holds a password or the like."""
    return "://" in url and redact_url(url) != url


def redact(value: Any, name: str = "") -> Any:
    """Return a JSON value, or a part of one under this name, with every secret hidden."""
    if value is None:
        return None
    if is_secret_name(name):
        return HIDDEN
    if isinstance(value, str):
        return redact_url(value)
    if isinstance(value, Mapping):
        return {str(key): redact(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact(inner) for inner in value]
    return value


def _redact_parameter(found: re.Match[str]) -> str:
    secret = is_secret_name(found[2]) and found[3]
    return f"{found[1]}{found[2]}={HIDDEN}" if secret else found[0]
