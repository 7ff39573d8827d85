"""HTTP: how steps ask servers, and what becomes of the answers.

`options` is what a step's configuration says; `target` whom it asks, and with which credentials.
`address` tells what may be connected to; `wire` connects to nothing else and keeps deadlines;
`transport` speaks HTTP over it. `inflate` decodes bodies within limits, `repeat` tells what is
worth asking again; a `question` leads to a reply or to another one, and `client` asks it. `paging`
tells where the next page is; `json_body` reads JSON piece by piece; `gather` collects the records of
all pages, and `handover` keeps an answer that is no table. `exchange` is the processor that does all
of it.
"""
