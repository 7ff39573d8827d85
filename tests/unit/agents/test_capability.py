import asyncio
import re
from typing import Any

import pytest

from datamcp.agents.agent import BaseAgent, capabilities_of
from datamcp.agents.capability import CapabilityMethod, CapabilityOfClass, capability
from datamcp.errors import AgentError
from datamcp.tasks.limit import Limit


class Bench(BaseAgent):
    agent_type = "bench"

    @capability
    def add(self, a: int, b: int = 0) -> int:
        """Add two numbers.

        The second may be left out.
        """
        return a + b

    @capability(timeout=2.5)
    async def wait(self, seconds: float) -> None:
        """Wait a while."""

    def helper(self) -> int:
        """Be no capability."""
        return 1


class Fast(Bench):
    agent_type = "fast"

    @capability
    def add(self, a: int, b: int = 0, c: int = 0) -> int:
        """Add three numbers."""
        return a + b + c

    def wait(self, seconds: float) -> None:  # type: ignore[override]  # hides the capability
        """Not wait at all."""

    @capability
    def double(self, a: int) -> int:
        """Add a number to itself."""
        return self.add(a, a)


def test_on_an_instance_it_is_the_plain_method() -> None:
    """Agents and their tests call capabilities as any other method."""
    assert Bench().add(1, b=2) == 3
    assert Fast().double(4) == 8
    assert asyncio.iscoroutinefunction(Bench().wait)


def test_on_its_class_it_is_named_as_it_is_enqueued() -> None:
    """The task type is that of the class that is asked, also for what it inherits."""
    assert isinstance(Bench.add, CapabilityOfClass)
    assert Bench.add.task_type == "bench.add"
    assert Fast.double.task_type == "fast.double"
    assert repr(Fast.add) == "<capability fast.add>"


def test_on_its_class_it_can_be_called_with_an_instance() -> None:
    """As any method of a class can; `super()` in a derived class relies on it."""
    assert Bench.add(Fast(), 1, 2) == 3


def test_on_its_class_it_has_no_hidden_attributes_of_a_task() -> None:
    """What looks for a special name, as `copy` does, builds no app."""
    assert not hasattr(Bench.add, "__deepcopy__")


def test_a_class_has_its_own_capabilities_and_those_of_its_bases() -> None:
    """One that is overridden counts once; overridden without the decorator, it is none."""
    assert list(capabilities_of(Bench, "bench")) == ["bench.add", "bench.wait"]
    found = capabilities_of(Fast, "fast")
    assert set(found) == {"fast.add", "fast.double"}
    assert found["fast.add"] is vars(Fast)["add"]


def test_keeps_its_timeout() -> None:
    """The decorator's seconds are found where the task type is made."""
    capabilities = capabilities_of(Bench, "bench")
    assert capabilities["bench.wait"].timeout == 2.5
    assert capabilities["bench.add"].timeout is None


def test_keeps_what_the_method_says_of_itself() -> None:
    """Documentation and signature stay readable through the decorator."""
    member = vars(Bench)["add"]
    assert isinstance(member, CapabilityMethod)
    assert (member.__doc__ or "").startswith("Add two numbers.")
    assert member.__wrapped__ is member.function


def test_an_agent_lists_what_it_can_do() -> None:
    """Names, descriptions, types and defaults come from the signature."""
    add, wait = Bench().get_capabilities()
    assert (add.name, wait.name) == ("bench.add", "bench.wait")
    assert add.description == "Add two numbers.\n\nThe second may be left out."
    assert (add.input_types, add.output_types) == (["integer", "integer"], ["int"])
    assert (add.parameters["a"].required, add.parameters["a"].default) == (True, None)
    assert (add.parameters["b"].required, add.parameters["b"].default) == (False, 0)
    assert wait.parameters["seconds"].type["type"] == "number"


def test_there_is_no_context_outside_of_a_task() -> None:
    """An agent that is used by hand says so, where a capability asks for its task."""
    with pytest.raises(AgentError, match=r"Bench\.context: no task is running here"):
        _ = Bench().context


class Limited(BaseAgent):
    agent_type = "limited"

    @capability(max_running=2, rate="10/m", per="account")
    def book(self, account: str = "main", *, amount: int = 0) -> None:
        """Book an amount."""


def test_a_limit_is_declared_where_the_method_is() -> None:
    """At most so many at once, no oftener than so, and for each value of a parameter."""
    limit = capabilities_of(Limited, "limited")["limited.book"].limit
    assert limit == Limit(max_running=2, spacing=6.0, per="account", default="main")
    assert capabilities_of(Bench, "bench")["bench.wait"].limit is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_running": 0}, "max_running must be a whole number above 0, got 0"),
        ({"max_running": True}, "max_running must be a whole number above 0, got True"),
        ({"max_running": "4"}, "max_running must be a whole number above 0, got '4'"),
        ({"rate": "10"}, "rate must be like '10/m'"),
        ({"per": "account"}, "per='account' says whose limit it is, but not which"),
        ({"max_running": 1, "per": "acount"}, "per='acount' is no parameter; did you mean"),
        ({"max_running": 1, "per": "x"}, "per='x' is no parameter; it has account, amount"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    """When the class is defined, by the name of the capability."""

    def book(self: object, account: str, amount: int) -> None:
        """Book an amount."""

    with pytest.raises(AgentError, match=re.escape(message)) as raised:
        capability(**options)(book)
    assert str(raised.value).startswith("capability book: ")
