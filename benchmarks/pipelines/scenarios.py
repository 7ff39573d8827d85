"""What is measured: one row of a table for each scenario."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.pipelines import plays
from benchmarks.pipelines.outcome import Aim
from benchmarks.pipelines.plays import Play, Size
from benchmarks.pipelines.shapes import N_SHAPE, Shape, chain, diamond, layered, random_shape
from benchmarks.rival import Pool

_NAP = 0.02  # seconds that a step of a random graph takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One thing to measure, and what should come out."""

    name: str
    title: str
    play: Play
    size: Size
    quick: Size
    aims: Sequence[Aim]
    pool: Pool = "prefork"
    note: str = ""


def _random(count: int) -> tuple[Shape, ...]:
    return tuple(random_shape(seed, 40, _NAP) for seed in range(1, count + 1))


_WALL = Aim(name="wall", unit="ms", bound=1.0, is_ratio=True)

SCENARIOS = (
    Scenario(
        name="chain",
        title="chain of 50",
        play=plays.whole,
        size=Size(3, (chain(50),)),
        quick=Size(1, (chain(10),)),
        aims=(_WALL,),
    ),
    Scenario(
        name="layers",
        title="10 x 10 fully connected layers",
        play=plays.whole,
        size=Size(2, (layered(*[10] * 10),)),
        quick=Size(1, (layered(3, 3, 3),)),
        aims=(_WALL,),
    ),
    Scenario(
        name="fan-out",
        title="fan-out 1,000 + join",
        play=plays.whole,
        size=Size(1, (layered(1000, 1),)),
        quick=Size(1, (layered(20, 1),)),
        aims=(_WALL,),
    ),
    Scenario(
        name="diamonds",
        title="20 diamonds of 10 at once",
        play=plays.at_once,
        size=Size(20, (diamond(10),)),
        quick=Size(4, (diamond(10),)),
        aims=(_WALL, Aim(name="fairness", unit="")),
    ),
    Scenario(
        name="hundred",
        title="100 chains of 5 at once",
        play=plays.at_once,
        size=Size(100, (chain(5),)),
        quick=Size(10, (chain(5),)),
        aims=(_WALL, Aim(name="fairness", unit="", bound=2.0)),
        note="fairness: slowest run / fastest run",
    ),
    Scenario(
        name="n-shape",
        title="N shape: a, of 1 s → c; b → c and d",
        play=plays.shortest_way,
        size=Size(1, (N_SHAPE,)),
        quick=Size(1, (N_SHAPE,)),
        aims=(Aim(name="d", unit="ms", bound=0.5),),
        note="until d runs, which does not need a",
    ),
    Scenario(
        name="start",
        title="start → first step running",
        play=plays.start,
        size=Size(50, (chain(5),)),
        quick=Size(10, (chain(5),)),
        aims=(Aim(name="p50", unit="ms"), Aim(name="p95", unit="ms", bound=0.2)),
    ),
    Scenario(
        name="random",
        title="random graphs of 40 steps of 20 ms",
        play=plays.beyond,
        size=Size(6, _random(6)),
        quick=Size(2, _random(2)),
        aims=(Aim(name="over", unit=""), Aim(name="hop", unit="ms", bound=0.05)),
        pool="threads",
        note="over: wall / critical path; hop: what is beyond 1.1 x critical path, by hop, "
        "of the worst graph",
    ),
)

TABLES = "tables"
TABLES_AIMS = (Aim(name="rate", unit="Mbit/s", bound=1000.0, wants_more=True),)
"""What is known of the scenario of tables, which has sides of its own."""
