"""Asking a server: redirects, asking again, and where credentials go."""

import gzip
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from support.site import Answer, Asked, Site

from datamcp.clock import SystemClock
from datamcp.errors import BackendUnavailable, ProcessingError
from datamcp.processors.web.client import Client
from datamcp.processors.web.question import Question, Reply
from datamcp.processors.web.target import Target

OK = Answer(b"fine")
GET = Question("GET", httpx.URL("http://unset"), {"Accept": "*/*", "X-Asked": "yes"})
POST = replace(
    GET,
    method="POST",
    content=b"order",
    is_safe=False,
    headers={"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "datamcp"},
)


@dataclass
class Bundle:
    """A site, and what asks it; `waits` are the seconds between attempts, which are not spent."""

    site: Site
    body: Path
    waits: list[float] = field(default_factory=list)

    def ask(
        self,
        path: str,
        question: Question = GET,
        *,
        retries: int = 3,
        timeout: float = 10.0,
        limit: int = 10_000,
        private: bool = True,
    ) -> Reply:
        """Ask the site for a path."""
        url = httpx.URL(self.site.url + path)
        target = Target("the server", url, {"X-Step": "s"}, {"Authorization": "hunter2"}, private)
        with Client(
            target, timeout=timeout, retries=retries, clock=SystemClock(), wait=self.waits.append
        ) as client:
            return client.ask(replace(question, url=url), self.body, limit=limit)


@pytest.fixture
def bundle(site: Site, tmp_path: Path) -> Bundle:
    """Have a site and what asks it."""
    return Bundle(site, tmp_path / "body")


def redirect(url: str, status: int = 302) -> Answer:
    """Return an answer that leads elsewhere."""
    return Answer(status=status, headers={"Location": url})


def test_an_answer_is_kept_in_a_file(bundle: Bundle) -> None:
    """The body is what was sent, without its compression; the reply says what it is."""
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain", "Link": '</2>; rel="next"'}
    bundle.site.say("/a", Answer(gzip.compress(b"hello"), headers=headers))
    reply = bundle.ask("/a")
    assert bundle.body.read_bytes() == b"hello"
    assert (reply.status, reply.size, reply.content_type) == (200, 5, "text/plain")
    assert reply.link == "/2"
    asked = bundle.site.asked[0].headers
    assert (asked["authorization"], asked["x-step"]) == ("hunter2", "s")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_that_is_better_later_is_asked_again(bundle: Bundle, status: int) -> None:
    """An error that may pass is not told, if it passes."""
    bundle.site.say_in_turn("/", [Answer(status=status), Answer(status=status), OK])
    assert bundle.ask("/").size == 4
    assert bundle.waits == [0.5, 1.0]


def test_the_server_says_how_long_to_wait(bundle: Bundle) -> None:
    """`Retry-After` goes before the usual time."""
    busy = Answer(status=429, headers={"Retry-After": "7"})
    bundle.site.say_in_turn("/", [busy, OK])
    bundle.ask("/")
    assert bundle.waits == [7.0]


def test_nobody_waits_for_an_hour(bundle: Bundle) -> None:
    """Whoever is told to wait for long gives up, and the task may be repeated."""
    bundle.site.say("/", Answer(status=503, headers={"Retry-After": "3600"}))
    with pytest.raises(BackendUnavailable, match="the server is unreachable: it answered 503"):
        bundle.ask("/")
    assert bundle.waits == []


def test_at_some_point_it_is_enough(bundle: Bundle) -> None:
    """What does not pass is an error that the task may be repeated for."""
    bundle.site.say("/", Answer(status=500))
    with pytest.raises(BackendUnavailable, match=r"500 Internal Server Error \(3 attempts\)"):
        bundle.ask("/", retries=2)
    assert len(bundle.site.asked) == 3


def test_a_mistake_is_not_repeated(bundle: Bundle) -> None:
    """404 stays 404."""
    with pytest.raises(ProcessingError, match="it answered 404 Not Found"):
        bundle.ask("/nowhere")
    assert len(bundle.site.asked) == 1


def test_a_body_that_breaks_off_is_asked_for_again(bundle: Bundle) -> None:
    """Half of an answer is none, and leaves nothing behind."""
    bundle.site.say_in_turn("/", [Answer(b"half of it", cut=4), OK])
    bundle.ask("/")
    assert bundle.body.read_bytes() == b"fine"


@pytest.mark.parametrize("answer", [Answer(stall=True), Answer(bytes(1000), drip=True)])
def test_a_server_that_is_too_slow_is_given_up(bundle: Bundle, answer: Answer) -> None:
    """The timeout holds from the beginning to the end of a request."""
    bundle.site.say("/", answer)
    with pytest.raises(BackendUnavailable, match=r"no whole answer within 0\.2 s \(timeout\)"):
        bundle.ask("/", timeout=0.2, retries=0)


def test_who_does_not_listen_is_unreachable(bundle: Bundle) -> None:
    """A port at which nobody is leads to an error that the task may be repeated for."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bundle.site.server.server_port = port
    with pytest.raises(BackendUnavailable, match="it cannot be connected to"):
        bundle.ask("/", POST)
    assert len(bundle.waits) == 3


def test_too_much_is_not_kept(bundle: Bundle) -> None:
    """A body above the limit is an error, and is not asked for again."""
    bundle.site.say("/", Answer(bytes(10_001)))
    with pytest.raises(ProcessingError, match="larger than the 10,000 bytes"):
        bundle.ask("/")
    bomb = gzip.compress(bytes(1 << 20))
    bundle.site.say("/", Answer(bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(ProcessingError, match="larger than"):
        bundle.ask("/")
    assert len(bundle.site.asked) == 2


# Redirects.


def test_redirects_are_followed(bundle: Bundle) -> None:
    """To the same server, with its credentials; the reply says where it is from."""
    bundle.site.say("/a", redirect("/b?x=1", 308))
    bundle.site.say("/b", OK)
    assert bundle.ask("/a").url.path == "/b"
    assert bundle.site.asked[1].query == {"x": "1"}
    assert bundle.site.asked[1].headers["authorization"] == "hunter2"


def test_redirects_come_to_an_end(bundle: Bundle) -> None:
    """A sixth redirect is not followed."""
    bundle.site.say("/", redirect("/"))
    with pytest.raises(ProcessingError, match="more than 5 times"):
        bundle.ask("/")
    assert len(bundle.site.asked) == 6


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "//127.0.0.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/",
    ],
)
def test_a_redirect_to_a_private_address_is_refused(
    bundle: Bundle, other: Site, place: str
) -> None:
    """That one server may be private does not make others so, not even another port of it."""
    other.say("/", OK)
    bundle.site.say("/", redirect(place.format(port=other.server.server_port)))
    with pytest.raises(ProcessingError, match="refused to connect"):
        bundle.ask("/")
    assert other.asked == []


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x/"])
def test_a_redirect_to_another_scheme_is_refused(bundle: Bundle, place: str) -> None:
    """Only http and https are spoken."""
    bundle.site.say("/", redirect(place))
    with pytest.raises(ProcessingError, match=r"must be a URL of http or https|cannot be read"):
        bundle.ask("/")


@pytest.mark.parametrize(
    ("url", "is_told"),
    [
        ("https://api.example/b", True),
        ("https://API.example:443/b", True),
        ("http://api.example/b", False),
        ("https://api.example:8443/b", False),
        ("https://evil.example/b", False),
        ("https://api.example.evil.example/", False),
    ],
)
def test_credentials_stay_with_their_origin(url: str, is_told: bool) -> None:
    """Another scheme, host or port gets neither the credentials nor the step's headers."""
    begin = httpx.URL("https://api.example/a")
    target = Target("api", begin, {"X-Step": "s"}, {"Authorization": "hunter2"})
    with Client(target, timeout=1, retries=0, clock=SystemClock()) as client:
        request = client._request(replace(GET, url=httpx.URL(url)))
    assert ("authorization" in request.headers) == ("x-step" in request.headers) == is_told


# What is posted.


@pytest.mark.parametrize("status", [429, 503])
def test_what_was_refused_is_posted_again(bundle: Bundle, status: int) -> None:
    """The server says that it did nothing."""
    bundle.site.say_in_turn("/", [Answer(status=status), OK])
    bundle.ask("/", POST)
    assert [one.body for one in bundle.site.asked] == [b"order", b"order"]


@pytest.mark.parametrize(
    "answer",
    [Answer(status=500), Answer(status=502), Answer(b"half", cut=2), Answer(stall=True)],
    ids=["500", "502", "cut", "stall"],
)
def test_what_may_have_been_done_is_not_posted_again(bundle: Bundle, answer: Answer) -> None:
    """Neither here nor by repeating the task, unless the step says that it does no harm."""
    bundle.site.say("/", answer)
    with pytest.raises(ProcessingError, match="may have been carried out, so it is not sent again"):
        bundle.ask("/", POST, timeout=0.5)
    assert len(bundle.site.asked) == 1
    if not answer.stall:
        bundle.site.say_in_turn("/", [answer, OK])
        assert bundle.ask("/", replace(POST, is_safe=True)).size == 4


def see_other(asked: Asked) -> Answer:
    """Take an order, and point to its answer."""
    return redirect("/order", 303) if asked.method == "POST" else OK


def test_the_answer_to_what_was_posted_is_fetched(bundle: Bundle) -> None:
    """`See Other` leads to the answer, without the body."""
    bundle.site.say("/", see_other)
    bundle.site.say("/order", see_other)
    bundle.ask("/", POST)
    assert [(one.method, one.body) for one in bundle.site.asked] == [
        ("POST", b"order"),
        ("GET", b""),
    ]


@pytest.mark.parametrize("status", [429, 503, 500])
def test_what_was_done_is_not_posted_again_for_its_answer(bundle: Bundle, status: int) -> None:
    """Once the order is taken, no trouble with the answer makes it be sent again."""
    bundle.site.say("/", see_other)
    bundle.site.say("/order", Answer(status=status))
    with pytest.raises(ProcessingError, match="may have been carried out"):
        bundle.ask("/", POST)
    assert len(bundle.site.asked) == 2


def test_what_is_posted_follows_a_redirect_to_the_same_server_only(
    bundle: Bundle, other: Site
) -> None:
    """`307` repeats the body where it was meant to go, and nowhere else."""
    bundle.site.say("/", redirect("/new", 307))
    bundle.site.say("/new", OK)
    bundle.ask("/", POST)
    assert bundle.site.asked[1].body == b"order"
    bundle.site.say("/", redirect(other.url, 307))
    with pytest.raises(ProcessingError, match="another server"):
        bundle.ask("/", POST)
    assert other.asked == []


def test_a_private_server_is_not_asked_without_leave(bundle: Bundle) -> None:
    """Without the integration's option, nothing is sent."""
    with pytest.raises(ProcessingError, match=r"allow_private: true"):
        bundle.ask("/", private=False)
    assert bundle.site.asked == []
