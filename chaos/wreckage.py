"""Faults of servers and of the ways to them: gone, forgetful, silent, locked, full."""

from contextlib import ExitStack, suppress

import redis
from sqlalchemy import Connection, NullPool, create_engine, exc, make_url, text

from chaos.stage import Stage
from chaos.world import Course, Fault, World
from datamcp.bootstrap.runtime import Runtime

_AWAY = (0.2, 3.0)  # seconds that a server is away
_SILENT = (0.4, 1.4)  # leases for which a way forwards nothing
_HELD = (2.0, 6.0)  # seconds that locks and connections are held
_SPARED = 3  # connections that PostgreSQL keeps for its superuser


def restart_broker(world: World) -> Course:
    """Kill -9 of the broker; it comes back with what it had written."""
    yield from _restart_broker(world, remembers=True)


def lose_broker(world: World) -> Course:
    """Kill -9 of the broker; it comes back with nothing."""
    yield from _restart_broker(world, remembers=False)


def _restart_broker(world: World, *, remembers: bool) -> Course:
    seconds = world.rng.uniform(*_AWAY)
    world.tell(f"away for {seconds:.1f} s")
    world.stage.kill_broker()
    yield seconds
    world.stage.revive_broker(remembers=remembers)


def flush_broker(world: World) -> Course:
    """FLUSHALL; or, where the broker is no Redis, empty all queues."""
    empty_broker(world.stage, world.runtime)
    yield 0.0


def empty_broker(stage: Stage, runtime: Runtime) -> None:
    """Have a broker without any message."""
    client = stage.redis()
    if client is not None:
        with client, suppress(redis.RedisError):
            client.flushall()
        return
    with runtime.app.connection_for_write() as connection:
        for queue in runtime.types.queues():
            with suppress(*connection.channel_errors):
                connection.default_channel.queue_purge(queue)


def cut_clients(world: World) -> Course:
    """CLIENT KILL of all of the broker's clients; or the way to it hangs up on all of them."""
    client = world.stage.redis()
    if client is not None:
        with client, suppress(redis.RedisError):
            for kind in ("normal", "pubsub"):
                client.client_kill_filter(_type=kind, skipme=True)
    elif world.stage.broker_proxy is not None:
        world.tell(f"{world.stage.broker_proxy.hang_up()} connections")
    yield 0.0


def silence_broker(world: World) -> Course:
    """Forward nothing to the broker on all connections for a while, then close them."""
    if world.stage.broker_proxy is not None:
        seconds = world.stage.lease * world.rng.uniform(*_SILENT)
        count = world.stage.broker_proxy.freeze()
        world.tell(f"{count} connections, {seconds:.1f} s")
        yield seconds
        world.stage.broker_proxy.hang_up()
    yield 0.0


def silence_database(world: World) -> Course:
    """Forward nothing to the database on all connections for a while, then close them."""
    if world.stage.database_proxy is not None:
        seconds = world.stage.lease * world.rng.uniform(*_SILENT)
        world.note_kill("database")
        count = world.stage.database_proxy.freeze()
        world.tell(f"{count} connections, {seconds:.1f} s")
        yield seconds
        world.stage.database_proxy.hang_up()
    yield 0.0


def restart_database(world: World) -> Course:
    """PostgreSQL ends at once, or in order, and is started again."""
    crash = world.rng.random() < 0.5
    world.note_kill("database")
    world.tell("crash" if crash else "in order")
    if crash:
        world.stage.crash_database()
        yield world.rng.uniform(*_AWAY)
    if world.stage.postgres is not None:
        world.stage.postgres.restart()
    yield 0.0


def cut_sessions(world: World) -> Course:
    """pg_terminate_backend of all sessions of the database."""
    ended = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with suppress(exc.OperationalError), _connection(world) as connection:
        count = len(connection.execute(text(ended)).all())
        world.tell(f"{count} sessions")
    yield 0.0


def lock_rows(world: World) -> Course:
    """Hold locks on rows of tasks that have not ended; on SQLite, on the whole database."""
    chosen = (
        "SELECT task_id FROM tasks WHERE state IN ('queued', 'running', 'scheduled', 'retrying')"
        " LIMIT 3 FOR UPDATE SKIP LOCKED"
    )
    seconds = world.rng.uniform(*_HELD)
    with suppress(exc.OperationalError), _connection(world) as connection:
        if world.stage.ledger == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            world.tell(f"the database, {seconds:.1f} s")
        else:
            connection.execute(text("BEGIN"))
            count = len(connection.execute(text(chosen)).all())
            world.tell(f"{count} rows, {seconds:.1f} s")
        yield seconds
        connection.exec_driver_sql("ROLLBACK")
    yield 0.0


def fill_database(world: World) -> Course:
    """Take all connections that PostgreSQL has to give."""
    seconds = world.rng.uniform(*_HELD)
    world.note_kill("database")
    with ExitStack() as stack:
        with suppress(exc.OperationalError):
            count = int(stack.enter_context(_connection(world)).execute(_MOST).scalar_one())
            for _ in range(count):
                stack.enter_context(_connection(world))
        world.tell(f"{seconds:.1f} s")
        yield seconds


_MOST = text("SHOW max_connections")


def _connection(world: World) -> Connection:
    """Open a connection of one's own, in which each statement commits by itself."""
    url = make_url(str(world.stage.database.url))
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    return engine.connect()


def not_ours(world: World) -> str | None:
    """Return why the broker can't be ended here."""
    return None if world.stage.broker is not None else "the broker is not ours"


def no_way_to_cut(world: World) -> str | None:
    """Return why clients can't be cut off here."""
    is_redis = world.stage.broker_url.startswith("redis")
    return None if is_redis else no_broker_proxy(world)


def no_broker_proxy(world: World) -> str | None:
    """Return why the way to the broker can't be cut here."""
    return None if world.stage.broker_proxy is not None else "there is no proxy before the broker"


def no_database_proxy(world: World) -> str | None:
    """Return why the way to the database can't be cut here."""
    return None if world.stage.database_proxy is not None else "the database has no proxy"


def no_server(world: World) -> str | None:
    """Return why it takes a PostgreSQL."""
    return None if world.stage.ledger == "postgresql" else "SQLite is no server"


def no_own_server(world: World) -> str | None:
    """Return why the database can't be ended here."""
    return None if world.stage.postgres is not None else "the database is no server of ours"


SERVER_FAULTS = (
    Fault("broker", "broker", restart_broker, not_ours),
    Fault("broker-lost", "broker", lose_broker, not_ours),
    Fault("flush", "broker", flush_broker),
    Fault("client-kill", "broker", cut_clients, no_way_to_cut),
    Fault("silent-broker", "broker", silence_broker, no_broker_proxy),
    Fault("silent-database", "database", silence_database, no_database_proxy),
    Fault("database", "database", restart_database, no_own_server),
    Fault("sessions", "database", cut_sessions, no_server),
    Fault("locks", "database", lock_rows),
    Fault("connections", "database", fill_database, no_server),
)
