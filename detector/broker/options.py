"""librdkafka's settings: what we set and why, and what the user may not change.

The order of precedence: ours, the user's `kafka` section on top, then those that name a process.
"""

from collections.abc import Mapping
from typing import Final

from detector.config import KafkaOptions
from detector.errors import ConfigError

Options = Mapping[str, str | int | float | bool]

ALWAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "isolation.level": ("read_committed",),
    "enable.auto.commit": ("false",),
    "auto.offset.reset": ("error",),
    "enable.partition.eof": ("false",),
    "partition.assignment.strategy": ("cooperative-sticky",),
    "enable.idempotence": ("true",),
    "acks": ("all", "-1"),
    "request.required.acks": ("all", "-1"),
}
"""Settings that may only be given the value we give them: exactly once rests on each."""
OURS: Final = ("group.id", "group.instance.id", "transactional.id")
"""Settings that name a process; made of `instance`, so that a restart takes its own place again."""

CLIENT: Final[Options] = {
    # A broker that comes back is found within a second (librdkafka's own limit is 10).
    "reconnect.backoff.max.ms": 1_000,
    # A re-bootstrap forgets the group's coordinator, and committing offsets then waits for ever (librdkafka issue 5511;
    # seen with 2.16.0 after a broker was away for 10 s). Without it the bootstrap addresses are simply tried again.
    "metadata.recovery.strategy": "none",
    "log.connection.close": False,
}
FETCH: Final[Options] = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    # Read ahead by about one ingest batch of small records a partition; internal messages (up to 256 KiB each) meet the
    # byte limit first. At that limit librdkafka pauses fetching for fetch.queue.backoff.ms, 1 s unless told: that is a
    # quarter of the rate. librdkafka's own 100,000 messages took 4 % more processor time and 9 % more memory; 10,000 no
    # more than these, which leave room where a partition is alone. (`python -m loadtest fetching`, here and below.)
    "queued.min.messages": 40_000,
    "queued.max.messages.kbytes": 65_536,
    "fetch.queue.backoff.ms": 2,
    # 4 MiB a partition and request: room for sixteen packed messages. 1 MiB gave small records the same rate in two
    # thirds of the memory, 16 MiB in 1.8 times.
    "fetch.message.max.bytes": 4 << 20,
    # A partition that is started or resumed is fetched when the request before it has been answered: the broker
    # waits with that for so long when it has nothing to tell, 500 ms unless told.
    "fetch.wait.max.ms": 50,
    # Checking a CRC costs less than a wrong row does: 4 % of reading alone, which is a fifth of the whole.
    "check.crcs": True,
}
MEMBER: Final[Options] = {
    # An offset that is missing or out of range must stop us: starting elsewhere loses or doubles records.
    "auto.offset.reset": "error",
    "partition.assignment.strategy": "cooperative-sticky",
    # kill -9 to publishing again within 10 s: 6 s are the least that brokers allow by default.
    "session.timeout.ms": 6_000,
    # A member learns by its heartbeat that the group is rebalanced, and a partition that moves waits for the last of
    # them: 1.5 s a hand-over with 1,500, 0.5 s with 500 (Kafka 4.3.1). It costs the broker two requests a second.
    "heartbeat.interval.ms": 500,
}
SEND: Final[Options] = {
    "enable.idempotence": True,
    "acks": "all",
    # Commit flushes at once, so that lingering fills batches and never delays a transaction.
    "linger.ms": 20,
    "batch.size": 1 << 20,
    # A message longer than this is refused before it is sent: librdkafka's own limit, below the 1,048,588 that brokers
    # take unless told. The broker in memory has it too.
    "message.max.bytes": 1_000_000,
    "queue.buffering.max.kbytes": 262_144,
    # Rows and JSON shrink to two fifths, and stay so on the broker's disk for days. Without it a record, which is two
    # rows, cost 0.15 us less in ingest and 0.1 to 0.2 us less in the broker, which looks into each batch but never
    # compresses anew, and took 2.6 times the disk: with compression.type none the user may choose that.
    "compression.type": "lz4",
}
TRANSACTIONS: Final[Options] = {
    # A dead process's transaction holds readers up no longer than its partitions take to be assigned again.
    "transaction.timeout.ms": 10_000,
    # The markers of one transaction are still being written when the next begins: it is told to try again, after
    # 100 ms unless told. From 5 ms on the pause doubles, to a second.
    "retry.backoff.ms": 5,
}
TOLD: Final[Options] = {
    # What a client says of itself, some 20 KB of JSON for a dozen partitions: a millisecond every five seconds.
    "statistics.interval.ms": 5_000,
}
READ: Final[Options] = {
    # Required by librdkafka; a reader assigns partitions itself and never joins.
    "group.id": "detector-reader",
    # The end of the committed log is announced: behind the last message only markers may stand.
    "enable.partition.eof": True,
    # A start that retention has passed moves to the first message kept.
    "auto.offset.reset": "earliest",
    # At the log's end the broker waits this long for more before it answers.
    "fetch.wait.max.ms": 10,
}


def check(options: KafkaOptions) -> None:
    """The user's options contradict no guarantee and name a broker; else `ConfigError`."""
    if "bootstrap.servers" not in options and "metadata.broker.list" not in options:
        raise ConfigError("kafka: bootstrap.servers: wanted host:port of a broker (got nothing)")
    for name, value in options.items():
        if name in OURS:
            raise ConfigError(f"kafka: {name}: is made from the instance's name and cannot be set (got {value!r})")
        if name in ALWAYS and str(value).lower() not in ALWAYS[name]:
            raise ConfigError(f"kafka: {name}: must be {ALWAYS[name][0]}, exactly once rests on it (got {value!r})")


def member_options(options: KafkaOptions) -> Options:
    """What a group's member is told besides `FETCH`; under KIP-848 the broker holds part of it."""
    if options.get("group.protocol") != "consumer":
        return MEMBER
    held_by_broker = ("partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms")
    return {name: value for name, value in MEMBER.items() if name not in held_by_broker}
