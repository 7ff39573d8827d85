"""The instances of a mapped step, such as `signals[3]`, and the step that they are of. Pure."""

import re
from collections.abc import Iterable, Mapping

_INSTANCE = re.compile(r"(?P<parent>.+?)\[[^\[\]]*\]")


def parent_of(step_id: str) -> str | None:
    """Return the step that this one is an instance of, or None."""
    found = _INSTANCE.fullmatch(step_id)
    return found["parent"] if found else None


def instances_of(step_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the instances of each mapped step, in the order in which they are given.

    A step whose id merely looks like one is no instance: its parent has to be among the steps.
    """
    known = list(step_ids)
    parents = set(known)
    found: dict[str, list[str]] = {}
    for step_id in known:
        parent = parent_of(step_id)
        if parent in parents:
            found.setdefault(str(parent), []).append(step_id)
    return found


def with_instances(
    upstreams: Mapping[str, Iterable[str]], step_ids: Iterable[str]
) -> dict[str, list[str]]:
    """Return what each of these steps waits for, where a mapped step waits for its instances.

    An instance waits for what its step does. Upstreams that are none of the steps are left out.
    """
    known = list(dict.fromkeys(step_ids))
    steps = set(known)
    instances = instances_of(known)
    parents = {one: parent for parent, those in instances.items() for one in those}
    return {
        step_id: [
            *(up for up in upstreams.get(parents.get(step_id, step_id), ()) if up in steps),
            *instances.get(step_id, ()),
        ]
        for step_id in known
    }
