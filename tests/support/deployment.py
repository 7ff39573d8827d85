"""The Procfile and the compose file, as the programs that read them understand them."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from support.source import REPOSITORY

SERVERS = frozenset({"postgres", "valkey"})
ONE_SHOT = "migrate"

SECRETS = {
    "VALKEY_PASSWORD": "v4lk3y",
    "POSTGRES_PASSWORD": "p0stgr3s",
    "DATAMCP_SECURITY__MASTER_KEY": "m4st3r",
    "DATAMCP_MONITORING__FLOWER_AUTH": "ops:fl0w3r",
}
VARIABLES = {**SECRETS, "DATAMCP_SECURITY__ALLOW_UNSIGNED_TASKS": "true"}
"""What a user has to set before the compose file is accepted."""

_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def procfile() -> dict[str, str]:
    """Return the command of each process of the Procfile."""
    lines = (REPOSITORY / "Procfile").read_text().splitlines()
    named = [line.split(": ", 1) for line in lines if line and not line.startswith("#")]
    return dict(named)  # type: ignore[arg-type]


def compose() -> dict[str, Any]:
    """Return the compose file as it stands, its references to variables as text."""
    document: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    return document


def services() -> dict[str, dict[str, Any]]:
    """Return the services of the compose file, by name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def filled(value: Any, variables: Mapping[str, str]) -> Any:
    """Return a part of the compose file with its references filled in, as compose does it.

    Raises LookupError, with what the file says about it, for a variable that has to be set.
    """

    def fill(found: re.Match[str]) -> str:
        name, how, text = found[1], found[2], found[3]
        if name is None:
            return "$"
        if not variables.get(name) and how == "?":
            raise LookupError(f"{name}: {text}")
        return variables.get(name) or (text if how == "-" else "")

    match value:
        case str():
            return _REFERENCE.sub(fill, value)
        case dict():
            return {key: filled(inner, variables) for key, inner in value.items()}
        case list():
            return [filled(inner, variables) for inner in value]
    return value


def references(value: Any) -> set[str]:
    """Return the names of the variables that a part of the compose file refers to."""
    return {found[1] for found in _REFERENCE.finditer(yaml.safe_dump(value)) if found[1]}
