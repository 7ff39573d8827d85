"""datamcp's agent with the same tasks as the rival's app."""

from benchmarks import probes, tally
from datamcp import BaseAgent, capability


class Bench(BaseAgent):
    """Does nothing, and is counted."""

    agent_type = "bench"

    @capability
    def noop(self, number: int) -> int:
        """Do nothing but be counted."""
        return tally.note(number)

    @capability
    def hold(self, number: int, gate: str) -> int:
        """Keep a slot busy until the gate is open."""
        return tally.hold(number, gate)


probes.attach()
