"""What `http.get` and `http.post` share: ask, and hand the answer over."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datamcp.clock import Clock
from datamcp.config.integrations import IntegrationConfig
from datamcp.errors import ProcessingError
from datamcp.processors.csv_file import read_header, select_csv
from datamcp.processors.engine import EngineLimits
from datamcp.processors.file_read import convert
from datamcp.processors.json_rows import write_empty, write_table
from datamcp.processors.processor import ConfigFault, Inputs, ProcessingResult
from datamcp.processors.table_processor import TABLE, TableProcessor, table_output
from datamcp.processors.web.gather import Ask, Gathered, gather
from datamcp.processors.web.handover import handed_over, is_list
from datamcp.processors.web.options import HttpOptions
from datamcp.processors.web.target import integration_of, target
from datamcp.storage.roots import AllowedRoots

if TYPE_CHECKING:
    import httpx

    from datamcp.processors.web.question import Question, Reply

MISSING = "httpx, ijson or tenacity is not installed; HTTP needs `pip install 'datamcp[http]'`"

_ACCEPTED = {
    "json": "application/json",
    "csv": "text/csv",
    "text": "text/plain, */*;q=0.5",
    "bytes": "*/*",
}

OptionsT = TypeVar("OptionsT", bound=HttpOptions)


class Exchange(TableProcessor[OptionsT]):
    """Asks a server; a subclass tells what is sent."""

    def __init__(
        self,
        *,
        roots: AllowedRoots,
        limits: EngineLimits,
        clock: Clock,
        integrations: Mapping[str, IntegrationConfig],
    ) -> None:
        """Take what every table processor takes, and the connections that steps may name."""
        super().__init__(roots=roots, limits=limits, clock=clock)
        self._integrations = integrations

    @abstractmethod
    def question(
        self, config: OptionsT, inputs: Inputs, url: "httpx.URL", number: int
    ) -> "Question":
        """Return what is asked for the page of this number, from 1."""

    def faults(self, config: OptionsT) -> Iterator[ConfigFault]:
        """Return what is wrong with the integration that is named."""
        if config.connection is not None:
            try:
                integration_of(config.connection, self._integrations)
            except ProcessingError as error:
                yield ConfigFault(path="connection", message=str(error))

    def run(self, inputs: Inputs, config: OptionsT) -> ProcessingResult:
        """Ask, and keep the answer.

        ProcessingError says what is wrong with it; BackendUnavailable that there is none now.
        """
        try:
            from datamcp.processors.web.client import Client
        except ImportError as error:
            raise ProcessingError(MISSING) from error
        where = target(config, self._integrations)
        with (
            inputs.workspace.scratch() as scratch,
            Client(
                where, timeout=config.timeout, retries=config.retries, clock=self._clock
            ) as client,
        ):
            answer = scratch / "answer"

            def ask(url: "httpx.URL", number: int, limit: int) -> "Reply":
                return client.ask(self.question(config, inputs, url, number), answer, limit=limit)

            try:
                return self._kept(inputs, config, ask, where.url, answer)
            except ProcessingError as error:
                raise ProcessingError(f"{where.label}: {error}") from error

    def _kept(
        self, inputs: Inputs, config: OptionsT, ask: Ask, url: "httpx.URL", answer: Path
    ) -> ProcessingResult:
        if config.records is None and config.pages is None:
            reply = ask(url, 1, config.max_bytes)
            if config.expect == "csv":
                return self._csv(inputs, answer, reply.size)
            if config.expect != "json" or not is_list(answer, reply):
                return handed_over(inputs.workspace, config, answer, reply)
            ask = partial(_known, reply)
        rows = answer.with_name("rows")
        return self._table(inputs, gather(ask, config, url, body=answer, rows=rows), rows)

    def _csv(self, inputs: Inputs, answer: Path, size: int) -> ProcessingResult:
        names = read_header(answer, ",")
        select = select_csv(answer, names, delimiter=",", null_values=[""])
        with (
            inputs.workspace.publish(TABLE) as part,
            self.engine(inputs, files=[answer, part]) as connection,
        ):
            records = convert(connection, answer, select, part)
        return _result(inputs, records, size)

    def _table(self, inputs: Inputs, found: Gathered, rows: Path) -> ProcessingResult:
        with (
            inputs.workspace.publish(TABLE) as part,
            self.engine(inputs, files=[rows, part]) as connection,
        ):
            if found.has_columns:
                records = write_table(connection, rows, part)
            else:
                records = write_empty(connection, part)
        unknown = () if found.has_columns else ("no records, so their columns are not known",)
        return _result(inputs, records, found.size, unknown)


def usual_headers(expect: str) -> dict[str, str]:
    """Return the headers that every request has."""
    return {
        "Accept": _ACCEPTED[expect],
        "Accept-Encoding": "gzip",
        "User-Agent": "datamcp",
    }


def _known(reply: "Reply", *_asked: object) -> "Reply":
    return reply


def _result(
    inputs: Inputs, records: int, size: int, warnings: tuple[str, ...] = ()
) -> ProcessingResult:
    output = table_output(inputs.workspace, records)
    return ProcessingResult(
        output=output,
        records_in=records,
        records_out=records,
        bytes_in=size,
        bytes_out=output.bytes_out or 0,
        warnings=warnings,
    )
