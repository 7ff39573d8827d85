"""The graphs that are run, and what is true of them. Pure.

Steps are numbered from 0 on, upstreams first, level by level: that is the order in which a canvas
of levels names them, too.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from benchmarks.rival import Layers, numbered

_MOST_SIDE_BY_SIDE = 8  # steps of a random graph in one level
_REACH = 12  # steps before a level from which it may take further upstreams


@dataclass(frozen=True, slots=True)
class Shape:
    """A graph: for each step the steps that it waits for, and the seconds that it takes."""

    upstreams: Sequence[Sequence[int]]
    layers: Layers
    """How many steps each level has; a step is one level below its lowest upstream."""
    seconds: Sequence[float] = ()

    def __len__(self) -> int:
        """Return how many steps it has."""
        return len(self.upstreams)

    def seconds_of(self, number: int) -> float:
        """Return how long a step takes; what is no step of it takes no time."""
        return self.seconds[number] if number < len(self.seconds) else 0.0

    @property
    def critical_path(self) -> tuple[float, int]:
        """Return the seconds of the longest way through it, and that way's hops between steps."""
        ends: list[tuple[float, int]] = []
        for number, ups in enumerate(self.upstreams):
            seconds, steps = max((ends[up] for up in ups), default=(0.0, 0))
            ends.append((seconds + self.seconds_of(number), steps + 1))
        seconds, steps = max(ends)
        return seconds, steps - 1


def layered(*layers: int) -> Shape:
    """Return levels of so many steps, each of which waits for the whole level before."""
    levels = numbered(layers)
    upstreams: list[Sequence[int]] = [()] * layers[0]
    for before, level in pairwise(levels):
        upstreams += [tuple(before)] * len(level)
    return Shape(upstreams, layers)


def chain(count: int) -> Shape:
    """Return steps in a row."""
    return layered(*[1] * count)


def diamond(count: int) -> Shape:
    """Return one step, then steps side by side, then one step: so many in all."""
    return layered(1, count - 2, 1)


N_SHAPE = Shape(((), (), (0, 1), (1,)), (2, 2), (1.0, 0.0, 0.0, 0.0))
"""a → c, b → c, b → d, numbered in this order; a takes a second, the others none."""

D = 3
"""The step of the N shape that waits for b alone."""


def random_shape(seed: int, count: int, seconds: float) -> Shape:
    """Return so many steps that each take so long, with edges as the seed has it.

    Each step waits for one of the level before, and maybe for some others before that.
    """
    choose = random.Random(seed)  # noqa: S311  a graph, and no secret
    layers: list[int] = []
    while sum(layers) < count:
        layers.append(min(choose.randint(1, _MOST_SIDE_BY_SIDE), count - sum(layers)))
    starts = [0, *accumulate(layers)]
    upstreams: list[Sequence[int]] = [()] * layers[0]
    for level in range(1, len(layers)):
        before = range(starts[level - 1], starts[level])
        near = range(max(0, starts[level] - _REACH), starts[level])
        for _ in range(layers[level]):
            others = choose.sample(near, min(choose.randint(0, 2), len(near)))
            upstreams.append(tuple(sorted({choose.choice(before), *others})))
    return Shape(upstreams, layers, [seconds] * count)
