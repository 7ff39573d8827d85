"""Keeps a stack running until it is told to end: `datamcp up`.

All that touches processes happens on the calling thread, and never waits long. The ledger is asked
on another one: a database that is away holds up no restart and no end.
"""

from collections.abc import Callable
from datetime import datetime

from datamcp.bootstrap.runtime import Runtime
from datamcp.clock import Clock, SystemClock
from datamcp.errors import DatamcpError, StackError
from datamcp.infra.processes import Exit
from datamcp.stack import logs
from datamcp.stack.errand import Errand
from datamcp.stack.inquiry import Address, Answer, Inquiry
from datamcp.stack.life import Died, Event, Started
from datamcp.stack.losses import Losses
from datamcp.stack.process import Kind
from datamcp.stack.record import StackRecord, write
from datamcp.stack.requests import Requests
from datamcp.stack.stack import Stack
from datamcp.tasks.ledger import Death

START_TIMEOUT = 120.0  # seconds until all processes must be ready for the first time
STOP_TIMEOUT = 30.0  # seconds that workers have for what they run, unless said

_LOOK = 0.3  # seconds between two looks at the processes
_SOON = 0.02  # seconds between two looks at an answer that is about to come
_TEND_FILES = 5.0  # seconds
_PATIENCE = 2.0  # seconds until a ledger is asked again that did not answer
_QUICK_STOP = 5.0  # seconds for beat and Flower, which have nothing to finish
_LAST_WORD = 10.0  # seconds in which the ledger must have heard of what was cut short

Say = Callable[[str], None]


class Keeper:
    """Starts the processes of a stack, tends them, and ends them when it is asked to."""

    def __init__(
        self,
        stack: Stack,
        runtime: Runtime,
        requests: Requests,
        *,
        say: Say,
        flower: Address | None = None,
        stop_timeout: float = STOP_TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        """Take a stack whose broker runs, its runtime, who may ask for the end, and who listens."""
        self._stack = stack
        self._requests = requests
        self._say = say
        self._stop_timeout = stop_timeout
        self._clock = clock or SystemClock()
        self._losses = Losses(runtime)
        self._inquiry = Inquiry(runtime, self._losses, flower)
        self._awaited: dict[str, str | None] = {}  # not ready yet: names, and process ids
        self._errand: Errand[Answer] | None = None
        self._next_errand = 0.0
        self._next_files = 0.0
        self._fault: str | None = None
        self._began = self._clock.monotonic()
        self._saved: StackRecord | None = None
        self._ready_at: datetime | None = None
        self._flower = flower

    @property
    def record(self) -> StackRecord:
        """What other commands are told."""
        return self._stack.record().model_copy(
            update={
                "ready_at": self._ready_at,
                "stop_timeout": self._stop_timeout,
                "flower_url": None if self._flower is None else self._flower.url,
                "owed": self._losses.owed,
            }
        )

    def start(self) -> None:
        """Start all processes, and see to what the last stack left."""
        if self._stack.leftovers is not None:
            self._say(
                "the last stack of this folder was killed; what it ran goes back to the queue"
            )
            self._losses.add(self._stack.leftovers.owed, Death.EXPLAINED)
        for event in self._stack.start():
            self._hear(event, is_first=True)
        self._save()

    def run(self) -> None:
        """Tend the processes until an end is asked for, and end them in order.

        Raises StackError if they don't come up, or if the state folder is removed, which is where
        others would find the stack; everything is ended then, too.
        """
        try:
            while not self._requests.count:
                self._tend()
                self._requests.wait(_LOOK)
        finally:
            self._end()

    def _tend(self) -> None:
        for event in self._stack.tend():
            self._hear(event)
        self._take_answer()
        self._send_errand()
        self._require_start()
        self._tend_files()
        self._save()

    def _hear(self, event: Event, *, is_first: bool = False) -> None:
        match event:
            case Died(name, reason, delay, process_id):
                if process_id is not None:
                    self._losses.add([process_id])
                self._awaited.pop(name, None)
                self._say(f"{reason}; started again {f'in {delay:g} s' if delay else 'at once'}")
            case Started(name, pid, process_id):
                if process_id is not None or self._is_flower(name):
                    self._awaited[name] = process_id
                elif not is_first:
                    self._say(f"{name} was started again (pid {pid})")

    def _is_flower(self, name: str) -> bool:
        return any(one.name == name and one.kind is Kind.FLOWER for one in self._stack.records())

    # The ledger, and Flower's port: asked on another thread.

    def _send_errand(self) -> None:
        is_wanted = self._awaited or self._losses.owed
        if self._errand is None and is_wanted and self._clock.monotonic() >= self._next_errand:
            awaited = dict(self._awaited)
            try:
                self._errand = Errand(lambda: self._inquiry.ask(awaited))
            except RuntimeError as error:  # the machine gives us no thread just now
                self._tell_fault(str(error))
                self._next_errand = self._clock.monotonic() + _PATIENCE

    def _take_answer(self) -> None:
        if self._errand is None or not self._errand.is_done:
            return
        answer = self._errand.result()
        self._errand = None
        is_in_haste = answer.fault is None and not self._stack.is_lasting
        self._next_errand = self._clock.monotonic() + (0.0 if is_in_haste else _PATIENCE)
        self._tell_fault(answer.fault)
        for process_id, count in answer.returned:
            self._say(f"{_tasks(count)} of {process_id} went back to the queue")
        for name in answer.ready:
            self._note_ready(name)

    def _tell_fault(self, fault: str | None) -> None:
        if fault is not None and self._fault is None:
            self._say(f"{fault}; what died keeps its tasks until it answers")
        self._fault = fault

    def _note_ready(self, name: str) -> None:
        record = next(one for one in self._stack.records() if one.name == name)
        if self._awaited.get(name, "") != record.process_id or record.pid is None:
            return  # it has died since it was asked about
        del self._awaited[name]
        if self._stack.is_lasting:
            self._say(f"{name} is ready (pid {record.pid})")
        elif not self._missing():
            self._stack.is_lasting = True
            self._ready_at = self._clock.now()
            self._say(f"ready after {self._clock.monotonic() - self._began:.1f} s")

    def _missing(self) -> list[str]:
        """Return the processes that are not ready, or dead."""
        dead = (one.name for one in self._stack.records() if one.pid is None)
        return list(dict.fromkeys([*self._awaited, *dead]))

    def _require_start(self) -> None:
        waited = self._clock.monotonic() - self._began
        if not self._stack.is_lasting and waited > START_TIMEOUT:
            raise StackError(
                f"{', '.join(self._missing())} did not become ready within {START_TIMEOUT:g} s; "
                f"the logs are in {self._stack.logs}"
            )

    # Files.

    def _tend_files(self) -> None:
        if self._clock.monotonic() < self._next_files:
            return
        self._next_files = self._clock.monotonic() + _TEND_FILES
        if self._stack.is_homeless:
            raise StackError(f"{self._stack.folder} was removed; its stack ends")
        self._bound_logs()

    def _bound_logs(self) -> None:
        try:
            cut = logs.bound(self._stack.logs)
        except OSError as error:
            self._say(f"the logs can't be kept within bounds: {error.strerror}")
            return
        for path in cut:
            self._say(f"{path} was too long and could not be copied; it was cut")

    def _save(self) -> None:
        record = self.record
        if record == self._saved:
            return
        try:
            write(self._stack.folder, record)
        except DatamcpError as error:
            if self._saved is not None:
                self._say(f"{error}; the stack goes on")
            self._saved = None  # tried again, and told again only after it worked
        else:
            self._saved = record

    # The end.

    def _end(self) -> None:
        workers = [one.process_id for one in self.record.processes if one.kind is Kind.WORKER]
        self._stack.stop([Kind.BEAT, Kind.FLOWER], _QUICK_STOP, is_urgent=self._is_urgent)
        busy = self._stack.alive(Kind.WORKER)
        if busy:
            self._say(
                f"stopping: workers have {self._stop_timeout:g} s for what they run "
                "(a second Ctrl-C cuts that short)"
            )
        for ended in self._stack.stop([Kind.WORKER], self._stop_timeout, is_urgent=self._is_urgent):
            self._tell_cut(ended)
        self._losses.add([one for one in workers if one is not None], Death.EXPLAINED)
        self._give_back_at_last()

    def _is_urgent(self) -> bool:
        return self._requests.count > 1

    def _tell_cut(self, ended: Exit) -> None:
        if ended.signal_name == "SIGKILL":
            self._say(f"{ended.name} (pid {ended.pid}) was cut short")

    def _give_back_at_last(self) -> None:
        """Give back what was cut short; what can't be now is left to the next stack."""
        errand = Errand(lambda: self._inquiry.ask({}))
        began = self._clock.monotonic()
        while not errand.is_done:
            patience = _PATIENCE if self._is_urgent() else _LAST_WORD
            if self._clock.monotonic() - began > patience:
                break
            self._requests.wait(_SOON)
        if errand.is_done:
            for process_id, count in errand.result().returned:
                self._say(f"{_tasks(count)} of {process_id} went back to the queue")
        if self._losses.owed:
            self._say("the ledger does not answer; the next stack of this folder gives tasks back")
            self._stack.last_record = self.record.model_copy(update={"processes": ()})


def _tasks(count: int) -> str:
    return f"{count} task" if count == 1 else f"{count} tasks"
