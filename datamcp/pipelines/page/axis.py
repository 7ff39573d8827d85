"""The marks of an axis of time: round lengths, not too many of them. Pure."""

_STEPS = (
    *(base * 10.0**power for power in range(-3, 1) for base in (1, 2, 5)),
    *(10.0, 15.0, 30.0),
    *(60.0 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3_600.0 * hours for hours in (1, 2, 3, 6, 12)),
    *(86_400.0 * days for days in (1, 2, 7, 14, 30, 90, 365)),
)


def ticks(span: float, most: int = 9) -> list[float]:
    """Return where marks are, in seconds from the beginning: at most so many after the first."""
    step = next((step for step in _STEPS if span / step <= most), 0.0)
    while not step:
        step = _STEPS[-1]
        while span / step > most:
            step *= 2
    marks = int(span / step + 1e-9)
    return [number * step for number in range(marks + 1)]


def label(seconds: float, step: float) -> str:
    """Return what is written at a mark; `step` is the distance between two."""
    if seconds == 0:
        return "0"
    if step < 1:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours}:{minutes:02} h"
    if step < 60 and minutes:
        return f"{minutes}:{left:02}"
    return f"{minutes} min" if minutes else f"{left} s"
