"""Whom a step asks, and what only that server may be told."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datamcp.config.integrations import IntegrationConfig
from datamcp.errors import ProcessingError
from datamcp.naming import did_you_mean
from datamcp.processors.web.options import HttpOptions

if TYPE_CHECKING:
    import httpx

_OPTIONS = frozenset({"token", "header", "allow_private"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]
"""Scheme, host and port: what may share credentials (RFC 6454)."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and how it is asked.

    `label` is what messages call it: it never holds a credential. `secrets` are headers for
    `origin` alone, `headers` are the step's, and go there alone, too.
    """

    label: str
    url: "httpx.URL"
    headers: Mapping[str, str]
    secrets: Mapping[str, str]
    may_be_private: bool = False

    @property
    def origin(self) -> Origin:
        """Return where credentials may go."""
        return origin(self.url)


def origin(url: "httpx.URL") -> Origin:
    """Return the origin of a URL."""
    return url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS.get(url.scheme, 0)


def target(options: HttpOptions, integrations: Mapping[str, IntegrationConfig]) -> Target:
    """Return whom a step asks; ProcessingError if its integration cannot be used."""
    if options.connection is None:
        url = readable(str(options.url), "url")
        label = f"{url.scheme}://{url.netloc.decode('ascii')}{url.path}"
        return Target(label, url.copy_merge_params(_query(options)), options.headers, {})
    return _connected(options.connection, options, integrations)


def readable(text: str, what: str) -> "httpx.URL":
    """Return a URL of http or https; ProcessingError, without the text, if it is none."""
    import httpx

    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise ProcessingError(f"{what} is no URL that can be read") from error
    if url.scheme not in _PORTS or not url.raw_host:
        raise ProcessingError(f"{what} must be a URL of http or https, with a host")
    return url


def _connected(
    name: str, options: HttpOptions, integrations: Mapping[str, IntegrationConfig]
) -> Target:
    integration = integration_of(name, integrations)
    where = f"integrations.{name}"
    if integration.url is None:
        variable = f"DATAMCP_INTEGRATIONS__{name.upper()}__URL"
        raise ProcessingError(f"{where}.url is not set; set it in the environment ({variable})")
    base = readable(integration.url.get_secret_value(), f"{where}.url")
    below = f"{base.path.rstrip('/')}/{options.path.lstrip('/')}" if options.path else base.path
    url = base.copy_with(username=None, password=None, path=below, fragment=None)
    return Target(
        label=f"connection {name!r}" + (f" /{options.path.lstrip('/')}" if options.path else ""),
        url=url.copy_merge_params(_query(options)),
        headers=options.headers,
        secrets=_secrets(base, integration, where),
        may_be_private=integration.options.get("allow_private") is True,
    )


def integration_of(name: str, integrations: Mapping[str, IntegrationConfig]) -> IntegrationConfig:
    """Return the integration of this name, of type `http`; ProcessingError if there is none."""
    found = integrations.get(name)
    if found is None:
        hint = did_you_mean(name, integrations)
        raise ProcessingError(f"connection {name!r}: there are no integrations.{name}{hint}")
    if found.type != "http":
        raise ProcessingError(f"integrations.{name} is of type {found.type!r}, and not http")
    unknown = sorted(set(found.options) - _OPTIONS)
    if unknown:
        listed = ", ".join(sorted(_OPTIONS))
        raise ProcessingError(
            f"integrations.{name}.options: {', '.join(unknown)} unknown; there are {listed}"
        )
    return found


def _secrets(base: "httpx.URL", integration: IntegrationConfig, where: str) -> dict[str, str]:
    token, header = integration.options.get("token"), integration.options.get("header")
    if token is None:
        return _basic(base)
    if base.userinfo:
        raise ProcessingError(f"{where} has both a token and a url with a password; one is enough")
    if not (isinstance(token, str) and token and token.isascii() and token.isprintable()):
        raise ProcessingError(f"{where}.options.token must be text of printable ASCII characters")
    if header is None:
        return {"Authorization": f"Bearer {token}"}
    if not (isinstance(header, str) and _HEADER_NAME.fullmatch(header)):
        raise ProcessingError(f"{where}.options.header must be the name of a header")
    return {header: token}


def _basic(base: "httpx.URL") -> dict[str, str]:
    if not base.userinfo:
        return {}
    pair = f"{base.username}:{base.password}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}


def _query(options: HttpOptions) -> dict[str, str | list[str]]:
    return {
        name: [_text(one) for one in value] if isinstance(value, list) else _text(value)
        for name, value in options.params.items()
    }


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
