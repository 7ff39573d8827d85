"""Faults of processes: killed, stopped, asked to end, given another size."""

import os
import signal
from contextlib import suppress
from time import monotonic

from chaos import clock
from chaos.crew import Post
from chaos.stage import PROCESSES
from chaos.world import Course, Fault, World

_LEASES = (1.2, 2.0)  # how long a stopped worker stands still
_STEPS = (-3600, -60, -5, 5, 60, 3600)  # seconds
_TERM = 30.0  # seconds that a worker has to end once it was asked


def kill_child(world: World) -> Course:
    """Kill -9 of one process of a pool."""
    pairs = [
        (post, pid)
        for post in world.crew.living(agent=PROCESSES)
        if world.crew.is_ready(post)
        for pid in world.crew.children(post)
    ]
    if pairs:
        post, pid = world.rng.choice(pairs)
        world.note_kill("child", world.crew.agent_id(post))
        world.tell(f"{post.name}, child {pid}")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    yield 0.0


def kill_worker(world: World) -> Course:
    """Kill -9 of a worker with all its processes."""
    for post in _one(world):
        world.note_kill("worker", world.crew.agent_id(post))
        world.tell(post.name)
        world.crew.kill(post)
    yield 0.0


def kill_main(world: World) -> Course:
    """Kill -9 of a worker's main process alone."""
    for post in _one(world):
        world.note_kill("main", world.crew.agent_id(post))
        world.tell(post.name)
        world.crew.signal(post, signal.SIGKILL, group=False)
    yield 0.0


def terminate_worker(world: World) -> Course:
    """TERM to a worker, as a new release sends it; killed if it does not end."""
    for post in _one(world):
        pid = world.crew.pid(post)
        world.tell(post.name)
        world.crew.terminate(post)
        deadline = monotonic() + _TERM
        while post in world.crew.living() and world.crew.pid(post) == pid:
            yield 0.5
            if monotonic() < deadline:
                continue
            world.tell(f"{post.name} had to be killed {_TERM:g} s after TERM")
            world.note_kill("worker", world.crew.agent_id(post))
            world.crew.kill(post)
    yield 0.0


def stop_worker(world: World) -> Course:
    """SIGSTOP of a worker, or of its main process alone, for longer than its lease; then CONT."""
    for post in _one(world):
        pid, group = world.crew.pid(post), world.rng.random() < 0.5
        seconds = world.stage.lease * world.rng.uniform(*_LEASES)
        world.note_kill("stop", world.crew.agent_id(post))
        world.tell(f"{post.name}{'' if group else ', its main process'}, {seconds:.1f} s")
        world.crew.signal(post, signal.SIGSTOP, group=group)
        yield seconds
        if world.crew.pid(post) == pid:
            world.crew.signal(post, signal.SIGCONT, group=group)
    yield 0.0


def stop_child(world: World) -> Course:
    """SIGSTOP of one process of a pool for a while; its worker goes on."""
    posts = [post for post in world.crew.living(agent=PROCESSES) if world.crew.children(post)]
    if posts:
        post = world.rng.choice(posts)
        pid = world.rng.choice(world.crew.children(post) or [0])
        world.tell(f"{post.name}, child {pid}")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            yield world.stage.lease * world.rng.uniform(*_LEASES)
            os.kill(pid, signal.SIGCONT)
    yield 0.0


def resize_pool(world: World) -> Course:
    """Let a pool grow by one, and shrink again."""
    posts = [
        post
        for post in world.crew.living(agent=PROCESSES)
        if world.crew.is_ready(post) and "--autoscale" not in post.options
    ]
    if posts:
        post = world.rng.choice(posts)
        name, control = world.crew.agent_id(post), world.runtime.app.control
        world.tell(post.name)
        control.pool_grow(1, destination=[name])
        yield world.rng.uniform(2.0, 4.0)
        control.pool_shrink(1, destination=[name])
    yield 0.0


def kill_beat(world: World) -> Course:
    """Kill -9 of a beat."""
    beats = world.crew.living(beats=True)
    if beats:
        post = world.rng.choice(beats)
        world.tell(post.name)
        world.crew.kill(post)
    yield 0.0


def _one(world: World) -> list[Post]:
    """Return a worker that has begun its work, if there is one."""
    posts = [post for post in world.crew.living() if world.crew.is_ready(post)]
    return [world.rng.choice(posts)] if posts else []


def step_clock(world: World) -> Course:
    """Move the wall clock of workers and beats, and then back."""
    seconds = world.rng.choice(_STEPS)
    world.tell(f"by {seconds:+d} s")
    clock.step(world.stage.folder, seconds)
    yield 5.0
    clock.step(world.stage.folder, 0)
    yield 0.0


def no_moved_clock(_world: World) -> str | None:
    """Return why the clock can't be moved here."""
    return clock.why_not()


def no_beat(world: World) -> str | None:
    """Return why nothing can be done to beats here."""
    return None if any(not post.is_worker for post in world.crew.posts) else "there is no beat"


PROCESS_FAULTS = (
    Fault("child", "child", kill_child),
    Fault("worker", "worker", kill_worker),
    Fault("main", "worker", kill_main),
    Fault("term", "worker", terminate_worker),
    Fault("stop", "worker", stop_worker),
    Fault("stop-child", "child", stop_child),
    Fault("resize", "pool", resize_pool),
    Fault("beat", "beat", kill_beat, no_beat),
    Fault("clock", "clock", step_clock, no_moved_clock),
)
