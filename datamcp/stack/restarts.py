"""When what died is started anew. Pure."""

MAX_RESTARTS = 3  # of one process, where a stack gives up
LONGEST = 30.0  # seconds between a death and the next start
HEALTHY_AFTER = 60.0  # seconds of life after which earlier deaths do not count

WRONG_INPUT, UNREACHABLE = 2, 3
"""Exit codes of our processes: another start would end in the same way."""


def deaths_in_a_row(before: int, lived: float) -> int:
    """Return how many deaths count after another one, which ended a life of so many seconds."""
    return 1 if lived >= HEALTHY_AFTER else before + 1


def delay(deaths: int) -> float:
    """Return the seconds until the next start: 0, 1, 2, 4, and so on."""
    return 0.0 if deaths <= 1 else min(LONGEST, 2.0 ** min(deaths - 2, 10))


def is_hopeless(code: int, *, starts: int, lost_broker: bool) -> bool:
    """Tell whether a process refused to start, rather than died.

    That is known of its first start only: later, what it needs may be on its way back. The same
    holds once a broker of our own has died.
    """
    if starts > 1:
        return False
    return code == WRONG_INPUT or (code == UNREACHABLE and not lost_broker)


def error_of(written: str) -> str | None:
    """Return what a process gave as the reason of its end: all from its last error line on."""
    lines = written.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    if not starts:
        return None
    told = [lines[starts[-1]].removeprefix("Error: ")]
    for line in lines[starts[-1] + 1 :]:
        if not line.startswith("  "):
            break
        told.append(line)
    return "\n".join(told)
