"""datamcp's agent with the same tasks as the rival's app."""

from benchmarks import probes, tally
from datamcp import BaseAgent, capability


class Bench(BaseAgent):
    """Does nothing, and is counted."""

    @capability
    def noop(self, number: int) -> int:
        """Do nothing but be counted."""
        return tally.note(number)

    @capability(batch=50)
    def tiny(self, number: int) -> int:
        """Do the same; many of these travel together."""
        return tally.note(number)

    @capability
    def hold(self, number: int, gate: str) -> int:
        """Keep a slot busy until the gate is open."""
        return tally.hold(number, gate)

    @capability
    def step(self, number: int, run: int = 0, seconds: float = 0.0) -> int:
        """Be counted as a step of a run, and take so many seconds."""
        return tally.step(number, run, seconds)


probes.attach()
