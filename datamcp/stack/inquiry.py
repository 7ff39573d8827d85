"""What a stack asks of the ledger, and of Flower: who is ready, and who takes back what."""

from collections.abc import Mapping
from dataclasses import dataclass

from datamcp.bootstrap.runtime import Runtime
from datamcp.stack import ports
from datamcp.stack.losses import Losses


@dataclass(frozen=True, slots=True)
class Address:
    """Where Flower listens."""

    address: str
    port: int

    @property
    def url(self) -> str:
        """What to type into a browser on this machine."""
        return ports.url(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Answer:
    """The names of processes that are ready, and how many tasks of which dead were given back.

    `fault` is why not everything could be asked.
    """

    ready: frozenset[str] = frozenset()
    returned: tuple[tuple[str, int], ...] = ()
    fault: str | None = None


class Inquiry:
    """Asks once; may take as long as a database that does not answer."""

    def __init__(self, runtime: Runtime, losses: Losses, flower: Address | None) -> None:
        """Take whom to ask."""
        self._presence = runtime.presence
        self._losses = losses
        self._flower = flower

    def ask(self, awaited: Mapping[str, str | None]) -> Answer:
        """Give back what is owed, and ask which of these processes are ready.

        `awaited` are their names, with their process ids; Flower has none.
        """
        ready = {name for name, one in awaited.items() if one is None and self._flower_answers()}
        try:
            # First what fails at once where the ledger is away: to give back is tried for a while.
            ids = [process_id for process_id in awaited.values() if process_id is not None]
            present = self._presence.present(ids)
            returned = self._losses.give_back()
        except Exception as error:  # noqa: BLE001  whatever the database says, the stack goes on
            return Answer(frozenset(ready), fault=str(error))
        ready.update(name for name, process_id in awaited.items() if process_id in present)
        return Answer(frozenset(ready), tuple(returned.items()))

    def _flower_answers(self) -> bool:
        return self._flower is not None and ports.answers(self._flower.address, self._flower.port)
