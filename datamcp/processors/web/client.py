"""Asks a server: follows redirects, asks again where that may help, and keeps the body in a file."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpcore
import httpx
import tenacity
from tenacity.nap import sleep

from datamcp.clock import Clock
from datamcp.errors import BackendUnavailable, ProcessingError
from datamcp.processors.web import repeat
from datamcp.processors.web.inflate import decoded
from datamcp.processors.web.question import Question, Reply, is_redirect, next_link, redirected
from datamcp.processors.web.target import Target, origin
from datamcp.processors.web.transport import Transport
from datamcp.processors.web.wire import Resolve, Wire
from datamcp.storage.atomic import disk_errors

MAX_REDIRECTS = 5


class _Again(Exception):  # noqa: N818  it is no end
    """The same request may succeed now; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class Client:
    """Asks one target; keeps its connection between requests. To be used in a `with` block."""

    def __init__(
        self,
        target: Target,
        *,
        timeout: float,
        retries: int,
        clock: Clock,
        wait: Callable[[float], None] = sleep,
        resolve: Resolve | None = None,
    ) -> None:
        """Take the seconds that one request may take, its body included, and how often to retry."""
        self._target = target
        self._timeout = timeout
        self._retries = retries
        self._clock = clock
        self._wait = wait
        trusted = target.origin[1:] if target.may_be_private else None
        self._wire = Wire(clock=clock, trusted=trusted, resolve=resolve)
        self._transport = Transport(self._wire)

    def __enter__(self) -> Self:
        """Begin; nothing is connected to yet."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._transport.close()

    def ask(self, question: Question, body: Path, *, limit: int) -> Reply:
        """Ask, and write the answer's body to a file, at most `limit` bytes.

        BackendUnavailable if the server could not be reached or had no time, so that the same
        request may succeed later. ProcessingError if it will not, or must not be sent again.
        """
        attempts = tenacity.Retrying(
            stop=self._is_enough,
            retry=tenacity.retry_if_exception_type(_Again),
            wait=_pause,
            sleep=self._wait,
            reraise=True,
        )
        try:
            return attempts(self._attempt, question, body, limit)
        except _Again as error:
            times = attempts.statistics.get("attempt_number", 1)
            often = f" ({times} attempts)" if times > 1 else ""
            raise BackendUnavailable(self._target.label, f"{error.reason}{often}") from error

    def _is_enough(self, state: tenacity.RetryCallState) -> bool:
        # Who is told to wait for longer gives up: the task itself may be repeated later.
        wait = _asked(state) or 0.0
        return state.attempt_number > self._retries or wait > repeat.LONGEST_WAIT

    def _attempt(self, question: Question, body: Path, limit: int) -> Reply:
        self._wire.allow(self._timeout)
        for _ in range(MAX_REDIRECTS + 1):
            found = self._sent(question, body, limit)
            if isinstance(found, Reply):
                return found
            question = found
        raise ProcessingError(f"it redirects more than {MAX_REDIRECTS} times")

    def _sent(self, question: Question, body: Path, limit: int) -> Reply | Question:
        """Send one request; return the answer, or what to ask where it points to."""
        try:
            answer = self._transport.handle_request(self._request(question))
            try:
                if is_redirect(answer):
                    return redirected(question, answer)
                return self._kept(question, answer, body, limit)
            finally:
                answer.close()
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            reason = _reason(error, "it cannot be connected to", self._timeout)
            raise _again(question, reason) from error
        except httpcore.LocalProtocolError as error:
            raise ProcessingError("the request is not one of HTTP; look at its headers") from error
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            reason = _reason(error, "the connection broke", self._timeout)
            raise (_Again(reason) if question.is_safe else _uncertain(reason)) from error

    def _request(self, question: Question) -> httpx.Request:
        headers = httpx.Headers(dict(question.headers))
        if origin(question.url) == self._target.origin:
            headers.update(dict(self._target.headers))
            headers.update(dict(self._target.secrets))
        return httpx.Request(
            question.method, question.url, headers=headers, content=question.content or None
        )

    def _kept(self, question: Question, answer: httpx.Response, body: Path, limit: int) -> Reply:
        if not answer.is_success:
            raise self._refused(question, answer)
        encoding = answer.headers.get("content-encoding", "")
        size = 0
        with disk_errors(body), body.open("wb") as file:
            for piece in decoded(answer.iter_raw(), encoding, limit):
                size += file.write(piece)
        return Reply(
            method=question.method,
            status=answer.status_code,
            url=question.url,
            content_type=answer.headers.get("content-type", ""),
            link=next_link(answer),
            size=size,
        )

    def _refused(self, question: Question, answer: httpx.Response) -> Exception:
        status = answer.status_code
        reason = f"it answered {status} {answer.reason_phrase}".rstrip()
        if repeat.is_transient(status, is_safe=question.is_safe):
            after = answer.headers.get("retry-after")
            return _again(question, reason, repeat.asked_wait(after, self._clock.now()))
        if status in repeat.TRANSIENT:
            return _uncertain(reason)
        return ProcessingError(reason)


def _pause(state: tenacity.RetryCallState) -> float:
    return repeat.wait_before(state.attempt_number + 1, _asked(state))


def _asked(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.wait if isinstance(error, _Again) else None


def _reason(error: Exception, what: str, timeout: float) -> str:
    if isinstance(error, httpcore.TimeoutException):
        return f"no whole answer within {timeout:g} s (timeout)"
    told = " ".join(str(error).split())[:200]
    return f"{what}: {told}" if told else what


def _again(question: Question, reason: str, wait: float | None = None) -> Exception:
    return _uncertain(reason) if question.is_done else _Again(reason, wait)


def _uncertain(reason: str) -> ProcessingError:
    return ProcessingError(
        f"{reason}; the request may have been carried out, so it is not sent again "
        "(idempotent: true allows that)"
    )
