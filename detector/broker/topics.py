"""The topics as they must be: made by `detector topics create`, checked whenever a role starts."""

from collections.abc import Mapping
from typing import Final

from detector.broker import Broker, TopicSpec
from detector.config import Settings
from detector.errors import ConfigError
from detector.ingest.commands import LONGEST_LIFE_S
from detector.units import DAY_MS, HOUR_MS
from detector.verdict.memory import KEEP_MS

EVENTS_KEPT_MS: Final = 9 * DAY_MS
"""The longest window, 7 days, and two more to notice and mend a stand-still before history is lost."""
DECISIONS_KEPT_MS: Final = 1_000 * LONGEST_LIFE_S + KEEP_MS
"""The longest life, and as long as a case is remembered beyond it: what is in force is never deleted. The shipped
policy's lives reach 4 days."""
HISTORY_KEPT_MS: Final = 400 * DAY_MS
"""A year's audit, and a month to carry it out. Commands too: they are part of what was decided. And labels, so that a
model can be fitted again on what the last one was fitted on."""
REJECTS_KEPT_MS: Final = 14 * DAY_MS
"""Long enough to correct a mapping and publish the records again."""
COMPACTION_LAG_MS: Final = 2 * HOUR_MS
"""What is superseded stays readable this long, for enforcement that was away."""
COMPACTED_WITHIN_MS: Final = DAY_MS

_OURS: Final[Mapping[str, str]] = {
    # Publication time by the broker's clock, so that one host's wrong clock cannot shorten what is kept, nor a switch's
    # make ingest look late or early, or an event one of the future.
    "message.timestamp.type": "LogAppendTime",
}


def _kept(ms: int) -> dict[str, str]:
    return {**_OURS, "cleanup.policy": "delete", "retention.ms": str(ms), "retention.bytes": "-1"}


def _in_force() -> dict[str, str]:
    return {
        **_kept(DECISIONS_KEPT_MS),
        "cleanup.policy": "compact,delete",
        "min.compaction.lag.ms": str(COMPACTION_LAG_MS),
        "max.compaction.lag.ms": str(COMPACTED_WITHIN_MS),
    }


def topic_specs(settings: Settings, source_partitions: int | None = None) -> list[TopicSpec]:
    """Our nine topics, the heartbeats' if there are any, then those of the sources, for where they do not exist yet.

    `source_partitions` is for the sources' topics only: as many as ours unless given. How long
    those keep their records is the carrier's choice, and so the cluster's default.
    """
    topics = settings.topics
    ours = {
        topics.events: (topics.partitions, _kept(EVENTS_KEPT_MS)),
        topics.decisions: (topics.partitions, _in_force()),
        topics.history: (topics.partitions, _kept(HISTORY_KEPT_MS)),
        topics.shadow: (topics.partitions, _in_force()),
        topics.commands: (topics.partitions, _kept(HISTORY_KEPT_MS)),
        topics.control: (1, {**_OURS, "cleanup.policy": "compact"}),
        topics.rejects: (topics.partitions, _kept(REJECTS_KEPT_MS)),
        topics.labels: (topics.partitions, _kept(HISTORY_KEPT_MS)),
        # As long as the rows that they are compared with; `detector archive` keeps both.
        topics.vectors: (topics.partitions, _kept(EVENTS_KEPT_MS)),
    }
    if settings.ingest.heartbeat_s:
        # Compacted, never deleted by age: ingest that was away for long must find its offset in the log.
        ours[topics.heartbeats] = (topics.partitions, {**_OURS, "cleanup.policy": "compact", "segment.ms": str(DAY_MS)})
    # With three replicas one may be away and acks=all still means two.
    safe = {"min.insync.replicas": str(max(1, topics.replication - 1))}
    specs = [TopicSpec(name, count, topics.replication, config | safe) for name, (count, config) in ours.items()]
    count = source_partitions or topics.partitions
    return specs + [TopicSpec(source.topic, count, topics.replication, _OURS) for source in settings.sources]


def check_topics(broker: Broker, settings: Settings) -> None:
    """Every topic is there; those that hold one partition of numbers each have all P.

    Raises `ConfigError` naming each topic that is missing or has another number of partitions, and
    the command that helps; `Recoverable` when no broker answers.
    """
    found = broker.partitions()
    topics = settings.topics
    numbered = (topics.events, topics.decisions, topics.history, topics.shadow, topics.heartbeats)
    missing, wrong = [], []
    for spec in topic_specs(settings):
        partitions = found.get(spec.name)
        if partitions is None:
            missing.append(spec.name)
        elif spec.name in numbered and partitions != topics.partitions:
            wrong.append(f"topic {spec.name}: wanted {topics.partitions} partitions (got {partitions})")
        elif spec.name == topics.control and partitions != 1:
            wrong.append(f"topic {spec.name}: wanted 1 partition (got {partitions})")
    if missing:
        # A broker that checks who asks does not tell a topic that is not there from one that may not be seen.
        or_hidden = " (or this user may not describe it: `detector acls`)" if "sasl.mechanism" in settings.kafka else ""
        wrong.append(f"no topic {', '.join(missing)}: `detector topics create` makes what is missing{or_hidden}")
    if any(name in found for name in numbered) and len(wrong) > bool(missing):
        wrong.append(
            "the number of partitions is fixed for life: set topics.partitions to it, "
            "or choose other names under `topics` and run `detector topics create`"
        )
    if wrong:
        raise ConfigError("\n".join(wrong))
