"""An answer that is no table: a small value, or a file of the run."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from datamcp.processors.documents.decode import decode
from datamcp.processors.processor import Output, ProcessingResult
from datamcp.processors.web.options import HttpOptions
from datamcp.storage.artifacts import Workspace
from datamcp.types import JSONValue

if TYPE_CHECKING:
    from datamcp.processors.web.question import Reply

MAX_INLINE = 65_536
"""Bytes of an answer that becomes the value of a step's output; a larger one becomes a file."""

_ENDINGS = {"json": "json", "text": "txt", "bytes": "bin"}
_CHARSET = re.compile(r"charset=[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_NO_CONTENT = 204


def is_empty(reply: "Reply") -> bool:
    """Tell whether an answer says that it has no content."""
    return reply.status == _NO_CONTENT


def is_list(answer: Path, reply: "Reply") -> bool:
    """Tell whether an answer in JSON is a list; ProcessingError if it is not JSON."""
    from datamcp.processors.web import json_body

    if _has_nothing(reply):
        return False
    json_body.check(answer, described(reply))
    return json_body.kind_at(answer, "") == "array"


def described(reply: "Reply") -> str:
    """Return what messages call an answer: it is told by its type."""
    kind = reply.content_type.partition(";")[0].strip()[:60]
    return f"the answer ({kind or 'of no type'}, {reply.size:,} bytes)"


def handed_over(
    workspace: Workspace, options: HttpOptions, answer: Path, reply: "Reply"
) -> ProcessingResult:
    """Keep an answer; one in JSON was checked before."""
    is_small = reply.size <= MAX_INLINE and options.expect != "bytes" and options.file is None
    if is_small:
        output = Output(value=_value(options, answer, reply), bytes_out=reply.size)
    else:
        name = options.file or f"answer.{_ENDINGS[options.expect]}"
        with workspace.publish(name) as part:
            answer.replace(part)
        output = Output(path=workspace.path_of(name), bytes_out=reply.size)
    return ProcessingResult(output=output, bytes_in=reply.size, bytes_out=reply.size)


def _value(options: HttpOptions, answer: Path, reply: "Reply") -> JSONValue:
    from datamcp.processors.web import json_body

    if options.expect == "text":
        charset = _CHARSET.search(reply.content_type)
        return decode(answer.read_bytes(), charset[1] if charset else None).text
    return None if _has_nothing(reply) else json_body.whole(answer)


def _has_nothing(reply: "Reply") -> bool:
    # Who takes what is posted often answers with nothing, in spite of 200.
    return is_empty(reply) or (reply.method == "POST" and reply.size == 0)
