"""Other names of settings: an agent type `X` may also be written `X_agent`."""

from datamcp.config.layer import Entry, Layer
from datamcp.errors import Problem

_SUFFIX = "_agent"


def agent_type_of(name: str) -> str:
    """Return the agent type that a name stands for: `research` for `research_agent`."""
    return name.removesuffix(_SUFFIX) or name


def canonical(layer: Layer) -> tuple[Layer, list[Problem]]:
    """Return the layer with every agent type under its own name; one named twice is a problem."""
    written = {entry.path[1] for entry in layer.entries if _names_agent(entry)}
    problems = [
        Problem(f"agents.{name}", f"is given twice: also as agents.{agent_type_of(name)}")
        for name in sorted(written)
        if agent_type_of(name) != name and agent_type_of(name) in written
    ]
    return layer.mapped(_rename), problems


def _rename(entry: Entry) -> Entry:
    if not _names_agent(entry) or agent_type_of(entry.path[1]) == entry.path[1]:
        return entry
    section, name, *rest = entry.path
    path = (section, agent_type_of(name), *rest)
    return Entry(path, entry.value, entry.origin.noted(f"written as {name}"))


def _names_agent(entry: Entry) -> bool:
    return len(entry.path) > 1 and entry.path[0] == "agents"
